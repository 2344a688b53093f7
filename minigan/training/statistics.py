"""Statistics of a GAN's training, measured between two steps without changing the training.

Most are ratios, so that they mean the same for points and for images, and for losses whose logits have different units.
minigan.training.findings says which values are a fault.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad
from minigan.core import random
from minigan.gan import GAN, Pass
from minigan.gan.batches import Batch, parts
from minigan.gan.conditions import Outputs, logits_of, loss_given
from minigan.gan.generator_terms import weighted
from minigan.gan.inputs import UpdateInputs
from minigan.gan.losses import Loss
from minigan.gan.penalties import copy_draws, draw_for
from minigan.nn.module import preserve_state
from minigan.ops import reshape
from minigan.ops import sum as sum_
from minigan.optim.schedules import value_at
from minigan.training.gradient_agreement import GradientAgreement, GradientComparison

_MAX_EXAMPLES = 256  # more would take long, since distances between all pairs are measured
_CONSTANT_LOGITS = (0.0, 0.25, -0.25, 0.5, -0.5, 0.75, -0.75, 1.0, -1.0)  # the best is 0 or 1/2 in every known loss


@dataclass(frozen=True)
class ConstantDiscriminator:
    """The losses of the best discriminator among those that give every example the same logit, and 0 in other heads.

    loss: the discriminator's. real_slope, fake_slope: d loss / d logit, summed over the real and over the fake
    examples. generator_slope: d generator loss / d logit, summed over the fake examples.
    """

    loss: float
    real_slope: float
    fake_slope: float
    generator_slope: float

    @classmethod
    def of(cls, loss: Loss, outputs: Outputs | None = None) -> ConstantDiscriminator:
        """The losses of the logit, out of a few, that has the smallest discriminator loss by `loss`.

        outputs: some of the discriminator, for a loss that takes other heads than the logits, or conditions.
        """
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        shapes = [(2, 1) if head is None else head.shape for head in heads]
        constants = (cls._with_logit(loss, logit, shapes) for logit in _CONSTANT_LOGITS)
        return min(constants, key=lambda constant: constant.loss)

    @classmethod
    def _with_logit(cls, loss: Loss, logit: float, shapes: Sequence[tuple[int, ...]]) -> ConstantDiscriminator:
        real, fake = (_constant_outputs(logit, shapes) for _ in range(2))
        value, logits = loss.discriminator(real, fake), [logits_of(real), logits_of(fake)]
        slopes = [*grad(value, logits), *grad(loss.generator(fake, real), logits[1:])]
        return cls(value.item(), *(float(slope.numpy().sum()) for slope in slopes))


def _constant_outputs(logit: float, shapes: Sequence[tuple[int, ...]]) -> Outputs:
    """`logit` for every example, and 0 in the other heads, of these shapes."""
    first, *others = shapes
    logits = Tensor(np.full(first, logit))
    return (logits, *(Tensor(np.zeros(shape)) for shape in others)) if others else logits


@dataclass(frozen=True)
class TrainingStatistics:
    """The statistics that `TrainingMonitor.measure` measured at `step`.

    Distances between examples are Euclidean; the first four are in units of the mean distance between two real
    examples. d stands for the mean distance between a real and a fake example. Ratios to 0 are NaN: distances in units
    of real examples that are all equal, or anything over d = 0.

    all_finite: whether all samples, logits and losses are finite.
    diversity: mean distance between two fakes: 1 for a generator that varies as the data do.
    distance_to_data: d: 1 if the fakes lie among the real examples.
    nearest_fake_distance: mean distance from a real example to the nearest fake, less the mean distance from a real
        example to the nearest other real one: near 0 for perfect samples, large if they miss a part of the data.
    nearest_real_distance: the same from a fake to the nearest real example: large if fakes lie far from the data.
    logit_gap: mean logit of real examples less mean logit of fakes.
    lipschitz_bound: logit_gap / d, a lower bound of the discriminator's Lipschitz constant.
    discriminator_logit_gradient: mean |d discriminator loss / d logit|, over that of a constant discriminator.
    generator_loss_gap: by how much the generator's loss would fall if fakes had the logits of real examples.
    sample_gradient: d * mean |d generator loss / d fake| * number of examples, over generator_loss_gap. By the mean
        value theorem that is the slope of the loss at the samples over its average slope on the way to the data.
        Infinite if there is a slope and no gap.
    generator_logit_gradient: mean |d generator loss / d logit of a fake|, over that of a constant discriminator. This
        and sample_gradient are NaN if the generator also minimises another term.
    discriminator_objective: the discriminator's loss + the weighted penalty.
    constant_objective: the same for a discriminator that gives every example the same logit.
    objective_unit: the unit for the difference of these two; d if the loss has none of its own.
    penalty: with its weight; NaN without a penalty.
    generator_gradient, discriminator_gradient: what their optimisers received in the step after the measurement before.
    """

    step: int
    all_finite: bool
    diversity: float
    distance_to_data: float
    nearest_fake_distance: float
    nearest_real_distance: float
    logit_gap: float
    lipschitz_bound: float
    discriminator_logit_gradient: float
    generator_loss_gap: float
    sample_gradient: float
    generator_logit_gradient: float
    discriminator_objective: float
    constant_objective: float
    objective_unit: float
    penalty: float
    generator_gradient: GradientAgreement
    discriminator_gradient: GradientAgreement

    @property
    def objective_is_bounded(self) -> bool:
        """Whether the discriminator's objective has a lower bound; Wasserstein's has none."""
        return self.constant_objective > 0

    def to_row(self) -> list[float]:
        """All values in the order of the fields, which is that of a row in a checkpoint."""
        *own, generator, discriminator = astuple(self)
        return [float(value) for value in (*own, *generator, *discriminator)]

    @classmethod
    def from_row(cls, row: Sequence[float]) -> TrainingStatistics:
        """The inverse of `to_row`."""
        step, all_finite, *numbers = row
        own_values, generator, discriminator = numbers[:-6], numbers[-6:-3], numbers[-3:]
        agreements = [
            GradientAgreement(cosine, subtracted, bool(is_zero))
            for cosine, subtracted, is_zero in (generator, discriminator)
        ]
        values: list[Any] = [int(step), bool(all_finite), *own_values, *agreements]
        return cls(*values)


ROW_LENGTH = len(fields(TrainingStatistics)) - 2 + 2 * len(fields(GradientAgreement))
"""How many numbers `TrainingStatistics.to_row` returns."""


class TrainingMonitor:
    """Measures statistics of a GAN, and compares the first gradient each optimiser receives after a measurement."""

    def __init__(self, gan: GAN) -> None:
        self._gan = gan
        # A loss that takes other outputs than the logits, or conditions, is evaluated in the first measurement.
        self._takes_logits = not (gan.loss.multi_head or gan.loss.uses_condition)
        self._constant = ConstantDiscriminator.of(gan.loss) if self._takes_logits else None
        self._comparisons: dict[str, GradientComparison] = {}  # by player, the generator's first
        self.awaits_gradients = False
        """Whether an optimiser's gradient has not been observed since the last measurement."""

    def observe(self, player: str, gradients: list[Tensor]) -> None:
        """A gradient observer for `GAN.train_step`; the first gradients of each player after a measurement count."""
        self._comparisons[player].compare(gradients)
        self.awaits_gradients = any(comparison.is_pending for comparison in self._comparisons.values())

    def inner_products(self) -> dict[str, np.ndarray]:
        """By player, the inner products of the gradients since the last measurement (see GradientComparison).

        Waits for the device.
        """
        return {player: comparison.inner_products() for player, comparison in self._comparisons.items()}

    def load_inner_products(self, inner_products: Mapping[str, np.ndarray]) -> None:
        """Restore what `inner_products` returned, and compare no more gradients before the next measurement.

        If an optimiser had received no gradient yet, call `measure` at the same step, to compare the coming ones.
        """
        self._comparisons = {
            player: GradientComparison.from_inner_products(products) for player, products in inner_products.items()
        }
        self.awaits_gradients = False

    @property
    def constant_discriminator(self) -> ConstantDiscriminator:
        """The best constant discriminator, by the batch of the last measurement if the loss depends on it."""
        assert self._constant is not None
        return self._constant

    def measure(self, batch: Batch) -> TrainingStatistics:
        """The statistics at this step, with real data (n, ...), or a pair of them and their conditions.

        Changes no parameter, uses none of training's random draws, and restores what the networks' passes change.
        """
        (real, condition), packing = parts(batch), self._gan.rules.packing
        count = max(packing, min(len(real), _MAX_EXAMPLES) // packing * packing)
        if len(real) > count:
            batch = real[:count] if condition is None else (real[:count], condition[:count])
        with np.errstate(all="ignore"), preserve_state(self._gan.generator, self._gan.discriminator):
            return self._measure(batch)

    def _measure(self, batch: Batch) -> TrainingStatistics:
        gan, (real, _) = self._gan, parts(batch)
        agreements = {player: comparison.agreement() for player, comparison in self._comparisons.items()}
        inputs = _diagnosis_inputs(gan, batch)
        outputs = gan.discriminator_pass(inputs)
        fake, logits = outputs.fake, _logits(outputs)
        loss = loss_given(gan.loss, gan.rules.discriminator_condition(inputs.condition))
        if not self._takes_logits:
            self._constant = ConstantDiscriminator.of(loss, outputs.fake_outputs)
        generator_loss = loss.generator(outputs.fake_outputs, outputs.real_outputs)  # before the discriminator's update
        at_samples, at_logits = grad(generator_loss, [fake, logits[1]])
        _, objective = weighted(gan.generator_term, generator_loss, fake, inputs)
        gradients = grad(objective, gan.generator_optimizer.parameters)
        discriminator, expected = _discriminator_statistics(gan, inputs, outputs, self.constant_discriminator)
        self._comparisons = {
            "generator": GradientComparison([g.data for g in gradients]),
            "discriminator": GradientComparison(*expected),
        }
        self.awaits_gradients = True
        distances = _Distances(real, fake)
        logit_gap = float(logits[0].numpy().mean() - logits[1].numpy().mean())
        generator_loss_gap = _generator_loss_gap(loss, outputs.real_outputs, outputs.fake_outputs)
        slope = float(np.linalg.norm(_rows(at_samples), axis=1).sum())
        constant_objective = discriminator["constant_objective"]
        sample_gradient = _sample_gradient(slope, distances.between, generator_loss_gap)
        logit_gradient = _ratio(_absolute_sum(at_logits), abs(self.constant_discriminator.generator_slope))
        if gan.generator_term is not None:  # the generator's gradient does not vanish with that of its loss
            sample_gradient = logit_gradient = math.nan
        return TrainingStatistics(
            step=gan.step,
            all_finite=all(
                map(
                    math.isfinite,
                    (distances.fakes, distances.between, logit_gap, discriminator["discriminator_objective"]),
                )
            ),
            diversity=_ratio(distances.fakes, distances.reals),
            distance_to_data=_ratio(distances.between, distances.reals),
            nearest_fake_distance=_ratio(distances.nearest_fake, distances.reals),
            nearest_real_distance=_ratio(distances.nearest_real, distances.reals),
            logit_gap=logit_gap,
            lipschitz_bound=_ratio(logit_gap, distances.between),
            generator_loss_gap=generator_loss_gap,
            sample_gradient=sample_gradient,
            generator_logit_gradient=logit_gradient,
            objective_unit=constant_objective if constant_objective > 0 else distances.between or math.nan,
            generator_gradient=agreements.get("generator", GradientAgreement()),
            discriminator_gradient=agreements.get("discriminator", GradientAgreement()),
            **discriminator,
        )


def _diagnosis_inputs(gan: GAN, batch: Batch) -> UpdateInputs:
    """The inputs of the discriminator's next update on `batch`, but with random draws of the diagnosis's own.

    The penalty is computed at each measurement, with the weight that it would have if every update computed it.
    """
    real, _ = parts(batch)
    inputs = replace(gan.draw_update(batch), latent=gan.latent(len(real), "diagnosis", gan.step))
    if gan.penalty is None:
        return inputs
    rng = random.generator(gan.seed, "diagnosis/penalty", gan.step)
    draws = draw_for(gan.penalty, rng, gan.rules.discriminator_input_shape(real.shape), real.dtype)
    weight = Tensor(real.dtype.type(value_at(gan.penalty_weight, gan.step)))
    return replace(inputs, penalty_draws=draws, penalty_weight=weight)


def _discriminator_statistics(
    gan: GAN, inputs: UpdateInputs, outputs: Pass, constant: ConstantDiscriminator
) -> tuple[dict[str, Any], list[list[Any]]]:
    """The statistics of the discriminator's loss and penalty, by name, and the gradients to compare with.

    The gradients are those of loss + penalty and of loss - penalty, or of the loss if the next update has no penalty.
    """
    penalty, constant_penalty = math.nan, 0.0
    slopes = grad(outputs.loss, _logits(outputs))
    parameters = gan.discriminator_optimizer.parameters
    expected = [[g.data for g in grad(outputs.loss, parameters)]]
    if gan.penalty is not None and outputs.penalty is not None:
        weighted = outputs.penalty * inputs.penalty_weight
        penalty_of_constant = gan.penalty(
            _constant_logits, *outputs.discriminator_inputs, copy_draws(inputs.penalty_draws)
        )
        penalty, constant_penalty = weighted.item(), (penalty_of_constant * inputs.penalty_weight).item()
        if gan.step * gan.rules.n_critic % gan.penalty_every == 0:  # the next update computes it
            penalty_gradients = [g.data * gan.penalty_every for g in grad(weighted, parameters, keep_graph=False)]
            expected = [[x + sign * y for x, y in zip(expected[0], penalty_gradients, strict=True)] for sign in (1, -1)]
    statistics = {
        "discriminator_logit_gradient": _ratio(
            sum(map(_absolute_sum, slopes)), abs(constant.real_slope) + abs(constant.fake_slope)
        ),
        "discriminator_objective": outputs.loss.item() + (0.0 if gan.penalty is None else penalty),
        "constant_objective": constant.loss + constant_penalty,
        "penalty": penalty,
    }
    return statistics, expected


def _logits(outputs: Pass) -> tuple[Tensor, Tensor]:
    """The logits of the real examples and of the fakes in a pass of the discriminator."""
    assert outputs.real_logits is not None
    return outputs.real_logits, outputs.fake_logits


def _constant_logits(x: Tensor) -> Tensor:
    """A discriminator that gives every example the logit 0: (n, ...) to (n, 1)."""
    return sum_(reshape(x * 0.0, (len(x), -1)), axis=1, keepdims=True)


def _generator_loss_gap(loss: Loss, real: Any, fake: Any) -> float:
    return (loss.generator(fake, real) - loss.generator(real, fake)).item()


def _absolute_sum(slopes: Tensor) -> float:
    return float(abs(slopes.numpy()).sum())


class _Distances:
    """Mean distances between examples, in the units of the data.

    reals, fakes, between: between two real examples, between two fakes, between a real example and a fake.
    nearest_fake, nearest_real: see TrainingStatistics.nearest_fake_distance.
    """

    def __init__(self, real: Tensor, fake: Tensor) -> None:
        reals, fakes = _rows(real), _rows(fake)
        real_to_real, real_to_fake = _distances(reals, reals), _distances(reals, fakes)
        self.reals, self.fakes = _mean_of_pairs(real_to_real), _mean_of_pairs(_distances(fakes, fakes))
        self.between = float(real_to_fake.mean())
        np.fill_diagonal(real_to_real, np.inf)
        nearest = float(real_to_real.min(axis=1).mean()) if len(reals) > 1 else 0.0
        self.nearest_fake = float(real_to_fake.min(axis=1).mean()) - nearest
        self.nearest_real = float(real_to_fake.min(axis=0).mean()) - nearest


def _rows(examples: Tensor) -> np.ndarray:
    return examples.numpy().reshape(len(examples), -1)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a_i - b_j|, (n, m), of points (n, d) and (m, d).

    Computed relative to a point of b, so that little cancels, and that equal points have a distance of exactly 0.
    """
    a, b = (a - b[0]).astype(np.float64), (b - b[0]).astype(np.float64)
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _mean_of_pairs(distances: np.ndarray) -> float:
    """The mean of the distances (n, n) between different points."""
    return float(distances.sum() / max(1, len(distances) * (len(distances) - 1)))


def _sample_gradient(slope: float, distance: float, generator_loss_gap: float) -> float:
    if not distance:
        return math.nan  # the samples are the data
    if generator_loss_gap <= 0:
        return math.inf if slope else 0.0
    return distance * slope / generator_loss_gap


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan
