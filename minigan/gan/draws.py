"""Draws the inputs of a training step before the step; see minigan.gan.inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from minigan.autodiff import Tensor
from minigan.core import backend, random
from minigan.gan.inputs import StepInputs, UpdateInputs, leaves, on_device, signature
from minigan.gan.interface import GANInterface
from minigan.gan.penalties import draw_for
from minigan.gan.recordable import RecordableStep
from minigan.gan.replay.attributes import Attributes
from minigan.nn import Dropout, Module, dropout
from minigan.nn.module import preserve_state
from minigan.optim.schedules import value_at

_MAX_SIGNATURES = 8  # of inputs, whose mask requests are kept


def update_inputs(gan: GANInterface, real: Tensor, ahead: int) -> UpdateInputs:
    """The inputs of the discriminator's update that comes `ahead` updates after its next one, on batch `real`."""
    update = gan.step * gan.rules.n_critic + ahead
    draws = weight = None
    if gan.penalty is not None and update % gan.penalty_every == 0:
        shape = gan.rules.discriminator_input_shape(real.shape)
        draws = draw_for(gan.penalty, random.generator(gan.seed, "penalty", update), shape, real.dtype)
        weight = Tensor(real.dtype.type(value_at(gan.penalty_weight, gan.step) * gan.penalty_every))
    return UpdateInputs(
        real=real,
        latent=gan.latent(len(real), "train", update),
        real_noise=gan.rules.draw_noise(real, gan.seed, "real", update),
        fake_noise=gan.rules.draw_noise(real, gan.seed, "fake", update),
        penalty_draws=draws,
        penalty_weight=weight,
        update_scalars=gan.discriminator_optimizer.update_scalars(ahead),
    )


class DropoutMasks:
    """Draws the masks of both networks' dropout layers.

    To find out which masks a step needs, its forward passes run once for each signature of the inputs, and the
    networks' state is restored afterwards.
    """

    def __init__(self) -> None:
        self._cache: list[tuple[Any, Attributes, list[dropout.MaskRequests]]] = []
        self._networks: tuple[Module, ...] = ()
        self._has_dropout = False

    def add(self, gan: GANInterface, inputs: StepInputs) -> StepInputs:
        """`inputs` with the masks that the step needs."""
        if not self._contain_dropout(gan.generator, gan.discriminator):
            return inputs
        key = signature(leaves(inputs))
        cached = (entry[2] for entry in self._cache if entry[0] == key and entry[1].are_unchanged())
        requests = next(cached, None)
        if requests is None:
            requests = self._requests(gan, inputs)
            new = key, RecordableStep(gan).attributes(), requests
            self._cache = [new, *self._cache[: _MAX_SIGNATURES - 1]]
        with backend.staying_on_host():
            drawn = tuple(request.draw() for request in requests)
        masks, uploads = on_device(drawn)
        return replace(inputs, masks=masks, uploads=(*inputs.uploads, *uploads))

    def _contain_dropout(self, *networks: Module) -> bool:
        """Whether one of the networks has dropout. Networks other than at the last call invalidate the cache."""
        if networks != self._networks:
            self._networks, self._cache = networks, []
            self._has_dropout = any(isinstance(module, Dropout) for network in networks for module in network.modules())
        return self._has_dropout

    def _requests(self, gan: GANInterface, inputs: StepInputs) -> list[dropout.MaskRequests]:
        """The masks that the forward passes of a step need."""
        with preserve_state(*self._networks), dropout.recording_requests() as requests:
            passes = [gan.discriminator_pass(update) for update in inputs.updates]
            gan.generator_pass(inputs.updates[-1], passes[-1])
        return requests
