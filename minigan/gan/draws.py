"""Draws the inputs of a training step before the step; see minigan.gan.inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from minigan.autodiff import Tensor
from minigan.core import backend, random
from minigan.gan.batches import Batch, parts
from minigan.gan.generator_terms import weight_input
from minigan.gan.inputs import StepInputs, UpdateInputs, leaves, on_device, signature
from minigan.gan.interface import GANInterface
from minigan.gan.penalties import draw_for
from minigan.gan.recordable import RecordableStep
from minigan.gan.replay.attributes import Attributes
from minigan.nn import Module, RandomLayer, random_layer
from minigan.nn.module import preserve_state
from minigan.optim.schedules import value_at

_MAX_SIGNATURES = 8  # of inputs, whose requests are kept


def update_inputs(gan: GANInterface, batch: Batch, ahead: int) -> UpdateInputs:
    """The inputs of the discriminator's update that comes `ahead` updates after its next one, on `batch`."""
    real, condition = parts(batch)
    update = gan.step * gan.rules.n_critic + ahead
    draws = weight = None
    if gan.penalty is not None and update % gan.penalty_every == 0:
        shape = gan.rules.discriminator_input_shape(real.shape)
        draws = draw_for(gan.penalty, random.generator(gan.seed, "penalty", update), shape, real.dtype)
        weight = Tensor(real.dtype.type(value_at(gan.penalty_weight, gan.step) * gan.penalty_every))
    with_term, has_weight = gan.generator_term is not None, gan.adversarial_weight != 1.0
    return UpdateInputs(
        real=real,
        condition=condition,
        latent=gan.latent(len(real), "train", update),
        real_noise=gan.rules.draw_noise(real, gan.seed, "real", update),
        fake_noise=gan.rules.draw_noise(real, gan.seed, "fake", update),
        penalty_draws=draws,
        penalty_weight=weight,
        adversarial_weight=weight_input(gan.adversarial_weight, gan.step, real.dtype) if has_weight else None,
        generator_term_weight=weight_input(gan.generator_term_weight, gan.step, real.dtype) if with_term else None,
        update_scalars=gan.discriminator_optimizer.update_scalars(ahead),
    )


class LayerDraws:
    """Draws the arrays of both networks' layers with random numbers, such as dropout.

    To find out which arrays a step needs, its forward passes run once for each signature of the inputs, and the
    networks' state is restored afterwards.
    """

    def __init__(self) -> None:
        self._cache: list[tuple[Any, Attributes, list[random_layer.DrawRequests]]] = []
        self._networks: tuple[Module, ...] = ()
        self._random = False

    def add(self, gan: GANInterface, inputs: StepInputs) -> StepInputs:
        """`inputs` with the arrays that the step needs."""
        if not self._are_random(gan.generator, gan.discriminator):
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

    def _are_random(self, *networks: Module) -> bool:
        """Whether a network has a layer with random numbers. Networks other than last time invalidate the cache."""
        if networks != self._networks:
            self._networks, self._cache = networks, []
            self._random = any(isinstance(module, RandomLayer) for network in networks for module in network.modules())
        return self._random

    def _requests(self, gan: GANInterface, inputs: StepInputs) -> list[random_layer.DrawRequests]:
        """The arrays that the forward passes of a step need."""
        with preserve_state(*self._networks), random_layer.recording_requests() as requests:
            passes = [gan.discriminator_pass(update) for update in inputs.updates]
            gan.generator_pass(inputs.updates[-1], passes[-1])
        return requests
