"""How far the numbers of a point may move, and which points beside it f can be called at.

A call of f outside of its domain says nothing of the derivative. So wherever a larger move leaves the domain, a smaller
one is tried: first each number keeps its sign, then all move less.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from minigan.checking.problem import Arrays, Problem, flattened, typical_size
from minigan.checking.ranges import members, restricted
from minigan.core import random

FIRST_STEP = 0.25  # of the lengths
_NUDGE = 0.03  # of the typical size: how far a point is moved off its kinks
_NEARER = (1.0, 1e-2, 1e-4, 1e-6, 1e-8)  # times that, where it leaves the domain
_SHORTER = 4.0  # from one step that leaves the domain to the next one tried
_LAST_STEP = 1e-9
FINEST = 4  # roundings of the numbers: a smaller step may not move them

Line = Callable[[float], float]


@dataclass
class StepLimits:
    """Along a line every number moves by about its length times t, and t is at most `first_step`.

    lengths: of all numbers in one vector; 0 for those that are held where they are.
    """

    lengths: np.ndarray
    first_step: float = FIRST_STEP

    def direction(self, rng: np.random.Generator) -> np.ndarray:
        """The lengths with random signs, each times a random factor about 1."""
        return self.lengths * rng.choice([-1.0, 1.0], self.lengths.size) * rng.uniform(0.5, 1.5, self.lengths.size)


def unlimited(problem: Problem) -> StepLimits:
    """Every number may move by the typical size of its array; one that is infinite or no number does not move."""
    return StepLimits(flattened(_typical_lengths(problem.point)))


def limited(problem: Problem, along: Callable[[np.ndarray], Line], direction: np.ndarray) -> StepLimits:
    """The same where f's domain ends near by: as far as `along` is finite in `direction`, of unlimited lengths.

    A number keeps its sign where that is what leads farther, and is held if it cannot move at all. `first_step` is 0
    if none can.
    """
    usual, starts = flattened(_typical_lengths(problem.point)), problem.starts()
    moves = direction / np.where(usual == 0, 1.0, usual)
    last_step = max(_LAST_STEP, *(FINEST * float(np.finfo(x.dtype).eps) for x in problem.point))
    lengths = np.zeros_like(usual)
    for first, last in itertools.pairwise(starts):
        options = [
            _option(along, restricted(choice, first, last), moves, (first, last), last_step)
            for choice in (usual, flattened(_own_lengths(problem.point)))
        ]
        lengths += max(options, key=lambda option: (np.count_nonzero(option.lengths), option.first_step)).lengths
    return StepLimits(lengths, _reach(along(lengths * moves), last_step) if lengths.any() else 0.0)


def freed(
    problem: Problem, along: Callable[[np.ndarray], Line], limits: StepLimits, direction: np.ndarray
) -> StepLimits:
    """Limits by which only those numbers move little that lead out of the domain, and all others by their full length.

    direction: of the lengths of `limits`, whose first step is short because of some numbers near to an edge.
    """

    def leaves(first: int, last: int) -> bool:
        return not _is_finite(along(restricted(direction, first, last)), FIRST_STEP)

    near = members(0, direction.size, problem.starts(), leaves)
    shares = np.where(near, limits.first_step / FIRST_STEP, 1.0)
    return StepLimits(shares * limits.lengths, _reach(along(shares * direction), limits.first_step))


def _option(
    along: Callable[[np.ndarray], Line], lengths: np.ndarray, moves: np.ndarray, part: tuple[int, int], last_step: float
) -> StepLimits:
    """How far the numbers of one array can move alone, by these lengths, without those that cannot move at all."""

    def is_stuck(first: int, last: int) -> bool:
        return not _is_finite(along(restricted(lengths * moves, first, last)), last_step)

    lengths = np.where(members(*part, [0, lengths.size], is_stuck), 0.0, lengths)
    return StepLimits(lengths, _reach(along(lengths * moves), last_step))


def _reach(phi: Line, last_step: float) -> float:
    """The largest step of those tried at which phi is finite on both sides; 0 if there is none."""
    step = FIRST_STEP
    while step >= last_step:
        if _is_finite(phi, step):
            return step
        step /= _SHORTER
    return 0.0


def _is_finite(phi: Line, step: float) -> bool:
    return math.isfinite(phi(step)) and math.isfinite(phi(-step))


def _typical_lengths(point: Arrays) -> Arrays:
    return [np.where(np.isfinite(x), typical_size(x), 0.0) for x in point]


def _own_lengths(point: Arrays) -> Arrays:
    """Each number's own size, where that is less than typical; the typical size where it is 0."""
    return [
        np.where(x == 0, usual, np.fmin(np.abs(x, dtype=np.float64), usual))
        for x, usual in zip(point, _typical_lengths(point), strict=True)
    ]


# Points.


def first_inside(problem: Problem, points: Iterable[Arrays]) -> Arrays | None:
    """The first of the points at which f returns finite numbers; f is called at each one before."""
    return next((point for point in points if _is_inside(problem, point)), None)


def _is_inside(problem: Problem, point: Arrays) -> bool:
    with np.errstate(all="ignore"):
        try:
            y = np.asarray(problem.f([x.copy() for x in point]))
        except Exception:  # libraries raise what they like for numbers that they do not take
            return False
    return y.dtype.kind in "fiu" and bool(np.isfinite(y).all())


def elsewhere(point: Arrays, seed: int) -> Iterator[Arrays]:
    """Points far away first, with other signs, so that what f keeps for its derivative (a mask, a place) changes."""
    rng = random.generator(seed, "elsewhere")
    signs = [rng.choice([-1.0, 1.0], x.shape) for x in point]
    factors = [rng.uniform(0.5, 0.9, x.shape) for x in point]
    yield [_moved(x, x * s * f) for x, s, f in zip(point, signs, factors, strict=True)]
    yield [_moved(x, x * f) for x, f in zip(point, factors, strict=True)]
    yield from nudges(point, seed)


def nudges(point: Arrays, seed: int, by: float = _NUDGE) -> Iterator[Arrays]:
    """Points a little to the side, where no kink should be: by a share of the typical size, then ever nearer."""
    rng = random.generator(seed, "nudge")
    shifts = [rng.uniform(-1, 1, x.shape) for x in point]
    for nearer in _NEARER:
        for lengths in (_typical_lengths(point), map(np.abs, point)):
            yield [
                _moved(x, x + by * nearer * length * shift)
                for x, length, shift in zip(point, lengths, shifts, strict=True)
            ]


def _moved(x: np.ndarray, to: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(x), to, x).astype(x.dtype)
