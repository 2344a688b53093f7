"""Makes what a training step of a GAN is computed from, before the step; see minigan.inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minigan import random
from minigan.autodiff import Tensor
from minigan.inputs import StepInputs, UpdateInputs, form, leaves
from minigan.nn import Dropout, Module, masks
from minigan.nn.module import preserved
from minigan.penalties import drawn
from minigan.schedules import at

if TYPE_CHECKING:
    from minigan.gan.gan import GAN

_MOST_FORMS = 8  # of inputs, for which it is remembered which masks a step takes


def of_update(gan: GAN, real: Tensor, ahead: int) -> UpdateInputs:
    """What the discriminator's update that comes `ahead` of its next one is computed from, given its batch."""
    update = gan.step * gan.rules.n_critic + ahead
    draws = weight = None
    if gan.penalty is not None and update % gan.penalty_every == 0:
        shape = gan.rules.shown_shape(real.shape)
        draws = drawn(gan.penalty, random.generator(gan.seed, "penalty", update), shape, real.dtype)
        weight = Tensor(real.dtype.type(at(gan.penalty_weight, gan.step) * gan.penalty_every))
    return UpdateInputs(
        real=real,
        latent=gan.latent(len(real), "train", update),
        real_noise=gan.rules.noise(real, gan.seed, "real", update),
        fake_noise=gan.rules.noise(real, gan.seed, "fake", update),
        penalty_draws=draws,
        penalty_weight=weight,
        numbers=gan.discriminator_optimizer.numbers(ahead),
    )


class Masks:
    """Those of the dropout layers of both networks. Which a step asks for is found out once for each form of inputs.

    To find it out, the passes of a step are made once, and what they leave behind is put back.
    """

    def __init__(self, *networks: Module) -> None:
        self._networks = networks
        self._layers = [m for network in networks for m in network.modules() if isinstance(m, Dropout)]
        self._known: dict[Any, list[masks.Requests]] = {}

    def add(self, gan: GAN, inputs: StepInputs) -> StepInputs:
        """`inputs` with the masks that the step takes."""
        if not self._layers:
            return inputs
        key = form(leaves(inputs)), gan.settings(), tuple(layer.rate for layer in self._layers)
        requests = self._known.get(key)
        if requests is None:
            requests = self._asked_for(gan, inputs)
            while len(self._known) >= _MOST_FORMS:
                del self._known[next(iter(self._known))]
            self._known[key] = requests
        return replace(inputs, masks=tuple(asked.draw() for asked in requests))

    def _asked_for(self, gan: GAN, inputs: StepInputs) -> list[masks.Requests]:
        """The masks that the passes of a step ask for."""
        with preserved(*self._networks), masks.noted() as requests:
            judged = [gan.discriminator_pass(update) for update in inputs.updates]
            gan.generator_pass(inputs.updates[-1], judged[-1])
        return requests
