"""What is checked: a function of arrays, its claimed derivative, and the lines through a point along which both go."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = list[np.ndarray]
Function = Callable[[Arrays], Any]
PullBack = Callable[[Arrays, np.ndarray], Sequence[Any]]

_COMPLEX_STEP = 1e-30  # so small that its square is nothing beside 1, and no subtraction ever needs it larger


class Counted:
    """A function, and how often it was called."""

    def __init__(self, f: Function) -> None:
        self._f, self.calls = f, 0

    def __call__(self, arrays: Arrays) -> Any:
        self.calls += 1
        return self._f(arrays)


@dataclass(frozen=True)
class Problem:
    """`f` takes arrays and returns a number or an array; `pull_back(arrays, u)` claims the derivatives of <u, f>.

    point: where. names: of the arrays. tries_complex: whether f may be given complex arrays. is_pair: f returns one
    number and `pull_back` its gradient, whatever u is. f_is_derivative: an error inside of f is one of a derivative.
    """

    f: Function
    pull_back: PullBack
    point: Arrays
    names: list[str]
    tries_complex: bool = False
    is_pair: bool = False
    f_is_derivative: bool = False

    @property
    def size(self) -> int:
        """How many numbers the point has."""
        return sum(x.size for x in self.point)

    def starts(self) -> list[int]:
        """Where each array begins among all numbers, and where the last one ends."""
        return [0, *np.cumsum([x.size for x in self.point]).tolist()]

    def entry(self, place: int) -> tuple[int, tuple[int, ...]]:
        """The array and the index in it of number `place`."""
        starts = self.starts()
        which = int(np.searchsorted(starts, place, side="right")) - 1
        index = np.unravel_index(place - starts[which], self.point[which].shape)
        return which, tuple(int(i) for i in index)


def flattened(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """All numbers in one float64 vector."""
    return np.concatenate([np.zeros(0), *(np.asarray(x, np.float64).reshape(-1) for x in arrays)])


def typical_size(x: np.ndarray) -> float:
    """The root of the mean square of the numbers that are finite; 1 if all those are zero."""
    finite = x[np.isfinite(x)]
    with np.errstate(over="ignore"):
        size = math.sqrt(float(np.mean(np.square(finite, dtype=np.float64)))) if finite.size else 0.0
    return size if 0 < size < math.inf else 1.0


class Values:
    """<u, f> at points on lines; `error` is the last one that f raised there."""

    def __init__(self, problem: Problem, weights: np.ndarray) -> None:
        self._problem, self._weights = problem, weights
        self._flat = flattened(problem.point)
        self.error: Exception | None = None

    def at(self, arrays: Arrays) -> Any:
        """<u, f(arrays)>, real or complex; NaN where f raises, which it may do outside of its domain."""
        try:
            with np.errstate(all="ignore"):
                y = np.asarray(self._problem.f(arrays))
                wide = y.astype(np.complex128 if y.dtype.kind == "c" else np.float64, copy=False)
                return np.vdot(self._weights, wide)
        except Exception as error:  # libraries raise what they like for numbers that they do not take
            self.error = error
            return math.nan

    def along(self, direction: np.ndarray) -> Callable[[float], float]:
        """phi(t) = <u, f(point + t * direction)>."""
        return lambda t: float(np.real(self.at(self._split(self._flat + t * direction))))

    def complex_step(self, direction: np.ndarray) -> float:
        """phi'(0) by an imaginary step (Squire and Trapp, 1998), without cancellation; NaN if f is not made for it."""
        if not self._problem.tries_complex:
            return math.nan
        displaced = self._split(self._flat + 1j * (_COMPLEX_STEP * direction))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as that of a cast to real numbers
            value = self.at(displaced)
        return float(np.imag(value)) / _COMPLEX_STEP if np.iscomplexobj(value) else math.nan

    def _split(self, flat: np.ndarray) -> Arrays:
        problem, starts = self._problem, self._problem.starts()
        parts = []
        for x, start in zip(problem.point, starts, strict=False):
            part = flat[start : start + x.size].reshape(x.shape)
            parts.append(part.copy() if part.dtype.kind == "c" else part.astype(x.dtype))
        return parts
