"""Compare claimed and measured derivatives along lines, over all numbers or a range of them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from minigan.checking.problem import Values
from minigan.checking.slope import Limit, Slope, slope
from minigan.checking.step_limits import FINEST, Line, StepLimits

_OTHER_STEP = 0.76  # of the first one: a second opinion should not take the same steps
_ANALYTIC_ROUNDING = 64  # roundings that each entry of a claimed derivative may have seen
_INHERITED = 8  # times what one other rounding of the inputs does to a claim
_VALUE_ROUNDING = 64  # roundings of f: what a derivative that is nearly 0 may be off by
_TOO_ROUGH = 1e-3  # of a derivative: an error bar by which nothing can be judged
_ROOTS = 300  # or, with fewer digits at hand, so many root roundings of the derivative,
_ROOTS_OF_VALUE = 16  # and so many of the value where the derivative is nearly 0
_SHARP = 1  # root roundings of the derivative
_STAIRS = 100  # roundings of numbers of size 1: changes of f no larger may be a staircase
_ENOUGH = 16  # roundings: more exact than this, a slope need not be
_FAIR = 64  # root roundings of the derivative, or roundings of the value: a bar so small tells that no kink is near
_RATHER = 1e6  # times a bar that speaks against a claim: a wider one, in its favour, counts for nothing
_FAR = 60  # tolerances
_BLATANT = 1e-4  # a bar so small beside the difference between claim and measurement leaves no doubt


@dataclass(frozen=True)
class Finding:
    """A claimed derivative along a line beside the measured one; `tolerance` follows the error bars of both."""

    analytic: float
    slope: Slope
    tolerance: float

    @property
    def numeric(self) -> float:
        """The measured derivative."""
        return self.slope.mean.value

    @property
    def violation(self) -> float:
        """By how much the claim lies outside of what was measured: at a kink, all between its two sides."""
        left, right = self.sides
        outside = max(min(left, right) - self.analytic, self.analytic - max(left, right))
        unsure = 2 * self.slope.half_jump.bar if self.slope.has_kink else 0.0
        return max(0.0, outside - self.tolerance - unsure)

    @property
    def is_blatant(self) -> bool:
        """Whether no accident of the error bars can have put the claim so far off."""
        return self.violation > _FAR * self.tolerance

    @property
    def sides(self) -> tuple[float, float]:
        """The derivatives from left and right; equal where there is no kink."""
        return self.slope.sides() if self.slope.has_kink else (self.numeric, self.numeric)


class Prober:
    """Measures along `direction` times t, restricted to ranges of the numbers.

    limits: how far the numbers may move. gradient: the claimed derivative of every number. wobble: by how much it
    changes when the numbers are rounded otherwise. middle: the value at the point itself. magnitude: the size of what
    it was computed from. eps: of the numbers' type, the coarsest of all that take part. noise: by how much the value
    differs between calls at the same point.
    """

    def __init__(
        self,
        values: Values,
        limits: StepLimits,
        gradient: np.ndarray,
        wobble: np.ndarray,
        middle: float,
        magnitude: float,
        eps: float,
        noise: float = 0.0,
    ) -> None:
        self.values, self.limits, self.gradient, self.wobble = values, limits, gradient, wobble
        self.middle, self.magnitude = middle, magnitude
        self.eps, self.rounding = eps, max(eps * magnitude, noise)
        self._last: tuple[np.ndarray, Line] | None = None

    def line(self, direction: np.ndarray) -> Line:
        """phi along `direction`; of the last direction asked for, values are kept and not computed again."""
        if self._last is None or self._last[0] is not direction:
            self._last = direction, functools.cache(self.values.along(direction))
        return self._last[1]

    def claimed(self, direction: np.ndarray) -> float:
        """<gradient, direction>."""
        return float((self.gradient * direction).sum())

    def measure(self, direction: np.ndarray) -> Finding:
        """The finding along `direction`; what looks a little wrong, or kinked, is measured again with other steps."""
        first_step = self.limits.first_step
        finding = self._measure(direction, first_step)
        if self.jumps(finding):
            return finding
        if (finding.violation and not finding.is_blatant) or finding.slope.has_kink:
            finding = _agreed(finding, self._measure(direction, _OTHER_STEP * first_step))
        return finding

    @property
    def least_jump(self) -> float:
        """A change of f that is not rounding: half of the digits."""
        return math.sqrt(self.eps) * self.magnitude + self.rounding

    def jumps(self, finding: Finding) -> bool:
        """Whether f itself jumps at the point, so that there is no derivative to measure."""
        return finding.slope.jumps(self.least_jump, self.finest_step)

    @property
    def finest_step(self) -> float:
        """The smallest step that moves the numbers."""
        return FINEST * self.eps

    def is_too_rough(self, direction: np.ndarray, finding: Finding) -> bool:
        """Whether the error bar is so wide that nothing can be judged."""
        root = math.sqrt(self.eps)
        scale = max(abs(finding.numeric), self._spread(direction))
        rough = max(max(_TOO_ROUGH, _ROOTS * root) * scale, _ROOTS_OF_VALUE * root * self.magnitude)
        return not (finding.slope.mean.bar <= rough or finding.slope.is_staircase)

    def is_sharp(self, direction: np.ndarray, finding: Finding) -> bool:
        """Whether the sides of a kink are as exact as they are if it lies at the point itself, and no other near by."""
        slope, scale = finding.slope, max(abs(finding.numeric), self._spread(direction))
        return slope.mean.bar + slope.half_jump.bar <= _SHARP * math.sqrt(self.eps) * scale

    def _spread(self, direction: np.ndarray) -> float:
        """The size that the derivative along `direction` would have if its terms did not cancel."""
        terms = self.gradient * direction
        return abs(self.claimed(direction)) + math.sqrt(float(terms @ terms))

    def _measure(self, direction: np.ndarray, first_step: float) -> Finding:
        claimed, spread = self.claimed(direction), self._spread(direction)

        def decided(limit: Limit) -> bool:
            exact = limit.bar <= _ENOUGH * self.eps * max(spread, abs(limit.value))
            return exact or limit.bar <= _BLATANT * abs(limit.value - claimed)

        def fair(limit: Limit) -> bool:
            enough = math.sqrt(self.eps) * max(spread, abs(limit.value))
            return limit.bar <= _FAIR * max(enough, self.rounding / first_step)

        found = slope(
            self.line(direction),
            self.middle,
            first_step,
            self.rounding,
            decided,
            fair,
            _STAIRS * self.eps,
        )
        if not found.has_kink and not fair(found.half_jump):  # there may be a kink or not: both sides are possible
            unsure = abs(found.half_jump.value) + found.half_jump.bar
            found = replace(found, mean=Limit(found.mean.value, found.mean.bar + unsure))
        exact = self.values.complex_step(direction) if fair(found.mean) and not found.has_kink else math.nan
        if abs(exact - found.mean.value) <= found.mean.bar:
            bar = _ANALYTIC_ROUNDING * self.eps * (abs(exact) + abs(found.mean.value))
            found = replace(found, mean=Limit(exact, min(found.mean.bar, bar)))
        return Finding(claimed, found, 2 * found.mean.bar + self._allowance(direction, spread))

    def _allowance(self, direction: np.ndarray, spread: float) -> float:
        """How far off the claimed derivative may be by rounding: its own, that of its inputs, and that of f."""
        moved = self.wobble * direction
        inherited = _INHERITED * math.sqrt(float(moved @ moved))
        longest = max(1.0, float(np.abs(direction).max()))
        return _ANALYTIC_ROUNDING * self.eps * spread + inherited + _VALUE_ROUNDING * self.rounding * longest

    def difference(self, direction: np.ndarray, step: float) -> float:
        """The central difference at one step: two evaluations."""
        phi = self.values.along(direction)
        return (phi(step) - phi(-step)) / (2 * step)


def _agreed(first: Finding, second: Finding) -> Finding:
    """The one that bears out the claim, if one does; otherwise what both have in common, with bars that cover both.

    A mistake shows at any steps. Kinks near by may deceive the steps that cross them.
    """
    for one, other in ((first, second), (second, first)):
        if not one.violation and not one.slope.has_kink and one.slope.mean.bar <= _RATHER * other.slope.mean.bar:
            return one
    better = min(first, second, key=lambda finding: finding.slope.mean.bar)
    apart = abs(first.numeric - second.numeric)
    jumps = [finding.slope.half_jump for finding in (first, second)]
    jump_bar = max(abs(jumps[0].value - jumps[1].value), *(jump.bar for jump in jumps))
    mean = Limit(better.numeric, max(better.slope.mean.bar, apart))
    agreed = replace(better.slope, mean=mean, half_jump=Limit(better.slope.half_jump.value, jump_bar))
    return Finding(better.analytic, agreed, max(better.tolerance, 2 * apart))
