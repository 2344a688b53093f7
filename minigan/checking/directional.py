"""Compare analytic and numeric directional derivatives, over all entries of the inputs or over a range of them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from minigan.checking import tuning
from minigan.checking.finite_differences import DerivativeEstimate, Estimate, differentiate
from minigan.checking.problem import WeightedSum
from minigan.checking.step_limits import Line, StepLimits


@dataclass(frozen=True)
class Comparison:
    """An analytic directional derivative beside its numeric estimate; `tolerance` follows from the errors of both."""

    analytic: float
    estimate: DerivativeEstimate
    tolerance: float

    @property
    def numeric(self) -> float:
        """The numeric derivative."""
        return self.estimate.central.value

    @property
    def violation(self) -> float:
        """By how much the difference exceeds the tolerance; at a kink every value between the sides is right."""
        left, right = self.sides
        outside = max(min(left, right) - self.analytic, self.analytic - max(left, right))
        kink_error = tuning.ERROR_BARS * self.estimate.half_difference.error_bar if self.estimate.has_kink else 0.0
        return max(0.0, outside - self.tolerance - kink_error)

    @property
    def is_certain(self) -> bool:
        """Whether the difference is so large that an error of the estimate cannot explain it."""
        return self.violation > tuning.CERTAIN_TOLERANCES * self.tolerance

    @property
    def sides(self) -> tuple[float, float]:
        """The numeric derivatives from left and right; equal where there is no kink."""
        return self.estimate.one_sided() if self.estimate.has_kink else (self.numeric, self.numeric)


class DirectionalChecker:
    """Compares numeric and analytic derivatives of a weighted sum of f's outputs along directions.

    values: the weighted sum. limits: how far the entries may move. gradient: the analytic derivative of every entry.
    gradient_error: by how much it changes when the inputs are rounded differently. phi0: the sum at the point itself.
    magnitude: the size of the terms of the sum. eps: of the coarsest floating-point type that takes part. noise: by how
    much the sum differs between calls at the same point.
    """

    def __init__(
        self,
        values: WeightedSum,
        limits: StepLimits,
        gradient: np.ndarray,
        gradient_error: np.ndarray,
        phi0: float,
        magnitude: float,
        eps: float,
        noise: float = 0.0,
    ) -> None:
        self.values, self.limits, self.gradient, self.gradient_error = values, limits, gradient, gradient_error
        self.phi0, self.magnitude = phi0, magnitude
        self.eps, self.rounding = eps, max(eps * magnitude, noise)
        self._cached: tuple[np.ndarray, Line] | None = None

    def line(self, direction: np.ndarray) -> Line:
        """phi along `direction`; the values along the last direction are kept and not computed again."""
        if self._cached is None or self._cached[0] is not direction:
            self._cached = direction, functools.cache(self.values.along(direction))
        return self._cached[1]

    def analytic(self, direction: np.ndarray) -> float:
        """<gradient, direction>."""
        return float((self.gradient * direction).sum())

    def compare(self, direction: np.ndarray) -> Comparison:
        """The comparison along `direction`; a small difference or a kink is measured again with other steps."""
        first_step = self.limits.first_step
        comparison = self._compare(direction, first_step)
        if self.is_discontinuous(comparison):
            return comparison
        if (comparison.violation and not comparison.is_certain) or comparison.estimate.has_kink:
            comparison = _combined(comparison, self._compare(direction, tuning.SECOND_FIRST_STEP * first_step))
        return comparison

    @property
    def smallest_jump(self) -> float:
        """A change of f that is not rounding: it reaches half of the digits."""
        return math.sqrt(self.eps) * self.magnitude + self.rounding

    @property
    def smallest_step(self) -> float:
        """The shortest step that changes the entries."""
        return tuning.SMALLEST_STEP_ROUNDINGS * self.eps

    def is_discontinuous(self, comparison: Comparison) -> bool:
        """Whether f itself jumps at the point, so that it has no derivative there."""
        return comparison.estimate.is_discontinuous(self.smallest_jump, self.smallest_step)

    def is_too_noisy(self, direction: np.ndarray, comparison: Comparison) -> bool:
        """Whether the error bar is so large that the comparison says nothing."""
        root = math.sqrt(self.eps)
        scale = max(abs(comparison.numeric), self._uncancelled(direction))
        relative = max(tuning.MAX_NOISE, tuning.MAX_NOISE_ROOTS * root)
        largest = max(relative * scale, tuning.MAX_NOISE_VALUE_ROOTS * root * self.magnitude)
        return not (comparison.estimate.central.error_bar <= largest or comparison.estimate.is_quantised)

    def is_kink_at_point(self, direction: np.ndarray, comparison: Comparison) -> bool:
        """Whether the sides of a kink are so exact that it lies at the point itself, with no other near by."""
        estimate, scale = comparison.estimate, max(abs(comparison.numeric), self._uncancelled(direction))
        error_bar = estimate.central.error_bar + estimate.half_difference.error_bar
        return error_bar <= tuning.RESOLVED_KINK_ROOTS * math.sqrt(self.eps) * scale

    def _uncancelled(self, direction: np.ndarray) -> float:
        """The size that the derivative along `direction` would have if its terms did not cancel."""
        terms = self.gradient * direction
        return abs(self.analytic(direction)) + math.sqrt(float(terms @ terms))

    def _compare(self, direction: np.ndarray, first_step: float) -> Comparison:
        analytic, uncancelled = self.analytic(direction), self._uncancelled(direction)

        def is_sufficient(estimate: Estimate) -> bool:
            size = max(uncancelled, abs(estimate.value))
            is_exact = estimate.error_bar <= tuning.SUFFICIENT_ROUNDINGS * self.eps * size
            return is_exact or estimate.error_bar <= tuning.CONCLUSIVE * abs(estimate.value - analytic)

        def is_acceptable(estimate: Estimate) -> bool:
            root = math.sqrt(self.eps) * max(uncancelled, abs(estimate.value))
            return estimate.error_bar <= tuning.ACCEPTABLE_ROOTS * max(root, self.rounding / first_step)

        estimate = differentiate(
            self.line(direction),
            self.phi0,
            first_step,
            self.rounding,
            is_sufficient,
            is_acceptable,
            tuning.QUANTISED_ROUNDINGS * self.eps,
        )
        central = estimate.central
        if not estimate.has_kink and not is_acceptable(estimate.half_difference):
            # There may be a kink or not, so both one-sided derivatives are possible.
            kink = abs(estimate.half_difference.value) + estimate.half_difference.error_bar
            central = Estimate(central.value, central.error_bar + kink)
        exact = math.nan
        if is_acceptable(central) and not replace(estimate, central=central).has_kink:
            exact = self.values.complex_step(direction)
        if abs(exact - central.value) <= central.error_bar:
            error_bar = tuning.ANALYTIC_ROUNDINGS * self.eps * (abs(exact) + abs(central.value))
            central = Estimate(exact, min(central.error_bar, error_bar))
        tolerance = tuning.ERROR_BARS * central.error_bar + self._analytic_error(direction, uncancelled)
        return Comparison(analytic, replace(estimate, central=central), tolerance)

    def _analytic_error(self, direction: np.ndarray, uncancelled: float) -> float:
        """By how much rounding may change the analytic derivative: its own, that of its inputs, and that of f."""
        changes = self.gradient_error * direction
        inputs = tuning.INPUT_ROUNDING * math.sqrt(float(changes @ changes))
        longest = max(1.0, float(np.abs(direction).max()))
        own = tuning.ANALYTIC_ROUNDINGS * self.eps * uncancelled
        return own + inputs + tuning.VALUE_ROUNDINGS * self.rounding * longest

    def central_difference(self, direction: np.ndarray, step: float) -> float:
        """The central difference at one step, from two evaluations."""
        phi = self.values.along(direction)
        return (phi(step) - phi(-step)) / (2 * step)


def _combined(first: Comparison, second: Comparison) -> Comparison:
    """The comparison that shows no error, if one does; else both in one, with error bars that cover both.

    A mistake shows at any steps, while kinks near by may mislead the steps that cross them.
    """
    for one, other in ((first, second), (second, first)):
        is_exact = one.estimate.central.error_bar <= tuning.MAX_RATIO_OF_BARS * other.estimate.central.error_bar
        if not one.violation and not one.estimate.has_kink and is_exact:
            return one
    better = min(first, second, key=lambda comparison: comparison.estimate.central.error_bar)
    apart = abs(first.numeric - second.numeric)
    a, b = first.estimate.half_difference, second.estimate.half_difference
    central = Estimate(better.numeric, max(better.estimate.central.error_bar, apart))
    error_bar = max(abs(a.value - b.value), a.error_bar, b.error_bar)
    half_difference = Estimate(better.estimate.half_difference.value, error_bar)
    estimate = replace(better.estimate, central=central, half_difference=half_difference)
    return Comparison(better.analytic, estimate, max(better.tolerance, tuning.ERROR_BARS * apart))
