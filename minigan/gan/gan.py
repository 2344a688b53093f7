"""A GAN: a generator and a discriminator, and their training step (Goodfellow et al., 2014, Algorithm 1)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad, no_grad
from minigan.core import backend, random
from minigan.gan import arguments, draws, dry_run, latents, saved_state
from minigan.gan.batches import FirstBatches, as_batch, require_equal_shapes
from minigan.gan.conditions import as_arguments, given, loss_given, require_outputs, require_scalar, score_of
from minigan.gan.ema import EMA
from minigan.gan.fitting import Fitting
from minigan.gan.generator_terms import GeneratorTerm, weighted
from minigan.gan.inputs import StepInputs, UpdateInputs, on_device, tree_map
from minigan.gan.interface import GradientObserver, Pass
from minigan.gan.losses import Loss
from minigan.gan.misfits import misfit
from minigan.gan.penalties import Penalty, copy_draws
from minigan.gan.recordable import RecordableStep
from minigan.gan.replay import Replay
from minigan.gan.report import report
from minigan.gan.rules import Rules
from minigan.gan.sampling import generate, sampling_inputs
from minigan.gan.summary import GANSummary, description, summarize
from minigan.gan.unrolling import unrolled_logits
from minigan.nn import Module, random_layer
from minigan.nn.module import preserve_state
from minigan.ops import concatenate
from minigan.optim import Optimizer
from minigan.optim.schedules import Schedule


class GAN(Fitting):
    """Two networks, a loss, and an optimiser for each network; `step` counts the training steps taken.

    generator: maps latent vectors (batch, latent_size) to samples. discriminator: maps data to logits (batch, 1). If
    batches are pairs (x, y), both get the conditions y as a second input (see minigan.gan.conditions).
    loss: a Loss, or the name of one, such as "hinge" (see minigan.gan.losses). An optimiser that is left out is Adam
    with learning rate 2e-4, beta1 0.5 and beta2 0.999 (Radford et al., 2016, section 4).
    latent_distribution: the distribution of the latent vectors (see minigan.gan.latents). ema_decay: if above 0,
    `sample` uses an exponential moving average (EMA) of the generator with this decay per step.

    With a `penalty`, a function or its name, such as "r1" (see minigan.gan.penalties), the discriminator minimises its
    loss + penalty_weight * penalty; the weight is a number or a schedule over the steps. With `penalty_every` k the
    penalty is computed at every k-th of the discriminator's updates only, beginning with the first, with k times the
    weight (Karras et al., 2020, appendix B).

    With a `generator_term`, a function or Module (fake, real, condition) -> scalar Tensor, the generator minimises
    adversarial_weight * loss + generator_term_weight * term (Isola et al., 2017, equation 4), where both weights are
    numbers or schedules over the steps. With adversarial_weight 0 the discriminator learns, but the generator does not
    follow it. A term that needs the generator is one of its methods, generator.method.

    rules: the order of the updates and what the discriminator sees (see minigan.gan.rules). Raises ValueError for
    settings out of range and optimisers that train other parameters, TypeError for an argument of another kind,
    UsageError for an unknown name.
    """

    def __init__(
        self,
        generator: Module,
        discriminator: Module,
        loss: Loss | str = "non-saturating",
        generator_optimizer: Optimizer | None = None,
        discriminator_optimizer: Optimizer | None = None,
        *,
        latent_size: int,
        latent_distribution: str = "normal",
        seed: int = 0,
        ema_decay: float = 0.0,
        penalty: Penalty | str | None = None,
        penalty_weight: float | Schedule = 10.0,
        penalty_every: int = 1,
        generator_term: GeneratorTerm | None = None,
        generator_term_weight: float | Schedule = 1.0,
        adversarial_weight: float | Schedule = 1.0,
        rules: Rules = Rules(),  # noqa: B008 - it is frozen
    ) -> None:
        arguments.require_settings(latent_size, seed, ema_decay, penalty_every, rules)
        arguments.require_weights(
            penalty_weight=penalty_weight,
            generator_term_weight=generator_term_weight,
            adversarial_weight=adversarial_weight,
        )
        latents.require_distribution(latent_distribution)
        networks = self.generator, self.discriminator = arguments.networks(generator, discriminator)
        self.loss, self.rules = arguments.loss(loss, rules.label_smoothing), rules
        optimizers = generator_optimizer, discriminator_optimizer
        self.generator_optimizer, self.discriminator_optimizer = arguments.optimizers(networks, optimizers)
        self.latent_size, self.latent_distribution, self.seed, self.step = latent_size, latent_distribution, seed, 0
        self.ema = EMA(generator, ema_decay) if ema_decay else None
        self.penalty = arguments.penalty(penalty)
        self.penalty_weight, self.penalty_every = penalty_weight, penalty_every
        self.generator_term = arguments.generator_term(generator_term, generator, adversarial_weight)
        self.generator_term_weight, self.adversarial_weight = generator_term_weight, adversarial_weight
        self.replay = Replay()
        self._masks = draws.LayerDraws()
        self._first_batches = FirstBatches()
        # With batch norm each output depends on the whole batch; without it reals and fakes can share one pass.
        self._single_pass = not any(module.mixes_examples for module in discriminator.modules())
        if (doubt := arguments.doubt(discriminator, self.loss, self.penalty)) is not None:
            warnings.warn(doubt, stacklevel=2)

    def train_step(self, batch: Any, observe: GradientObserver | None = None) -> dict[str, Tensor]:
        """One step of Algorithm 1: n_critic updates of the discriminator, then one of the generator.

        batch: real examples x (n_critic * batch size, ...), or a pair (x, y) of them and their conditions y, such as
        class numbers (n_critic * batch size,): then the networks are called as generator(z, y) and discriminator(x, y).
        Numbers of another dtype than the networks' are converted; 8-bit pictures are refused (TypeError).

        The generator's update uses the samples of the discriminator's last update: this saves a forward pass of the
        generator, and changes neither player's expected gradient. `observe(player, gradients)` is called before each
        update.

        Returns scalar Tensors, not yet read from the device: "discriminator_loss" (without the penalty),
        "generator_loss" (without the term and its weight), "real_score" = mean D(x), "fake_score" = mean D(G(z)), both
        as computed in the discriminator's last update, before its weights changed; "penalty", without its weight, if
        that update computed it; and "generator_term", if there is one, without its weight. A step that has been
        recorded (see minigan.gan.replay) is replayed: the same numbers in less time.

        Raises ValueError if a network does not fit the data or the latent vectors, naming the shapes, and if the first
        batch of a shape has numbers that are NaN or infinite (arrays on a device are not read).
        """
        converted = as_batch(batch, self._dtype)
        self._first_batches.require_finite(batch, converted)
        try:
            inputs = self.draw(converted)
            use_replay = observe is None and backend.replay_enabled()
            scalars = self.replay(RecordableStep(self), inputs) if use_replay else self.run_step(inputs, observe)
        except (TypeError, ValueError) as error:
            if (sentence := misfit(self, converted)) is not None:
                raise ValueError(sentence) from error
            raise
        for layer, count in inputs.dropout_draws:
            layer.draws.assign(layer.draws.data + count)
        self.step += 1
        return scalars

    def run_step(self, inputs: StepInputs, observe: GradientObserver | None = None) -> dict[str, Tensor]:
        """The computation of `train_step`: it draws no random numbers and reads nothing back from the device."""
        with dry_run.announced_step(self, inputs):
            return self._run_step(inputs, observe)

    def _run_step(self, inputs: StepInputs, observe: GradientObserver | None) -> dict[str, Tensor]:
        *earlier, last = inputs.updates  # k updates of the discriminator in Algorithm 1
        with random_layer.using_draws(inputs.masks):
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
        return report(d_pass, g_pass)

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
        condition = self.rules.discriminator_condition(inputs.condition)
        real_outputs, fake_outputs = self.discriminate(*both, *as_arguments(condition))
        loss = objective = loss_given(self.loss, condition).discriminator(real_outputs, fake_outputs)
        require_scalar(loss, "discriminator's loss")
        penalty = None
        if self.penalty is not None and inputs.penalty_weight is not None:
            critic = score_of(given(self.discriminator, condition), fake_outputs)
            penalty = self.penalty(critic, *both, copy_draws(inputs.penalty_draws))
            require_scalar(penalty, "penalty")
            objective = loss + penalty * inputs.penalty_weight
        return Pass(inputs.real, fake, both, real_outputs, fake_outputs, loss, objective, penalty=penalty)

    def generator_pass(self, inputs: UpdateInputs, d_pass: Pass | None = None) -> Pass:
        """The generator's objective: its loss under the discriminator as it is now, or unrolled if the rules say so,
        and the generator term, each with its weight.

        d_pass: the discriminator's pass on the same inputs, whose samples are then used instead of new ones.
        """
        fake, both = self._generate(inputs) if d_pass is None else (d_pass.fake, d_pass.discriminator_inputs)
        real_input, fake_input = both
        condition = self.rules.discriminator_condition(inputs.condition)
        discriminator, loss = given(self.discriminator, condition), loss_given(self.loss, condition)
        if not self.rules.unroll_steps:
            with no_grad():  # the real examples do not depend on the generator
                real_outputs = discriminator(real_input) if loss.relativistic else None
            fake_outputs = discriminator(fake_input)
        else:
            real_outputs, fake_outputs = unrolled_logits(
                discriminator, loss, real_input, fake_input, self.rules.unroll_steps, self.rules.unroll_rate
            )
        value = loss.generator(fake_outputs, real_outputs)
        require_scalar(value, "generator's loss")
        term, objective = weighted(self.generator_term, value, fake, inputs)
        return Pass(inputs.real, fake, both, real_outputs, fake_outputs, value, objective, term=term)

    def _generate(self, inputs: UpdateInputs) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The generator's samples, and both inputs of the discriminator, real and fake, with noise and packed."""
        fake = self.generator(inputs.latent, *as_arguments(inputs.condition))
        require_equal_shapes(inputs.real, fake)
        as_input = self.rules.discriminator_input
        return fake, (as_input(inputs.real, inputs.real_noise), as_input(fake, inputs.fake_noise))

    def discriminate(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Any, Any]:
        """The logits of real and fake examples, in one pass of the discriminator unless it has batch norm.

        condition: that of the reals, and of the fakes. A discriminator with several outputs gives two tuples.
        """
        discriminator, count = given(self.discriminator, condition), len(real)
        if not self._single_pass:
            outputs = discriminator(real), discriminator(fake)
            require_outputs(outputs[0], self.loss, count)
            return outputs
        both = discriminator(concatenate([real, fake]))
        require_outputs(both, self.loss, count + len(fake))
        return tree_map(both, lambda x: x[:count]), tree_map(both, lambda x: x[count:])

    def draw(self, batch: Any) -> StepInputs:
        """The inputs of the next training step on `batch`; the same until that step has been taken.

        Random numbers are a pure function of (seed, purpose, step), those of layers such as dropout of their layer's
        seed and count of draws. If a network has such layers, the step's forward passes run once for each new signature
        of the inputs, to find out which arrays they need; the networks' state is restored afterwards.
        """
        batches = self.rules.batches(as_batch(batch, self._dtype))
        with backend.staying_on_host():
            inputs = StepInputs(
                tuple(draws.update_inputs(self, part, ahead) for ahead, part in enumerate(batches)),
                self.generator_optimizer.update_scalars(),
                self.ema.weight(self.step + 1) if self.ema else None,
            )
        inputs, uploads = on_device(inputs)
        return self._masks.add(self, replace(inputs, uploads=uploads) if uploads else inputs)

    def draw_update(self, batch: Any, ahead: int = 0) -> UpdateInputs:
        """The inputs of the discriminator's update that comes `ahead` updates after its next one, on `batch`."""
        converted = as_batch(batch, self._dtype)
        with backend.staying_on_host():
            inputs = draws.update_inputs(self, converted, ahead)
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
        return Tensor(draw(self.latent_distribution, rng, (count, self.latent_size), self._dtype.type))

    def sample(self, latent: Any, condition: Any = None, *, seed: int | None = None) -> Tensor:
        """Samples of the generator, or of its EMA, at `latent` (count, latent_size), in eval mode.

        latent: or a count, for that many latent vectors: those of `latent(count, "samples")`, or of another `seed`.
        condition: (count, ...) in a conditional GAN, such as class numbers (count,).
        Raises ValueError for latent vectors of another shape, another number of conditions, and if the generator fails
        on them, such as that of a conditional GAN without conditions.
        """
        inputs = sampling_inputs(self, latent, condition, seed)
        generator = self.ema.network if self.ema else self.generator
        with preserve_state(generator), no_grad():
            return generate(generator.eval(), *inputs)

    def summary(self, condition_shape: int | tuple[int, ...] | None = None) -> GANSummary:
        """Both networks layer by layer, with output shapes and numbers of parameters; `print` and notebooks show it.

        condition_shape: the shape of one condition in a conditional GAN, without the batch; () for class numbers.
        Raises ValueError if the generator fails on latent vectors and such conditions.
        """
        return summarize(self, condition_shape)

    def __repr__(self) -> str:
        return description(self)

    @property
    def _dtype(self) -> np.dtype:
        return self.generator_optimizer.parameters[0].dtype

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, copied to the host, by name."""
        return saved_state.state(self)

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state()` returned; raises ValueError, and changes nothing, unless all of it matches."""
        saved_state.load_state(self, state)
