"""Which entry of the analytic derivative is wrong.

Derivatives along a direction add up over its parts, and so do their errors. If a single entry is wrong, weights find
it: 16 parts of a range get the weights 0, 1/15, ... 1, and the error along the weighted direction, divided by the error
along the unweighted one, is the weight of the part with the wrong entry. So 2 log16(n) evaluations find it among n
entries. If several entries are wrong the quotient is none of the weights. Then the arrays are measured one by one, and
bisection finds the worst entry of the worst array: the error that the left half does not explain belongs to the right
half. This takes 2 log2(n) evaluations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from minigan.checking import tuning
from minigan.checking.directional import Comparison, DirectionalChecker
from minigan.checking.ranges import restricted, split_point


def worst_entry(
    checker: DirectionalChecker, direction: np.ndarray, comparison: Comparison, offsets: list[int]
) -> int | None:
    """The position of the entry with the largest error along `direction`; None if no entry shows one at kinks.

    comparison: along the whole direction. offsets: of the arrays, which are separated before they are bisected.
    """
    if comparison.estimate.has_kink:
        return _worst_at_kinks(checker, direction, offsets)
    error = comparison.numeric - comparison.analytic
    step, uncertainty = best_step(checker, comparison)
    count = int(abs(error) / max(abs(error) / tuning.PARTS, tuning.CLEAR_ERROR * uncertainty))
    if count >= 2:

        def error_along(part: np.ndarray) -> float:
            return checker.central_difference(part, step) - checker.analytic(part)

    else:  # the error is so small that every measurement must be as exact as possible
        count, uncertainty = tuning.PARTS, comparison.tolerance

        def error_along(part: np.ndarray) -> float:
            found = checker.compare(part)
            return found.numeric - found.analytic

    single = _single_wrong_entry(error_along, direction, error, count)
    if single is not None:
        return single
    error, first, last = _worst_array(error_along, checker, direction, error, offsets)
    return _worst_by_bisection(error_along, checker, direction, (error, first, last), uncertainty)


def best_step(checker: DirectionalChecker, comparison: Comparison) -> tuple[float, float]:
    """The best step for single central differences, and the size of their error.

    The error is c * h^2 + rounding / h, with c from the shortest step taken so far.
    """
    h, right, left = comparison.estimate.samples[-1]
    rounding = max(
        checker.rounding, checker.eps * max(abs(right), abs(left))
    )  # phi and the inputs may be 0 at the point
    difference = abs((right - left) / (2 * h) - comparison.numeric)
    c = (difference + comparison.estimate.central.error_bar) / h**2
    step = min(h, (rounding / (2 * c)) ** (1 / 3)) if c else h
    return step, c * step**2 + rounding / step


def _single_wrong_entry(
    error_along: Callable[[np.ndarray], float], direction: np.ndarray, error: float, count: int
) -> int | None:
    """The position of the only wrong entry; None if there are several."""
    first, last = 0, direction.size
    while last - first > 1:
        parts = np.array_split(np.arange(first, last), min(count, last - first))
        weighted = np.zeros_like(direction)
        for number, part in enumerate(parts):
            weighted[part] = direction[part] * (number / (len(parts) - 1))
        measured = error_along(weighted) / error * (len(parts) - 1)  # the number of the part with the wrong entry
        deviation = tuning.PART_DEVIATION
        if not (-deviation < measured < len(parts) - 1 + deviation and abs(measured - round(measured)) < deviation):
            return None
        first, last = int(parts[round(measured)][0]), int(parts[round(measured)][-1]) + 1
    single = error_along(restricted(direction, first, last))
    return first if abs(single - error) <= tuning.PART_DEVIATION * abs(error) else None


def _worst_array(
    error_along: Callable[[np.ndarray], float],
    checker: DirectionalChecker,
    direction: np.ndarray,
    error: float,
    offsets: list[int],
) -> tuple[float, int, int]:
    """(error, first, last) of the array with the largest error.

    An array whose analytic derivative is zero everywhere is preferred, if it has a clear error.
    """
    ranges = list(itertools.pairwise(offsets))
    errors = [error_along(restricted(direction, *part)) for part in ranges[:-1]]
    errors.append(error - math.fsum(errors))
    is_zero = [not checker.gradient[first:last].any() for first, last in ranges]
    clear = max(map(abs, errors)) * tuning.SMALL_ERROR
    worst = max(range(len(ranges)), key=lambda i: (is_zero[i] and abs(errors[i]) > clear, abs(errors[i])))
    return errors[worst], *ranges[worst]


def _worst_by_bisection(
    error_along: Callable[[np.ndarray], float],
    checker: DirectionalChecker,
    direction: np.ndarray,
    found: tuple[float, int, int],
    uncertainty: float,
) -> int:
    """The position of the worst entry of a range; `found` is (error, first, last)."""
    error, first, last = found
    while last - first > 1:
        middle = (first + last) // 2
        left = error_along(restricted(direction, first, middle))
        right = error - left
        error, first, last = (left, first, middle) if abs(left) >= abs(right) else (right, middle, last)
        limit = tuning.CLEAR_ERROR * uncertainty * _share_of_uncertainty(direction, first, last)
        if not math.isfinite(error) or abs(error) <= limit:
            # The errors are too evenly spread to be separated, so take the entry that contributes most.
            return first + int(np.argmax(np.abs(checker.gradient[first:last] * direction[first:last])))
    return first


def _worst_at_kinks(checker: DirectionalChecker, direction: np.ndarray, offsets: list[int]) -> int | None:
    """By the violations, both measured for each bisection: at kinks, errors do not add up."""
    first, last = 0, direction.size
    while last - first > 1:
        middle = split_point(first, last, offsets)
        left, right = (
            checker.compare(restricted(direction, *part)).violation for part in ((first, middle), (middle, last))
        )
        if not max(left, right) > 0:
            return None
        first, last = (first, middle) if left >= right else (middle, last)
    return first


def _share_of_uncertainty(direction: np.ndarray, first: int, last: int) -> float:
    """The fraction of the uncertainty that remains for a range: truncation shrinks with the move, rounding does not."""
    part = direction[first:last]
    return max(tuning.MIN_UNCERTAINTY, float(part @ part / (direction @ direction)))
