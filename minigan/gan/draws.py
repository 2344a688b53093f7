"""Makes what a training step of a GAN is computed from, before the step; see minigan.gan.inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.gan.inputs import StepInputs, UpdateInputs, leaves, signature
from minigan.gan.penalties import draw_for
from minigan.gan.recordable import Recordable
from minigan.gan.replay.attributes import Attributes
from minigan.nn import Dropout, Module, masks
from minigan.nn.module import preserved
from minigan.optim.schedules import at

if TYPE_CHECKING:
    from minigan.gan.gan import GAN

_MOST_FORMS = 8  # of inputs, for which it is remembered which masks a step takes


def of_update(gan: GAN, real: Tensor, ahead: int) -> UpdateInputs:
    """What the discriminator's update that comes `ahead` of its next one is computed from, given its batch."""
    update = gan.step * gan.rules.n_critic + ahead
    draws = weight = None
    if gan.penalty is not None and update % gan.penalty_every == 0:
        shape = gan.rules.discriminator_input_shape(real.shape)
        draws = draw_for(gan.penalty, random.generator(gan.seed, "penalty", update), shape, real.dtype)
        weight = Tensor(real.dtype.type(at(gan.penalty_weight, gan.step) * gan.penalty_every))
    return UpdateInputs(
        real=real,
        latent=gan.latent(len(real), "train", update),
        real_noise=gan.rules.draw_noise(real, gan.seed, "real", update),
        fake_noise=gan.rules.draw_noise(real, gan.seed, "fake", update),
        penalty_draws=draws,
        penalty_weight=weight,
        update_scalars=gan.discriminator_optimizer.numbers(ahead),
    )


class Masks:
    """Those of the dropout layers of both networks. Which a step asks for is found out once for each form of inputs.

    To find it out, the passes of a step are made once, and what they leave behind is put back.
    """

    def __init__(self) -> None:
        self._known: list[tuple[Any, Attributes, list[masks.Requests]]] = []
        self._networks: tuple[Module, ...] = ()
        self._needed = False

    def add(self, gan: GAN, inputs: StepInputs) -> StepInputs:
        """`inputs` with the masks that the step takes."""
        if not self._are_needed(gan.generator, gan.discriminator):
            return inputs
        of_inputs = signature(leaves(inputs))
        known = (asked for of, attributes, asked in self._known if of == of_inputs and attributes.are_unchanged())
        requests = next(known, None)
        if requests is None:
            requests = self._asked_for(gan, inputs)
            self._known = [(of_inputs, Recordable(gan).attributes(), requests), *self._known[: _MOST_FORMS - 1]]
        return replace(inputs, masks=tuple(asked.draw() for asked in requests))

    def _are_needed(self, *networks: Module) -> bool:
        if networks != self._networks:
            self._networks, self._known = networks, []
            self._needed = any(isinstance(module, Dropout) for network in networks for module in network.modules())
        return self._needed

    def _asked_for(self, gan: GAN, inputs: StepInputs) -> list[masks.Requests]:
        """The masks that the passes of a step ask for."""
        with preserved(*self._networks), masks.noted() as requests:
            judged = [gan.discriminator_pass(update) for update in inputs.updates]
            gan.generator_pass(inputs.updates[-1], judged[-1])
        return requests
