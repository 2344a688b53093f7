"""Which entry is wrong.

Derivatives along a direction add up over its parts, and so do their errors. If one entry alone is wrong, weights say
which: give 16 parts of a range the weights 0, 1, ... 15 over 15, and the error along the weighted direction, as a
share of the error along all of it, is the weight of the guilty part; so 2 log16(n) evaluations find it among n. If
several are wrong the shares are not among the weights. Then the arrays are measured one by one, and halving finds the
worst entry of the worst array: what the left half does not explain, the right half must; 2 log2(n) evaluations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from minigan.checking.probe import Finding, Prober
from minigan.checking.ranges import restricted, split

_PARTS = 16
_CLEAR = 4.0  # an error this many times the uncertainty shows where it is
_MATTERS = 1e-2  # of the largest error
_NEAR = 0.15  # how far from a whole number a part's number may come out


def worst_entry(prober: Prober, direction: np.ndarray, finding: Finding, starts: list[int]) -> int | None:
    """The number whose claimed derivative is wrong most, as far as `direction` tells; None if none is, at kinks.

    finding: of the whole direction. starts: where each array begins; arrays are separated before they are halved.
    """
    if finding.slope.has_kink:
        return _worst_at_kinks(prober, direction, starts)
    error = finding.numeric - finding.analytic
    step, uncertain = best_step(prober, finding)
    parts = int(abs(error) / max(abs(error) / _PARTS, _CLEAR * uncertain))
    if parts >= 2:

        def error_along(part: np.ndarray) -> float:
            return prober.difference(part, step) - prober.claimed(part)

    else:  # a small error: every measurement must be as exact as can be
        parts, uncertain = _PARTS, finding.tolerance

        def error_along(part: np.ndarray) -> float:
            found = prober.measure(part)
            return found.numeric - found.analytic

    alone = _guilty_alone(error_along, direction, error, parts)
    if alone is not None:
        return alone
    error, first, last = _worst_array(error_along, prober, direction, error, starts)
    return _worst_by_halves(error_along, prober, direction, (error, first, last), uncertain)


def best_step(prober: Prober, finding: Finding) -> tuple[float, float]:
    """The step for plain central differences, and about how large their errors will be.

    Their error is bend * h^2 + rounding / h, with the bend as seen at the smallest step taken so far.
    """
    h, right, left = finding.slope.rows[-1]
    rounding = max(prober.rounding, prober.eps * max(abs(right), abs(left)))  # f and the inputs may be 0 at the point
    bend = (abs((right - left) / (2 * h) - finding.numeric) + finding.slope.mean.bar) / h**2
    step = min(h, (rounding / (2 * bend)) ** (1 / 3)) if bend else h
    return step, bend * step**2 + rounding / step


def _guilty_alone(
    error_along: Callable[[np.ndarray], float], direction: np.ndarray, error: float, count: int
) -> int | None:
    """The only wrong entry; None if there are several."""
    first, last = 0, direction.size
    while last - first > 1:
        parts = np.array_split(np.arange(first, last), min(count, last - first))
        weighted = np.zeros_like(direction)
        for number, part in enumerate(parts):
            weighted[part] = direction[part] * (number / (len(parts) - 1))
        guilty = error_along(weighted) / error * (len(parts) - 1)
        if not (-_NEAR < guilty < len(parts) - 1 + _NEAR and abs(guilty - round(guilty)) < _NEAR):
            return None
        first, last = int(parts[round(guilty)][0]), int(parts[round(guilty)][-1]) + 1
    only = error_along(restricted(direction, first, last))
    return first if abs(only - error) <= _NEAR * abs(error) else None


def _worst_array(
    error_along: Callable[[np.ndarray], float], prober: Prober, direction: np.ndarray, error: float, starts: list[int]
) -> tuple[float, int, int]:
    """(error, first, last) of the array with the largest error, of those that are claimed to be zero if there are."""
    ranges = list(itertools.pairwise(starts))
    errors = [error_along(restricted(direction, *part)) for part in ranges[:-1]]
    errors.append(error - math.fsum(errors))
    detached = [not prober.gradient[first:last].any() for first, last in ranges]
    clear = max(map(abs, errors)) * _MATTERS
    worst = max(range(len(ranges)), key=lambda i: (detached[i] and abs(errors[i]) > clear, abs(errors[i])))
    return errors[worst], *ranges[worst]


def _worst_by_halves(
    error_along: Callable[[np.ndarray], float],
    prober: Prober,
    direction: np.ndarray,
    found: tuple[float, int, int],
    uncertain: float,
) -> int:
    """The worst entry of a range; `found` is (error, first, last)."""
    error, first, last = found
    while last - first > 1:
        middle = (first + last) // 2
        left = error_along(restricted(direction, first, middle))
        right = error - left
        error, first, last = (left, first, middle) if abs(left) >= abs(right) else (right, middle, last)
        if not math.isfinite(error) or abs(error) <= _CLEAR * uncertain * _share(direction, first, last):
            # Too evenly spread to tell apart: what contributes most shows the most.
            return first + int(np.argmax(np.abs(prober.gradient[first:last] * direction[first:last])))
    return first


def _worst_at_kinks(prober: Prober, direction: np.ndarray, starts: list[int]) -> int | None:
    """By violations, measured in full for both halves: at kinks, errors do not add up."""
    first, last = 0, direction.size
    while last - first > 1:
        middle = split(first, last, starts)
        left, right = (
            prober.measure(restricted(direction, *part)).violation for part in ((first, middle), (middle, last))
        )
        if not max(left, right) > 0:
            return None
        first, last = (first, middle) if left >= right else (middle, last)
    return first


def _share(direction: np.ndarray, first: int, last: int) -> float:
    """The part of the uncertainty that a range has: rounding stays, truncation shrinks with the displacement."""
    part = direction[first:last]
    return max(1e-2, float(part @ part / (direction @ direction)))
