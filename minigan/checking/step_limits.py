"""How far the entries of a point may move inside of f's domain, and points near by that lie in it.

A call of f outside of its domain says nothing about the derivative. So where a long move leaves the domain, shorter
ones are tried: first each entry keeps its sign, then all entries move less.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from minigan.checking import tuning
from minigan.checking.problem import Arrays, Problem, flattened, typical_size
from minigan.checking.ranges import matching_entries, restricted
from minigan.core import random

Line = Callable[[float], float]


@dataclass
class StepLimits:
    """Along a line every entry moves by about its length times t, and t is at most `first_step`.

    lengths: one for each entry, in one vector; 0 for entries that are held fixed.
    """

    lengths: np.ndarray
    first_step: float = tuning.FIRST_STEP

    def direction(self, rng: np.random.Generator) -> np.ndarray:
        """The lengths with random signs, each times a random factor of about 1."""
        signs = rng.choice([-1.0, 1.0], self.lengths.size)
        return self.lengths * signs * rng.uniform(*tuning.DIRECTION_FACTORS, self.lengths.size)


def unlimited(problem: Problem) -> StepLimits:
    """Every entry may move by the typical size of its array; an entry that is infinite or NaN does not move."""
    return StepLimits(flattened(_typical_lengths(problem.point)))


def limited(problem: Problem, along: Callable[[np.ndarray], Line], direction: np.ndarray) -> StepLimits:
    """Limits that stay inside of f's domain, where its boundary is near: phi = `along(direction)` is finite there.

    direction: one of unlimited lengths. An array's entries move by their typical size, or each by its own size (so that
    it keeps its sign), whichever allows the longer move. An entry that cannot move at all is held fixed. `first_step`
    is 0 if none can move.
    """
    typical, offsets = flattened(_typical_lengths(problem.point)), problem.offsets()
    moves = direction / np.where(typical == 0, 1.0, typical)
    last_step = max(
        tuning.LAST_STEP, *(tuning.SMALLEST_STEP_ROUNDINGS * float(np.finfo(x.dtype).eps) for x in problem.point)
    )
    lengths = np.zeros_like(typical)
    for first, last in itertools.pairwise(offsets):
        options = [
            _limits_of_array(along, restricted(choice, first, last), moves, (first, last), last_step)
            for choice in (typical, flattened(_own_lengths(problem.point)))
        ]
        lengths += max(options, key=lambda option: (np.count_nonzero(option.lengths), option.first_step)).lengths
    return StepLimits(lengths, _longest_step(along(lengths * moves), last_step) if lengths.any() else 0.0)


def relaxed(
    problem: Problem, along: Callable[[np.ndarray], Line], limits: StepLimits, direction: np.ndarray
) -> StepLimits:
    """Limits that shorten only the moves of entries that leave the domain; all others move by their full length.

    direction: of the lengths of `limits`, whose first step is short because some entries are near the boundary.
    """

    def leaves(first: int, last: int) -> bool:
        return not _is_finite(along(restricted(direction, first, last)), tuning.FIRST_STEP)

    near = matching_entries(0, direction.size, problem.offsets(), leaves)
    factors = np.where(near, limits.first_step / tuning.FIRST_STEP, 1.0)
    return StepLimits(factors * limits.lengths, _longest_step(along(factors * direction), limits.first_step))


def _limits_of_array(
    along: Callable[[np.ndarray], Line], lengths: np.ndarray, moves: np.ndarray, part: tuple[int, int], last_step: float
) -> StepLimits:
    """How far the entries of one array can move by these lengths, all others fixed, and those that cannot move too."""

    def cannot_move(first: int, last: int) -> bool:
        return not _is_finite(along(restricted(lengths * moves, first, last)), last_step)

    lengths = np.where(matching_entries(*part, [0, lengths.size], cannot_move), 0.0, lengths)
    return StepLimits(lengths, _longest_step(along(lengths * moves), last_step))


def _longest_step(phi: Line, last_step: float) -> float:
    """The longest step of those tried at which phi is finite on both sides; 0 if there is none."""
    step = tuning.FIRST_STEP
    while step >= last_step:
        if _is_finite(phi, step):
            return step
        step /= tuning.DOMAIN_STEP_RATIO
    return 0.0


def _is_finite(phi: Line, step: float) -> bool:
    return math.isfinite(phi(step)) and math.isfinite(phi(-step))


def _typical_lengths(point: Arrays) -> Arrays:
    return [np.where(np.isfinite(x), typical_size(x), 0.0) for x in point]


def _own_lengths(point: Arrays) -> Arrays:
    """Each entry's own size where that is less than the typical size; the typical size where the entry is 0."""
    return [
        np.where(x == 0, typical, np.fmin(np.abs(x, dtype=np.float64), typical))
        for x, typical in zip(point, _typical_lengths(point), strict=True)
    ]


# Points.


def first_in_domain(problem: Problem, points: Iterable[Arrays]) -> Arrays | None:
    """The first of the points at which f returns finite numbers; None if there is none."""
    return next((point for point in points if _is_in_domain(problem, point)), None)


def _is_in_domain(problem: Problem, point: Arrays) -> bool:
    with np.errstate(all="ignore"):
        try:
            y = np.asarray(problem.f([x.copy() for x in point]))
        except Exception:  # libraries raise any kind of exception for numbers that they do not accept
            return False
    return y.dtype.kind in "fiu" and bool(np.isfinite(y).all())


def distant_points(point: Arrays, seed: int) -> Iterator[Arrays]:
    """Points far away first, with other signs, so that what f keeps for its derivative (a mask, an index) changes."""
    rng = random.generator(seed, "elsewhere")
    signs = [rng.choice([-1.0, 1.0], x.shape) for x in point]
    factors = [rng.uniform(*tuning.DISTANT_FACTORS, x.shape) for x in point]
    yield [_moved(x, x * s * f) for x, s, f in zip(point, signs, factors, strict=True)]
    yield [_moved(x, x * f) for x, f in zip(point, factors, strict=True)]
    yield from nearby_points(point, seed)


def nearby_points(point: Arrays, seed: int, by: float = tuning.NEARBY_SHIFT) -> Iterator[Arrays]:
    """Points off the kinks of the given one: shifted by a fraction of the typical size, then by less and less."""
    rng = random.generator(seed, "nudge")
    shifts = [rng.uniform(-1, 1, x.shape) for x in point]
    for factor in tuning.SHIFT_FACTORS:
        for lengths in (_typical_lengths(point), map(np.abs, point)):
            yield [
                _moved(x, x + by * factor * length * shift)
                for x, length, shift in zip(point, lengths, shifts, strict=True)
            ]


def _moved(x: np.ndarray, to: np.ndarray) -> np.ndarray:
    """`to`, but the entries of `x` that are not finite stay as they are."""
    return np.where(np.isfinite(x), to, x).astype(x.dtype)
