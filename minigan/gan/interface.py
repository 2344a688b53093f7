"""The forward pass of a player, and the interface of a GAN for the modules that prepare and record its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minigan.autodiff import Tensor
from minigan.gan.conditions import Outputs, logits_of
from minigan.gan.ema import EMA
from minigan.gan.generator_terms import GeneratorTerm
from minigan.gan.inputs import StepInputs, UpdateInputs
from minigan.gan.losses import Loss
from minigan.gan.penalties import Penalty
from minigan.gan.rules import Rules
from minigan.nn import Module
from minigan.optim import Optimizer
from minigan.optim.schedules import Schedule

GradientObserver = Callable[[str, list[Tensor]], None]
"""A function (player, gradients): called before each update with the player's name, "discriminator" or "generator"."""


@dataclass(frozen=True)
class Pass:
    """The forward pass of one player: its objective, and the Tensors from which that is computed.

    real, fake: the real examples, and the generator's samples. discriminator_inputs: both as the discriminator sees
    them, with instance noise and packed. real_outputs, fake_outputs: what the discriminator returns for them, logits
    (n, 1) or a tuple that begins with these; real_outputs is None where the generator's loss does not need it. loss:
    the player's loss. penalty: the discriminator's penalty without its weight, or None. term: the generator's further
    term without its weight, or None. objective: what the player minimises, the weighted sum of these.
    """

    real: Tensor
    fake: Tensor
    discriminator_inputs: tuple[Tensor, Tensor]
    real_outputs: Outputs | None
    fake_outputs: Outputs
    loss: Tensor
    objective: Tensor
    penalty: Tensor | None = None
    term: Tensor | None = None

    @property
    def real_logits(self) -> Tensor | None:
        """The logits (n, 1) of the real examples, None where the generator's loss does not need them."""
        logits: Tensor | None = logits_of(self.real_outputs)
        return logits

    @property
    def fake_logits(self) -> Tensor:
        """The logits (n, 1) of the samples."""
        logits: Tensor = logits_of(self.fake_outputs)
        return logits


class GANInterface(Protocol):
    """The attributes and methods of `minigan.gan.gan.GAN`, which documents them."""

    generator: Module
    discriminator: Module
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer
    loss: Loss
    penalty: Penalty | None
    penalty_weight: float | Schedule
    penalty_every: int
    generator_term: GeneratorTerm | None
    generator_term_weight: float | Schedule
    adversarial_weight: float | Schedule
    rules: Rules
    ema: EMA | None
    latent_size: int
    seed: int
    step: int

    def latent(self, count: int, purpose: str, step: int = 0) -> Tensor: ...
    def latent_from(self, rng: np.random.Generator, count: int) -> Tensor: ...
    def sample(self, latent: Any, condition: Any = None) -> Tensor: ...
    def discriminator_pass(self, inputs: UpdateInputs) -> Pass: ...
    def generator_pass(self, inputs: UpdateInputs, d_pass: Pass | None = None) -> Pass: ...
    def run_step(self, inputs: StepInputs) -> dict[str, Tensor]: ...
