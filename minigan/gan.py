"""A GAN: a generator, a discriminator, and the game they play (Goodfellow et al., 2014, Algorithm 1)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from minigan import latents, random
from minigan.autodiff import Tensor, grad, no_grad
from minigan.average import Average
from minigan.losses import Loss, Smoothed
from minigan.nn import BatchNorm, Module
from minigan.nn.module import preserved
from minigan.ops import concatenate, tanh
from minigan.ops import sum as sum_
from minigan.optim import Optimizer
from minigan.penalties import Penalty
from minigan.rules import Rules
from minigan.schedules import Schedule, at
from minigan.state import require_fit
from minigan.unroll import unrolled_logits


class GAN:
    """Two networks, a loss, and an optimiser for each; `step` counts the training steps taken.

    generator: latent (batch, latent_size) to data; discriminator: data to logits (batch, 1). Latent vectors are
    draws of the law `latent_law` (see minigan.latents), a pure function of (seed, purpose, step). With `average` above
    0 the samples come from the moving average of the generator with that decay a step.

    With a `penalty` (see minigan.penalties) the discriminator minimises its loss + penalty_weight * penalty; the
    weight is a number or a schedule over the steps. With `penalty_every` k it is computed at every k-th of its updates
    only, beginning with the first, and weighs k times as much there (Karras et al., 2020, appendix B). `rules` say how
    the game is played. Raises ValueError for what makes no sense.
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
        latent_law: str = "normal",
        seed: int = 0,
        average: float = 0.0,
        penalty: Penalty | None = None,
        penalty_weight: float | Schedule = 10.0,
        penalty_every: int = 1,
        rules: Rules = Rules(),  # noqa: B008 - it is frozen
    ) -> None:
        if not isinstance(penalty_every, int) or penalty_every < 1:
            raise ValueError(f"penalty_every is {penalty_every!r}, expected 1 for every step, 2 for every second, ...")
        latents.require_law(latent_law)
        self.generator, self.discriminator, self.rules = generator, discriminator, rules
        self.loss = Smoothed(loss, rules.label_smoothing) if rules.label_smoothing else loss
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.latent_size, self.latent_law, self.seed, self.step = latent_size, latent_law, seed, 0
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
        """One step of Algorithm 1: n_critic updates of the discriminator and one of the generator.

        real: (n_critic * batch, ...), real data. The generator is judged by the fakes of the discriminator's last
        update: that spares it a second pass, and each player's gradient keeps its expectation. Returns scalars on the
        device, which nothing has read yet: "discriminator_loss", "generator_loss", "real_score" = mean D(x),
        "fake_score" = mean D(G(z)), the scores as the discriminator gave them before its last update; with a penalty
        also "penalty", without its weight, where that update computed it. The loss of the discriminator is without
        the penalty.
        """
        batches = self.rules.batches(real if isinstance(real, Tensor) else Tensor(real))
        updates = range(self.step * len(batches), (self.step + 1) * len(batches))
        for update, batch in zip(updates[:-1], batches[:-1], strict=True):
            _, gradients = self._discriminator_turn(*self._exhibits(batch, update), update)
            self.discriminator_optimizer.step(gradients)
        exhibits = self._exhibits(batches[-1], updates[-1])
        report, gradients = self._discriminator_turn(*exhibits, updates[-1])
        if not self.rules.simultaneous:
            self.discriminator_optimizer.step(gradients)
        generator_report, generator_gradients = self._generator_turn(*exhibits)
        if self.rules.simultaneous:
            self.discriminator_optimizer.step(gradients)
        self.generator_optimizer.step(generator_gradients)
        self.step += 1
        if self.average:
            self.average.update(self.step)
        return report | generator_report

    def _exhibits(self, real: Tensor, update: int) -> tuple[Tensor, Tensor]:
        """What the discriminator is shown at its update number `update`: reals and fakes."""
        fake = self.generator(self.latent(len(real), "train", update))
        return self.rules.shown(real, self.seed, "real", update), self.rules.shown(fake, self.seed, "fake", update)

    def _discriminator_turn(self, real: Tensor, fake: Tensor, update: int) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The discriminator's report and gradients. None goes through G: it is not asked for."""
        logits = self.judge(real, fake)
        loss = self.loss.discriminator(*logits)
        report = {"discriminator_loss": Tensor(loss), "real_score": _score(logits[0]), "fake_score": _score(logits[1])}
        if self.penalty is not None and update % self.penalty_every == 0:
            penalty = self.penalty(self.discriminator, real, fake, random.generator(self.seed, "penalty", update))
            report["penalty"] = Tensor(penalty)
            loss = loss + penalty * (at(self.penalty_weight, self.step) * self.penalty_every)
        return report, grad(loss, self.discriminator_optimizer.parameters, keep_graph=False)

    def _generator_turn(self, real: Tensor, fake: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The generator's report and gradients. D's weights get none: they are not asked for."""
        real_logits: Tensor | None
        if self.rules.unroll_steps:
            real_logits, fake_logits = unrolled_logits(
                self.discriminator, self.loss, real, fake, self.rules.unroll_steps, self.rules.unroll_rate
            )
        else:
            with no_grad():  # the reals do not depend on the generator
                real_logits = self.discriminator(real) if self.loss.relative else None
            fake_logits = self.discriminator(fake)
        loss = self.loss.generator(fake_logits, real_logits)
        report = {"generator_loss": Tensor(loss)}  # a new Tensor: the loss itself would keep the graph in memory
        return report, grad(loss, self.generator_optimizer.parameters, keep_graph=False)

    def judge(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of both, in one pass of the discriminator where that makes no difference."""
        if not self._judge_together:
            return self.discriminator(real), self.discriminator(fake)
        logits = self.discriminator(concatenate([real, fake]))
        return logits[: len(real)], logits[len(real) :]

    def first_bad_gradient(self) -> tuple[int, str] | None:
        """(step, parameter) of the first gradient that was not finite, None if all were; waits for the device."""
        found = []
        for name, updates in (("discriminator", self.rules.n_critic), ("generator", 1)):  # in the order of a step
            optimizer: Optimizer = getattr(self, f"{name}_optimizer")
            if bad := optimizer.first_bad_gradient():
                found.append((-(-bad[0] // updates), f"{name}.{bad[1]}"))
        return min(found, key=lambda bad: bad[0]) if found else None

    def latent(self, count: int, purpose: str, step: int = 0) -> Tensor:
        """`count` latent vectors (count, latent_size): a pure function of (seed, purpose, step)."""
        rng = random.generator(self.seed, f"latent/{purpose}", step)
        return self.latent_from(rng, count, latents.draw_batch if purpose == "train" else latents.draw)

    def latent_from(self, rng: np.random.Generator, count: int, draw: latents.Draw = latents.draw) -> Tensor:
        """`count` latent vectors (count, latent_size) drawn from `rng`."""
        dtype = self.generator_optimizer.parameters[0].dtype
        return Tensor(draw(self.latent_law, rng, (count, self.latent_size), dtype.type))

    def sample(self, latent: Any) -> Tensor:
        """What the (averaged) generator makes of `latent` (count, latent_size): running statistics, no dropout."""
        generator = self.average.network if self.average else self.generator
        with preserved(generator), no_grad():
            return generator.eval()(latent)

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
    """mean D = mean sigmoid(logits), for people to watch: outside any graph, and tanh is exact enough for them."""
    with no_grad():
        return sum_(tanh(logits * 0.5)) * (0.5 / logits.size) + 0.5
