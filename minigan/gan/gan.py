"""A GAN: a generator and a discriminator, and their training step (Goodfellow et al., 2014, Algorithm 1)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad, no_grad
from minigan.core import backend, random
from minigan.core.state_check import require_matching_state
from minigan.gan import draws, dry_run, latents
from minigan.gan.ema import EMA
from minigan.gan.inputs import StepInputs, UpdateInputs, on_device
from minigan.gan.interface import GradientObserver, Pass
from minigan.gan.losses import LabelSmoothing, Loss
from minigan.gan.penalties import Penalty, copy_draws
from minigan.gan.recordable import RecordableStep
from minigan.gan.replay import Replay
from minigan.gan.rules import Rules
from minigan.gan.unrolling import unrolled_logits
from minigan.nn import BatchNorm, Module, dropout
from minigan.nn.module import preserve_state
from minigan.ops import concatenate, mean, tanh
from minigan.optim import Optimizer
from minigan.optim.schedules import Schedule


class GAN:
    """Two networks, a loss, and an optimiser for each network; `step` counts the training steps taken.

    generator: maps latent vectors (batch, latent_size) to samples. discriminator: maps data to logits (batch, 1).
    latent_distribution: the distribution of the latent vectors (see minigan.gan.latents). ema_decay: if above 0,
    `sample` uses an exponential moving average (EMA) of the generator with this decay per step.

    With a `penalty` (see minigan.gan.penalties) the discriminator minimises its loss + penalty_weight * penalty; the
    weight is a number or a schedule over the steps. With `penalty_every` k the penalty is computed at every k-th of the
    discriminator's updates only, beginning with the first, with k times the weight (Karras et al., 2020, appendix B).

    rules: the order of the updates and what the discriminator sees (see minigan.gan.rules). Raises ValueError for
    settings out of range.
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
        self._masks = draws.DropoutMasks()
        # With batch norm each output depends on the whole batch; without it reals and fakes can share one pass.
        self._single_pass = not any(isinstance(module, BatchNorm) for module in discriminator.modules())
        if penalty is not None and not self._single_pass:
            warnings.warn(
                "the discriminator has batch norm, so its score of one example depends on all others, but a gradient "
                "penalty constrains its slope at each example alone; leave batch norm out, or train without penalty",
                stacklevel=2,
            )

    def train_step(self, real: Any, observe: GradientObserver | None = None) -> dict[str, Tensor]:
        """One step of Algorithm 1: n_critic updates of the discriminator, then one of the generator.

        real: (n_critic * batch, ...), real examples. The generator's update uses the samples of the discriminator's
        last update: this saves a forward pass of the generator, and changes neither player's expected gradient.
        `observe(player, gradients)` is called before each update.

        Returns scalar Tensors, not yet read from the device: "discriminator_loss" (without the penalty),
        "generator_loss", "real_score" = mean D(x), "fake_score" = mean D(G(z)), both as computed in the discriminator's
        last update, before its weights changed; and "penalty", without its weight, if that update computed it. A step
        that has been recorded (see minigan.gan.replay) is replayed: the same numbers in less time.
        """
        inputs = self.draw(real)
        use_replay = observe is None and backend.replay_enabled()
        report = self.replay(RecordableStep(self), inputs) if use_replay else self.run_step(inputs, observe)
        for layer, count in inputs.dropout_draws:
            layer.draws.assign(layer.draws.data + count)
        self.step += 1
        return report

    def run_step(self, inputs: StepInputs, observe: GradientObserver | None = None) -> dict[str, Tensor]:
        """The computation of `train_step`: it draws no random numbers and reads nothing back from the device."""
        with dry_run.announced_step(self, inputs):
            return self._run_step(inputs, observe)

    def _run_step(self, inputs: StepInputs, observe: GradientObserver | None) -> dict[str, Tensor]:
        *earlier, last = inputs.updates  # k updates of the discriminator in Algorithm 1
        with dropout.using_masks(inputs.masks):
            for update in earlier:
                self.update_discriminator(update, observe)
            d_pass = self.discriminator_pass(last)
            d_gradients = self._gradients("discriminator", d_pass, observe)
            if not self.rules.simultaneous:
                self.discriminator_optimizer.step(d_gradients, last.update_scalars)
            g_pass = self.generator_pass(last, d_pass)
            g_gradients = self._gradients("generator", g_pass, observe)
        if self.rules.simultaneous:
            self.discriminator_optimizer.step(d_gradients, last.update_scalars)
        self.generator_optimizer.step(g_gradients, inputs.update_scalars)
        if self.ema is not None and inputs.ema_weight is not None:
            self.ema.update(inputs.ema_weight)
        return _report(d_pass, g_pass)

    def update_discriminator(self, inputs: UpdateInputs, observe: GradientObserver | None = None) -> None:
        """One update of the discriminator, against the generator as it is now."""
        gradients = self._gradients("discriminator", self.discriminator_pass(inputs), observe)
        self.discriminator_optimizer.step(gradients, inputs.update_scalars)

    def _gradients(self, player: str, forward: Pass, observe: GradientObserver | None) -> list[Tensor]:
        """The gradients of the player's objective with respect to its own parameters only."""
        gradients = grad(forward.objective, getattr(self, f"{player}_optimizer").parameters, keep_graph=False)
        if observe is not None:
            observe(player, gradients)
        return gradients

    def discriminator_pass(self, inputs: UpdateInputs) -> Pass:
        """The discriminator's objective: its loss, plus the weighted penalty where `inputs` has a penalty weight."""
        fake, both = self._generate(inputs)
        real_logits, fake_logits = self.discriminate(*both)
        loss = objective = self.loss.discriminator(real_logits, fake_logits)
        penalty = None
        if self.penalty is not None and inputs.penalty_weight is not None:
            penalty = self.penalty(self.discriminator, *both, copy_draws(inputs.penalty_draws))
            objective = loss + penalty * inputs.penalty_weight
        return Pass(inputs.real, fake, both, real_logits, fake_logits, loss, penalty, objective)

    def generator_pass(self, inputs: UpdateInputs, d_pass: Pass | None = None) -> Pass:
        """The generator's objective, its loss under the discriminator as it is now, or unrolled if the rules say so.

        d_pass: the discriminator's pass on the same inputs, whose samples are then used instead of new ones.
        """
        fake, both = self._generate(inputs) if d_pass is None else (d_pass.fake, d_pass.discriminator_inputs)
        real_input, fake_input = both
        if not self.rules.unroll_steps:
            with no_grad():  # the real examples do not depend on the generator
                real_logits = self.discriminator(real_input) if self.loss.relativistic else None
            fake_logits = self.discriminator(fake_input)
        else:
            real_logits, fake_logits = unrolled_logits(
                self.discriminator, self.loss, real_input, fake_input, self.rules.unroll_steps, self.rules.unroll_rate
            )
        loss = self.loss.generator(fake_logits, real_logits)
        return Pass(inputs.real, fake, both, real_logits, fake_logits, loss, None, loss)

    def _generate(self, inputs: UpdateInputs) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The generator's samples, and both inputs of the discriminator, real and fake, with noise and packed."""
        fake, as_input = self.generator(inputs.latent), self.rules.discriminator_input
        return fake, (as_input(inputs.real, inputs.real_noise), as_input(fake, inputs.fake_noise))

    def discriminate(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of real and fake examples, in one pass of the discriminator unless it has batch norm."""
        if not self._single_pass:
            return self.discriminator(real), self.discriminator(fake)
        logits = self.discriminator(concatenate([real, fake]))
        return logits[: len(real)], logits[len(real) :]

    def draw(self, real: Any) -> StepInputs:
        """The inputs of the next training step on real examples `real`; the same until that step has been taken.

        Random numbers are a pure function of (seed, purpose, step), dropout masks of their layer's seed and count of
        draws. If a network has dropout, the step's forward passes run once for each new signature of the inputs, to
        find out which masks they need; the networks' state is restored afterwards.
        """
        batches = self.rules.batches(real if isinstance(real, Tensor) else Tensor(real))
        with backend.staying_on_host():
            inputs = StepInputs(
                tuple(draws.update_inputs(self, batch, ahead) for ahead, batch in enumerate(batches)),
                self.generator_optimizer.update_scalars(),
                self.ema.weight(self.step + 1) if self.ema else None,
            )
        inputs, uploads = on_device(inputs)
        return self._masks.add(self, replace(inputs, uploads=uploads) if uploads else inputs)

    def draw_update(self, real: Tensor, ahead: int = 0) -> UpdateInputs:
        """The inputs of the discriminator's update that comes `ahead` updates after its next one, on batch `real`."""
        with backend.staying_on_host():
            inputs = draws.update_inputs(self, real, ahead)
        return on_device(inputs)[0]

    def first_nonfinite_gradient(self) -> tuple[int, str] | None:
        """(step, parameter) of the first gradient that was not finite, None if all were; waits for the device."""
        first = []
        for name, updates in (("discriminator", self.rules.n_critic), ("generator", 1)):  # in the order of a step
            optimizer: Optimizer = getattr(self, f"{name}_optimizer")
            if nonfinite := optimizer.first_nonfinite_gradient():
                update, parameter = nonfinite
                first.append((-(-update // updates), f"{name}.{parameter}"))
        return min(first, key=lambda entry: entry[0]) if first else None

    def latent(self, count: int, purpose: str, step: int = 0) -> Tensor:
        """`count` latent vectors (count, latent_size): a pure function of (seed, purpose, step)."""
        rng = random.generator(self.seed, f"latent/{purpose}", step)
        return self.latent_from(rng, count, latents.draw_batch if purpose == "train" else latents.draw)

    def latent_from(self, rng: np.random.Generator, count: int, draw: latents.DrawFunction = latents.draw) -> Tensor:
        """`count` latent vectors (count, latent_size) drawn from `rng`."""
        dtype = self.generator_optimizer.parameters[0].dtype
        return Tensor(draw(self.latent_distribution, rng, (count, self.latent_size), dtype.type))

    def sample(self, latent: Any) -> Tensor:
        """Samples of the generator, or of its EMA, at `latent` (count, latent_size), in eval mode."""
        generator = self.ema.network if self.ema else self.generator
        with preserve_state(generator), no_grad():
            return generator.eval()(latent)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, copied to the host, by name."""
        state = {"step": np.asarray(self.step, np.int64)}
        for prefix, part in self._parts().items():
            state |= {f"{prefix}.{name}": value for name, value in part.state().items()}
        return state

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state()` returned; raises ValueError, and changes nothing, unless all of it matches."""
        require_matching_state(self.state(), state)
        for prefix, part in self._parts().items():
            names = [name for name in state if name.startswith(f"{prefix}.")]
            part.load_state({name.removeprefix(f"{prefix}."): state[name] for name in names})
        self.step = int(state["step"])

    def _parts(self) -> dict[str, Module | Optimizer | EMA]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            **({"generator_average": self.ema} if self.ema else {}),
        }


def _report(d_pass: Pass, g_pass: Pass) -> dict[str, Tensor]:
    """The scalars that a step returns, as new Tensors: those of the passes would keep the graph in memory."""
    report = {"discriminator_loss": d_pass.loss}
    with no_grad():
        report |= {"real_score": _score(d_pass.real_logits), "fake_score": _score(d_pass.fake_logits)}
    if d_pass.penalty is not None:
        report["penalty"] = d_pass.penalty
    report["generator_loss"] = g_pass.loss
    return {name: Tensor(value) for name, value in report.items()}


def _score(logits: Any) -> Tensor:
    """mean sigmoid(logits), by tanh: rounding near 0 does not matter in a report."""
    return mean(tanh(logits * 0.5)) * 0.5 + 0.5
