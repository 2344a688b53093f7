"""What is checked: a function of arrays, its analytic derivative, a point, and the values along lines through it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.checking import tuning

Arrays = list[np.ndarray]
Function = Callable[[Arrays], Any]
Vjp = Callable[[Arrays, np.ndarray], Sequence[Any]]


class CountedFunction:
    """A function that counts its calls."""

    def __init__(self, f: Function) -> None:
        self._f, self.calls = f, 0

    def __call__(self, arrays: Arrays) -> Any:
        self.calls += 1
        return self._f(arrays)


@dataclass(frozen=True)
class Problem:
    """`f` takes arrays and returns a number or an array; `vjp(arrays, u)` returns the analytic derivatives of <u, f>.

    point: the arrays at which to check. names: of the arrays. tries_complex: whether f may be called with complex
    arrays. is_pair: f returns one number and `vjp` its gradient, whatever u is. f_is_derivative: f is itself a
    derivative, so an error that it raises is one of the derivative.
    """

    f: Function
    vjp: Vjp
    point: Arrays
    names: list[str]
    tries_complex: bool = False
    is_pair: bool = False
    f_is_derivative: bool = False

    @property
    def size(self) -> int:
        """The number of entries in all arrays together."""
        return sum(x.size for x in self.point)

    def offsets(self) -> list[int]:
        """The position of each array's first entry in the vector of all entries, and the length of the vector."""
        return [0, *np.cumsum([x.size for x in self.point]).tolist()]

    def entry(self, position: int) -> tuple[int, tuple[int, ...]]:
        """The array that holds the entry at `position` in the vector of all entries, and the index in this array."""
        offsets = self.offsets()
        which = int(np.searchsorted(offsets, position, side="right")) - 1
        index = np.unravel_index(position - offsets[which], self.point[which].shape)
        return which, tuple(int(i) for i in index)


def flattened(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """All entries in one float64 vector."""
    return np.concatenate([np.zeros(0), *(np.asarray(x, np.float64).reshape(-1) for x in arrays)])


def typical_size(x: np.ndarray) -> float:
    """The root mean square of the finite entries; 1 if all of them are zero."""
    finite = x[np.isfinite(x)]
    with np.errstate(over="ignore"):
        size = math.sqrt(float(np.mean(np.square(finite, dtype=np.float64)))) if finite.size else 0.0
    return size if 0 < size < math.inf else 1.0


class WeightedSum:
    """<u, f> at points on lines through the problem's point; `error` is the last exception that f raised there."""

    def __init__(self, problem: Problem, weights: np.ndarray) -> None:
        self._problem, self._weights = problem, weights
        self._flat = flattened(problem.point)
        self.error: Exception | None = None

    def at(self, arrays: Arrays) -> Any:
        """<u, f(arrays)>, real or complex; NaN where f raises, as it may outside of its domain."""
        try:
            with np.errstate(all="ignore"):
                y = np.asarray(self._problem.f(arrays))
                wide = y.astype(np.complex128 if y.dtype.kind == "c" else np.float64, copy=False)
                return np.vdot(self._weights, wide)
        except Exception as error:  # libraries raise any kind of exception for numbers that they do not accept
            self.error = error
            return math.nan

    def along(self, direction: np.ndarray) -> Callable[[float], float]:
        """phi(t) = <u, f(point + t * direction)>."""
        return lambda t: float(np.real(self.at(self._split(self._flat + t * direction))))

    def complex_step(self, direction: np.ndarray) -> float:
        """phi'(0) by a complex step (Squire and Trapp, 1998), without cancellation; NaN if f is only real."""
        if not self._problem.tries_complex:
            return math.nan
        displaced = self._split(self._flat + 1j * (tuning.COMPLEX_STEP * direction))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as that of a cast to real numbers
            value = self.at(displaced)
        return float(np.imag(value)) / tuning.COMPLEX_STEP if np.iscomplexobj(value) else math.nan

    def _split(self, flat: np.ndarray) -> Arrays:
        problem, offsets = self._problem, self._problem.offsets()
        parts = []
        for x, offset in zip(problem.point, offsets, strict=False):
            part = flat[offset : offset + x.size].reshape(x.shape)
            parts.append(part.copy() if part.dtype.kind == "c" else part.astype(x.dtype))
        return parts
