"""A GAN: a generator, a discriminator, and the game they play (Goodfellow et al., 2014, Algorithm 1)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from minigan import backend, random
from minigan.autodiff import Tensor, grad, no_grad
from minigan.average import Average
from minigan.losses import Loss
from minigan.nn import BatchNorm, Module
from minigan.ops import concatenate
from minigan.optim import Optimizer
from minigan.penalties import Penalty
from minigan.state import require_fit


class GAN:
    """Two networks, a loss, and an optimiser for each; `step` counts the training steps taken.

    generator: latent (batch, latent_size) to data; discriminator: data to logits (batch, 1). Latent vectors are
    standard normal draws, a pure function of (seed, purpose, step). With `average` above 0 the samples come from the
    moving average of the generator with that decay a step.

    With a `penalty` (see minigan.penalties) the discriminator minimises its loss + penalty_weight * penalty. With
    `penalty_every` k it is computed at every k-th step only, beginning with the first, and weighs k times as much
    there (Karras et al., 2020, appendix B). Raises ValueError if k is not a whole number of at least 1.
    """

    def __init__(
        self,
        generator: Module,
        discriminator: Module,
        loss: Loss,
        generator_optimizer: Optimizer,
        discriminator_optimizer: Optimizer,
        *,
        latent_size: int,
        seed: int = 0,
        average: float = 0.0,
        penalty: Penalty | None = None,
        penalty_weight: float = 10.0,
        penalty_every: int = 1,
    ) -> None:
        if not isinstance(penalty_every, int) or penalty_every < 1:
            raise ValueError(f"penalty_every is {penalty_every!r}, expected 1 for every step, 2 for every second, ...")
        self.generator, self.discriminator, self.loss = generator, discriminator, loss
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.latent_size, self.seed = latent_size, seed
        self.step = 0
        self.average = Average(generator, average) if average else None
        self.penalty, self.penalty_weight, self.penalty_every = penalty, penalty_weight, penalty_every
        # Batch norm ties the examples of a batch together; without it reals and fakes can share one pass.
        self._judge_together = not any(isinstance(module, BatchNorm) for module in discriminator.modules())
        if penalty is not None and not self._judge_together:
            warnings.warn(
                "the discriminator has batch norm, so its score of one example depends on all others, but a gradient "
                "penalty constrains its slope at each example alone; leave batch norm out of the discriminator, or the "
                "penalty out of the game",
                stacklevel=2,
            )

    def train_step(self, real: Any) -> dict[str, Tensor]:
        """One step of the discriminator and one of the generator, on a batch of real data.

        As in Algorithm 1 with k = 1, except that both players see the same fakes: that spares the generator a
        second pass, and each player's gradient keeps its expectation. Returns scalars on the device, which nothing
        has read yet: "discriminator_loss", "generator_loss", "real_score" = mean D(x), "fake_score" = mean D(G(z)),
        the scores as the discriminator gave them before its update; with a penalty also "penalty", without its
        weight, at the steps that compute it. The loss of the discriminator is without the penalty.
        """
        real = real if isinstance(real, Tensor) else Tensor(real)
        fake = self.generator(self.latent(len(real), "train", self.step))
        metrics = self._update_discriminator(real, fake) | self._update_generator(real, fake)
        self.step += 1
        if self.average:
            self.average.update(self.step)
        return metrics

    def _update_discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Descend the discriminator's loss. No gradient goes through G: it is not asked for."""
        logits = self._judge(real, fake)
        loss = self.loss.discriminator(*logits)
        report = {"discriminator_loss": Tensor(loss), "real_score": _score(logits[0]), "fake_score": _score(logits[1])}
        if self.penalty is not None and self.step % self.penalty_every == 0:
            draws = random.generator(self.seed, "penalty", self.step)
            penalty = self.penalty(self.discriminator, real, fake, draws)
            report["penalty"] = Tensor(penalty)
            loss = loss + penalty * (self.penalty_weight * self.penalty_every)
        self.discriminator_optimizer.step(grad(loss, self.discriminator_optimizer.parameters, keep_graph=False))
        return report

    def _update_generator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Descend the generator's loss. D's weights get no gradient: it is not asked for."""
        if self.loss.relative:
            real_logits, fake_logits = self._judge(real, fake)
            loss = self.loss.generator(fake_logits, real_logits)
        else:
            loss = self.loss.generator(self.discriminator(fake))
        self.generator_optimizer.step(grad(loss, self.generator_optimizer.parameters, keep_graph=False))
        return {"generator_loss": Tensor(loss)}  # a new Tensor: the loss itself would keep the whole graph in memory

    def _judge(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if not self._judge_together:
            return self.discriminator(real), self.discriminator(fake)
        logits = self.discriminator(concatenate([real, fake]))
        return logits[: len(real)], logits[len(real) :]

    def first_bad_gradient(self) -> tuple[int, str] | None:
        """(step, parameter) of the first gradient that was not finite, None if all were; waits for the device."""
        found = []
        # In the order of a step: the discriminator learns first.
        for name, optimizer in (
            ("discriminator", self.discriminator_optimizer),
            ("generator", self.generator_optimizer),
        ):
            if bad := optimizer.first_bad_gradient():
                found.append((bad[0], f"{name}.{bad[1]}"))
        return min(found, key=lambda bad: bad[0]) if found else None

    def latent(self, count: int, purpose: str, step: int = 0) -> Tensor:
        """`count` latent vectors (count, latent_size): standard normal, a pure function of (seed, purpose, step)."""
        dtype = self.generator_optimizer.parameters[0].dtype
        draw = random.generator(self.seed, f"latent/{purpose}", step).standard_normal(
            (count, self.latent_size), dtype=dtype.type
        )
        return Tensor(draw)

    def sample(self, latent: Any) -> Tensor:
        """What the (averaged) generator makes of `latent` (count, latent_size): running statistics, no dropout."""
        generator = self.average.network if self.average else self.generator
        before = [(module, module.training) for module in generator.modules()]
        generator.eval()
        try:
            with no_grad():
                return generator(latent)
        finally:
            for module, training in before:
                module.training = training

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, copied to the host, by name."""
        state = {"step": np.asarray(self.step, np.int64)}
        for prefix, part in self._parts().items():
            state |= {f"{prefix}.{name}": value for name, value in part.state().items()}
        return state

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take what `state` gave; raises ValueError, and changes nothing, unless all of it fits."""
        require_fit(self.state(), state)
        for prefix, part in self._parts().items():
            names = [name for name in state if name.startswith(f"{prefix}.")]
            part.load_state({name.removeprefix(f"{prefix}."): state[name] for name in names})
        self.step = int(state["step"])

    def _parts(self) -> dict[str, Module | Optimizer | Average]:
        parts: dict[str, Module | Optimizer | Average] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
        return parts if self.average is None else parts | {"generator_average": self.average}


def _score(logits: Tensor) -> Tensor:
    """mean D = mean sigmoid(logits), for people to watch: outside any graph, so by the shortest formula.

    It is exact where it matters to them: tanh saturates where sigmoid is within a rounding of 0 or 1.
    """
    tanh = backend.of(logits.data).xp.tanh
    return Tensor(tanh(logits.data * 0.5).sum() * (0.5 / logits.size) + 0.5)
