"""A GAN: a generator, a discriminator, and the game they play (Goodfellow et al., 2014, Algorithm 1)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad, no_grad
from minigan.core import backend, random
from minigan.core.state import require_fit
from minigan.gan import draws, latents
from minigan.gan.ema import EMA
from minigan.gan.inputs import StepInputs, UpdateInputs
from minigan.gan.losses import LabelSmoothing, Loss
from minigan.gan.penalties import Penalty, copy_draws
from minigan.gan.recordable import Recordable
from minigan.gan.replay import Replay
from minigan.gan.rules import Rules
from minigan.gan.unrolling import unrolled_logits
from minigan.nn import BatchNorm, Module, masks
from minigan.nn.module import preserved
from minigan.ops import concatenate, mean, tanh
from minigan.optim import Optimizer
from minigan.optim.schedules import Schedule

GradientObserver = Callable[[str, list[Tensor]], None]
"""Is told of a player, "discriminator" or "generator", and of the gradients that its optimiser is to be given."""


@dataclass(frozen=True)
class Pass:
    """What a player minimises, and what of.

    real, fake: the data, and what the generator made. shown: both as the discriminator saw them. real_logits,
    fake_logits: what it answered, (n, 1); no real ones where the generator's loss needs none. loss: the player's.
    penalty: the discriminator's, without its weight, or None. objective: the loss, and the penalty with its weight.
    """

    real: Tensor
    fake: Tensor
    discriminator_inputs: tuple[Tensor, Tensor]
    real_logits: Tensor | None
    fake_logits: Tensor
    loss: Tensor
    penalty: Tensor | None
    objective: Tensor


class GAN:
    """Two networks, a loss, and an optimiser for each; `step` counts the training steps taken.

    generator: latent (batch, latent_size) to data; discriminator: data to logits (batch, 1). Latent vectors are
    draws of the distribution `latent_distribution` (see gan/latents.py). With `ema_decay` above 0
    the samples come from the moving average of the generator with that decay a step.

    With a `penalty` (see minigan.gan.penalties) the discriminator minimises its loss + penalty_weight * penalty; the
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
        latent_distribution: str = "normal",
        seed: int = 0,
        ema_decay: float = 0.0,
        penalty: Penalty | None = None,
        penalty_weight: float | Schedule = 10.0,
        penalty_every: int = 1,
        rules: Rules = Rules(),  # noqa: B008 - it is frozen
    ) -> None:
        if not isinstance(penalty_every, int) or penalty_every < 1:
            raise ValueError(f"penalty_every is {penalty_every!r}, expected 1 for every step, 2 for every second, ...")
        latents.require_distribution(latent_distribution)
        self.generator, self.discriminator, self.rules = generator, discriminator, rules
        self.loss = LabelSmoothing(loss, rules.label_smoothing) if rules.label_smoothing else loss
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.latent_size, self.latent_distribution, self.seed, self.step = latent_size, latent_distribution, seed, 0
        self.ema = EMA(generator, ema_decay) if ema_decay else None
        self.penalty, self.penalty_weight, self.penalty_every = penalty, penalty_weight, penalty_every
        self.replay = Replay()
        self._masks = draws.Masks()
        # Batch norm ties the examples of a batch together; without it reals and fakes can share one pass.
        self._judge_together = not any(isinstance(module, BatchNorm) for module in discriminator.modules())
        if penalty is not None and not self._judge_together:
            warnings.warn(
                "the discriminator has batch norm, so its score of one example depends on all others, but a gradient "
                "penalty constrains its slope at each example alone; leave batch norm out of the discriminator, or the "
                "penalty out of the game",
                stacklevel=2,
            )

    def train_step(self, real: Any, observe: GradientObserver | None = None) -> dict[str, Tensor]:
        """One step of Algorithm 1: n_critic updates of the discriminator and one of the generator.

        real: (n_critic * batch, ...), real data. The generator is judged by the fakes of the discriminator's last
        update: that spares it a second pass, and each player's gradient keeps its expectation. `observe(player,
        gradients)` is called before each update. Returns scalars on the device, which nothing has read yet:
        "discriminator_loss", "generator_loss", "real_score" = mean D(x), "fake_score" = mean D(G(z)), the scores as the
        discriminator gave them before its last update; with a penalty also "penalty", without its weight, where that
        update computed it. The loss of the discriminator is without the penalty.

        Where the step has been recorded before (see minigan.gan.replay) it is replayed: the same numbers, sooner.
        """
        inputs = self.draw(real)
        replayed = observe is None and backend.replays()
        report = self.replay(Recordable(self), inputs) if replayed else self.run_step(inputs, observe)
        for layer, count in inputs.dropout_draws:
            layer.draws.assign(layer.draws.data + count)
        self.step += 1
        return report

    def run_step(self, inputs: StepInputs, observe: GradientObserver | None = None) -> dict[str, Tensor]:
        """What a training step computes from `inputs` and from the memory that it changes in place; see `train_step`.

        It draws nothing, and reads nothing back from the device.
        """
        *earlier, last = inputs.updates  # the discriminator's: k of them in Algorithm 1
        with masks.supplied(inputs.masks):
            for update in earlier:
                gradients = self._gradients("discriminator", self.discriminator_pass(update), observe)
                self.discriminator_optimizer.step(gradients, update.update_scalars)
            judged = self.discriminator_pass(last)
            gradients = self._gradients("discriminator", judged, observe)
            if not self.rules.simultaneous:
                self.discriminator_optimizer.step(gradients, last.update_scalars)
            answered = self.generator_pass(last, judged)
            generator_gradients = self._gradients("generator", answered, observe)
        if self.rules.simultaneous:
            self.discriminator_optimizer.step(gradients, last.update_scalars)
        self.generator_optimizer.step(generator_gradients, inputs.update_scalars)
        if self.ema is not None and inputs.ema_weight is not None:
            self.ema.update(inputs.ema_weight)
        return _report(judged, answered)

    def _gradients(self, player: str, of: Pass, observe: GradientObserver | None) -> list[Tensor]:
        """Those of what the player minimises; none goes to the other's weights: they are not asked for."""
        gradients = grad(of.objective, getattr(self, f"{player}_optimizer").parameters, keep_graph=False)
        if observe is not None:
            observe(player, gradients)
        return gradients

    def discriminator_pass(self, inputs: UpdateInputs) -> Pass:
        """What the discriminator minimises in an update, as a function of `inputs` and of both networks."""
        fake, shown = self._shown(inputs)
        real_logits, fake_logits = self.discriminate(*shown)
        loss = objective = self.loss.discriminator(real_logits, fake_logits)
        penalty = None
        if self.penalty is not None and inputs.penalty_weight is not None:
            penalty = self.penalty(self.discriminator, *shown, copy_draws(inputs.penalty_draws))
            objective = loss + penalty * inputs.penalty_weight
        return Pass(inputs.real, fake, shown, real_logits, fake_logits, loss, penalty, objective)

    def generator_pass(self, inputs: UpdateInputs, judged: Pass | None = None) -> Pass:
        """What the generator minimises, as a function of `inputs` and of both networks.

        With `judged`, the discriminator's pass on the same inputs, it answers for the fakes made there.
        """
        fake, shown = self._shown(inputs) if judged is None else (judged.fake, judged.discriminator_inputs)
        real_logits: Tensor | None
        if self.rules.unroll_steps:
            real_logits, fake_logits = unrolled_logits(
                self.discriminator, self.loss, *shown, self.rules.unroll_steps, self.rules.unroll_rate
            )
        else:
            with no_grad():  # the reals do not depend on the generator
                real_logits = self.discriminator(shown[0]) if self.loss.relativistic else None
            fake_logits = self.discriminator(shown[1])
        loss = self.loss.generator(fake_logits, real_logits)
        return Pass(inputs.real, fake, shown, real_logits, fake_logits, loss, None, loss)

    def _shown(self, inputs: UpdateInputs) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """What the generator makes of `inputs`, and what the discriminator sees of real and fake examples."""
        fake = self.generator(inputs.latent)
        shown = self.rules.discriminator_input
        return fake, (shown(inputs.real, inputs.real_noise), shown(fake, inputs.fake_noise))

    def discriminate(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of both, in one pass of the discriminator where that makes no difference."""
        if not self._judge_together:
            return self.discriminator(real), self.discriminator(fake)
        logits = self.discriminator(concatenate([real, fake]))
        return logits[: len(real)], logits[len(real) :]

    def draw(self, real: Any) -> StepInputs:
        """What the next training step is computed from, given its real data; the same until that step has been taken.

        What is random is a pure function of (seed, purpose, step), a dropout mask of its layer's seed and count of
        draws; the numbers of the optimisers follow their settings and counts of updates. With dropout the passes of the
        step are made once for each new form of inputs, to find out which masks they take; what they leave behind is put
        back.
        """
        batches = self.rules.batches(real if isinstance(real, Tensor) else Tensor(real))
        inputs = StepInputs(
            tuple(self.draw_update(batch, ahead) for ahead, batch in enumerate(batches)),
            self.generator_optimizer.numbers(),
            self.ema.weight(self.step + 1) if self.ema else None,
        )
        return self._masks.add(self, inputs)

    def draw_update(self, real: Tensor, ahead: int = 0) -> UpdateInputs:
        """What the discriminator's update that comes `ahead` of its next one is computed from, given its batch."""
        return draws.of_update(self, real, ahead)

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

    def latent_from(self, rng: np.random.Generator, count: int, draw: latents.DrawFunction = latents.draw) -> Tensor:
        """`count` latent vectors (count, latent_size) drawn from `rng`."""
        dtype = self.generator_optimizer.parameters[0].dtype
        return Tensor(draw(self.latent_distribution, rng, (count, self.latent_size), dtype.type))

    def sample(self, latent: Any) -> Tensor:
        """What the (averaged) generator makes of `latent` (count, latent_size): running statistics, no dropout."""
        generator = self.ema.network if self.ema else self.generator
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

    def _parts(self) -> dict[str, Module | Optimizer | EMA]:
        parts: dict[str, Module | Optimizer | EMA] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
        return parts if self.ema is None else parts | {"generator_average": self.ema}


def _report(judged: Pass, answered: Pass) -> dict[str, Tensor]:
    """What a step tells of itself; new Tensors, for those of the passes would keep the graph in memory."""
    report = {"discriminator_loss": judged.loss}
    with no_grad():
        report |= {"real_score": _score(judged.real_logits), "fake_score": _score(judged.fake_logits)}
    if judged.penalty is not None:
        report["penalty"] = judged.penalty
    report["generator_loss"] = answered.loss
    return {name: Tensor(value) for name, value in report.items()}


def _score(logits: Any) -> Tensor:
    """mean D = mean sigmoid(logits), for people to watch: tanh is exact enough for them."""
    return mean(tanh(logits * 0.5)) * 0.5 + 0.5
