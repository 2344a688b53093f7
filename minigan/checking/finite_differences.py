"""The derivative of a function of one variable, from its values alone, with an error bar; and whether it has a kink.

phi is expanded at 0: phi(t) = phi(0) + t phi'(0) + ... Its values at +-h, +-h/sqrt(2), +-h/2, ... give

    central difference   (phi(h) - phi(-h)) / 2h            = phi' + c2 h^2 + c4 h^4 + ...
    second difference    (phi(h) + phi(-h) - 2 phi(0)) / 2h = half the jump of phi' at 0 + c1 h + c3 h^3 + ...

Richardson's extrapolation removes the error terms one after another. Ridders (1982) shows where to stop: the best entry
of the tableau is the one that differs least from its neighbours, and that difference is its error estimate. A kink at a
distance from 0 spoils the rows whose steps cross it, and no others. A kink at 0 itself does not show in the central
difference, whose limit is then the mean of both one-sided derivatives; the limit of the second difference shows it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from minigan.checking import tuning

Sample = tuple[float, float, float]  # h, phi(h), phi(-h)


@dataclass(frozen=True)
class Estimate:
    """An extrapolated value, and an error bar that its error should not exceed."""

    value: float
    error_bar: float


@dataclass(frozen=True)
class DerivativeEstimate:
    """phi'(0) as the mean of the one-sided derivatives (`central`) and half of right minus left (`half_difference`).

    `samples` holds (h, phi(h), phi(-h)) for every step taken, the longest first; `phi0` is phi(0). `is_quantised`: phi
    changes by single roundings only, so its derivative cannot be told from 0.
    """

    central: Estimate
    half_difference: Estimate
    phi0: float
    samples: tuple[Sample, ...]
    is_quantised: bool = False

    @property
    def has_kink(self) -> bool:
        """Whether the one-sided derivatives differ by more than their error bars, and visibly."""
        error = tuning.KINK_ERROR_BARS * (self.half_difference.error_bar + self.central.error_bar)
        return abs(self.half_difference.value) > max(error, tuning.KINK_SIZE * abs(self.central.value))

    def is_discontinuous(self, smallest_jump: float, smallest_step: float) -> bool:
        """Whether phi itself jumps at 0 by more than `smallest_jump`.

        At a jump the values on one side come no closer to phi(0), however short the steps. `smallest_step` is the
        shortest step that still changes the argument of phi.
        """
        tail = [sample for sample in self.samples if sample[0] >= smallest_step][-tuning.JUMP_STEPS :]
        if len(tail) < tuning.JUMP_STEPS or self.samples[-1][0] > tuning.JUMP_STEP * self.samples[0][0]:
            return False
        for side in (1, 2):
            heights = [sample[side] - self.phi0 for sample in tail]
            lowest = min(map(abs, heights))
            if lowest > smallest_jump and max(heights) - min(heights) <= tuning.JUMP_VARIATION * lowest:
                return True
        return False

    def one_sided(self) -> tuple[float, float]:
        """The derivatives from the left and from the right."""
        return self.central.value - self.half_difference.value, self.central.value + self.half_difference.value


class NevilleTableau:
    """Neville's scheme for values at steps that shrink by STEP_RATIO, with error terms h^p, h^(p+2), ..."""

    def __init__(self, first_power: int) -> None:
        self._power = first_power
        self._row: list[float] = []

    def add(self, value: float, rounding: float) -> Estimate:
        """Add the value at the next shorter step, with a rounding error of about `rounding`; return its row's best."""
        previous, row = self._row, [value]
        best = Estimate(value, math.inf)
        for column, above in enumerate(previous[: tuning.MAX_COLUMNS]):
            factor = tuning.STEP_RATIO ** (self._power + 2 * column)
            row.append(row[column] + (row[column] - above) / (factor - 1))
            neighbours = (row[-2], above, *previous[column + 1 : column + 2])
            disagreement = max(abs(row[-1] - neighbour) for neighbour in neighbours)
            error_bar = tuning.DISAGREEMENT * disagreement + tuning.ROUNDING * rounding
            if error_bar < best.error_bar:
                best = Estimate(row[-1], error_bar)
        self._row = row
        return best


class _Tableaus:
    """The tableau of the central differences and that of the second differences."""

    def __init__(self, phi0: float) -> None:
        self._phi0, self._central, self._second = phi0, NevilleTableau(first_power=2), NevilleTableau(first_power=1)

    def add(self, sample: Sample, rounding: float) -> tuple[Estimate, Estimate]:
        """The best estimates of the next row: the central derivative, and half the difference of the one-sided ones."""
        step, right, left = sample
        central = self._central.add((right - left) / (2 * step), rounding / step)
        second_difference = (right - self._phi0) + (left - self._phi0)
        return central, self._second.add(second_difference / (2 * step), rounding / step)


def differentiate(
    phi: Callable[[float], float],
    phi0: float,
    first_step: float,
    rounding: float,
    is_sufficient: Callable[[Estimate], bool] = lambda estimate: False,
    is_acceptable: Callable[[Estimate], bool] = lambda estimate: True,
    internal_rounding: float = 0.0,
) -> DerivativeEstimate:
    """phi'(0) from values of `phi` at steps of `first_step` and less.

    phi0: phi(0). rounding: the size of the rounding error in phi's values. is_sufficient: whether an estimate of
    phi'(0) is so exact that no more values are needed. is_acceptable: whether an estimate is exact enough to stop where
    shorter steps do not improve it; until then steps go on shrinking, since kinks may be near. internal_rounding: the
    largest change of phi that may still be rounding, in intermediate results larger than phi. Steps at which phi is not
    finite are skipped.
    """
    tableaus = _Tableaus(phi0)
    unknown = Estimate(math.nan, math.inf)
    best, since_best = DerivativeEstimate(unknown, unknown, phi0, ()), 0
    samples: list[Sample] = []
    step = first_step
    while step * tuning.STEP_RANGE > first_step:
        right, left = phi(step), phi(-step)
        if math.isfinite(right) and math.isfinite(left):
            samples.append((step, right, left))
            central, half_difference = tableaus.add(samples[-1], rounding)
            since_best += 1
            if _rank(central, half_difference, is_acceptable) < _rank(
                best.central, best.half_difference, is_acceptable
            ):
                best, since_best = replace(best, central=central, half_difference=half_difference), 0
            may_stop = since_best >= tuning.PATIENCE or is_sufficient(best.central)
            if (
                len(samples) >= tuning.MIN_SAMPLES
                and may_stop
                and is_acceptable(best.central)
                and is_acceptable(best.half_difference)
            ):
                break
        step /= tuning.STEP_RATIO if samples else tuning.NON_FINITE_STEP_RATIO
    quantum = _quantum(samples, phi0)
    if rounding < quantum <= internal_rounding:
        best = replace(_best_of(samples, phi0, quantum, is_acceptable), is_quantised=True)
    return replace(best, samples=tuple(samples))


def _quantum(samples: list[Sample], phi0: float) -> float:
    """The smallest amount by which phi changes, if it stops changing at short steps; 0 if it does not.

    Where phi changes at long steps and not at short ones it is a staircase, and equal differences do not show that an
    estimate is exact.
    """
    changes = [max(abs(right - phi0), abs(left - phi0)) for _, right, left in samples]
    return min((change for change in changes if change), default=0.0) if 0.0 in changes else 0.0


def _best_of(
    samples: list[Sample], phi0: float, rounding: float, is_acceptable: Callable[[Estimate], bool]
) -> DerivativeEstimate:
    """The best estimates from values that are known already."""
    tableaus = _Tableaus(phi0)
    pairs = [tableaus.add(sample, rounding) for sample in samples]
    central, half_difference = min(pairs, key=lambda pair: _rank(pair[0], pair[1], is_acceptable))
    return DerivativeEstimate(central, half_difference, phi0, ())


def _rank(
    central: Estimate, half_difference: Estimate, is_acceptable: Callable[[Estimate], bool]
) -> tuple[bool, float]:
    """The sort key of a pair of estimates, lower for a better pair.

    Both come from the same steps and so see the same kinks: where the steps cross kinks on both sides, the central
    differences alone may look smooth, and only the second differences show the kinks.
    """
    error_bar = max(central.error_bar, tuning.KINK_WEIGHT * half_difference.error_bar)
    return not (is_acceptable(central) and is_acceptable(half_difference)), error_bar


def taylor_order(derivative: DerivativeEstimate, analytic: float, rounding: float) -> float | None:
    """p where |phi(h) - phi(0) - h * analytic| shrinks as h^p: 2 for the right derivative, 1 for a wrong one.

    None where the remainder is rounding, as it is if phi is linear.
    """
    remainders = [(h, abs(right - derivative.phi0 - h * analytic)) for h, right, _ in derivative.samples]
    orders = [
        math.log(larger / smaller, h / shorter)
        for (h, larger), (shorter, smaller) in itertools.pairwise(remainders)
        if min(smaller, larger) > tuning.TAYLOR_ROUNDINGS * rounding
    ]
    return orders[-1] if orders else None
