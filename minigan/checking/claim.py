"""What must hold of a claimed derivative before anything is measured: shapes, finite numbers, the same each time."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minigan.checking import step_limits
from minigan.checking.problem import Arrays, Problem
from minigan.checking.report import Verdict
from minigan.core import random

_JUMP = 1e-4  # of a derivative's largest entry: more than rounding can do to one that is worth checking
_ROUNDINGS = 64  # a change of so many may be no more than that
_REPEATS = 4  # more, where two calls differ


class Unfit(Exception):  # noqa: N818 - it carries a finding, and is no error
    """The claim cannot be right, whatever the values are; `which` input it concerns, None for all."""

    def __init__(self, verdict: Verdict, cause: str, explanation: str, which: int | None = None) -> None:
        super().__init__(explanation)
        self.verdict, self.cause, self.explanation, self.which = verdict, cause, explanation, which


@dataclass(frozen=True)
class Claim:
    """The value of f at a point, weights for its outputs, and the claimed derivatives of their sum.

    wobble: by how much each claimed derivative changes when the inputs are rounded otherwise, or from call to call.
    scatter: by how much the value does, from call to call.
    """

    y: np.ndarray
    weights: np.ndarray
    gradients: Arrays
    wobble: Arrays
    scatter: np.ndarray

    @property
    def noise(self) -> float:
        """By how much the weighted sum of the values differs from call to call."""
        return float(np.linalg.norm((self.weights * self.scatter).reshape(-1)))


class Claimant:
    """Calls f and its derivative with what they must not change, and raises Unfit.

    What f raises at the problem's point is passed on; elsewhere it is a sign that f's domain ends.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.rng = problem, rng
        self._scatter: np.ndarray | None = None
        self._unsteady: Arrays = [np.zeros(x.shape) for x in problem.point]

    def claim(self, *, either_sign: bool = False) -> Claim:
        """At the problem's point, for weights that are random, and positive unless of `either_sign`.

        While they are positive, kinks of many outputs (ReLU, max, abs: all convex) bend their sum the same way, and a
        derivative between the sides of each lies between the sides of the sum.
        """
        given = self._point()
        y = self._value(given)
        self._require_unchanged(given, "f")
        weights = self._weights(y, either_sign)
        cotangent = weights.astype(y.dtype)
        gradients = self._pull_back(given, cotangent)
        self._require_unchanged(given, "the derivative")
        wobble = [w + u for w, u in zip(self._wobble(cotangent, gradients), self._unsteady, strict=True)]
        return Claim(y, weights, gradients, wobble, np.zeros(y.shape) if self._scatter is None else self._scatter)

    def repeated(self, claim: Claim, seed: int) -> Claim:
        """The claim with the noise of f and of its derivative: what they differ by when called again.

        Libraries may add in another order at each call, and last digits differ; that is measured. Raises Unfit if the
        same call, also after one elsewhere, gives something that differs by more than half of the digits.
        """
        self._scatter = self._measured_scatter(claim.y)
        step_limits.first_inside(self.problem, step_limits.elsewhere(self.problem.point, seed))
        if self._repeats(claim):
            wobble = [w + u for w, u in zip(claim.wobble, self._unsteady, strict=True)]
            return replace(claim, wobble=wobble, scatter=self._scatter)
        self._value(self._point())
        if self._repeats(claim):
            text = "the derivative depends on which inputs f was called with last: something is kept between calls"
            raise Unfit(Verdict.NONDETERMINISTIC, "not re-entrant", text)
        text = "the derivative came out different for the same inputs; freeze what it draws at random"
        raise Unfit(Verdict.NONDETERMINISTIC, "not repeatable", text)

    def require_linear(self, claim: Claim) -> None:
        """The derivatives of <-u, f> are those of <u, f>, negative."""
        if self.problem.is_pair:
            return
        opposite = self._pull_back(self._point(), -self._cast(claim))
        for which, (g, h, unsteady) in enumerate(zip(claim.gradients, opposite, self._unsteady, strict=True)):
            rounding = _ROUNDINGS * np.finfo(g.dtype).eps * np.abs(g).max(initial=0) + 2 * unsteady.max(initial=0)
            if np.abs(g + h).max(initial=0) > rounding:
                text = f"the derivative of {self.problem.names[which]} does not change its sign with the cotangent's"
                raise Unfit(Verdict.FAIL, "not linear in the cotangent", text, which)

    def _cast(self, claim: Claim) -> np.ndarray:
        return claim.weights.astype(claim.y.dtype)

    def _measured_scatter(self, y: np.ndarray) -> np.ndarray:
        again = self._value(self._point())
        if again.tobytes() == y.tobytes():
            return np.zeros(y.shape)
        others = [again, *(self._value(self._point()) for _ in range(_REPEATS))]
        if all(other.shape == y.shape for other in others):
            scatter = np.max([np.abs(other - y) for other in others], axis=0)
            if _is_rounding(scatter, y):
                return scatter
        text = "f gave another value for the same inputs; freeze what it draws at random"
        raise Unfit(Verdict.NONDETERMINISTIC, "not repeatable", text)

    def _wobble(self, weights: np.ndarray, gradients: Arrays) -> Arrays:
        """Where the inputs cancel, a right derivative has lost digits: this shows how many.

        A large change is no rounding but a jump, as at the tie of a maximum, and does not count.
        """
        rng = random.generator(0, "rounding")
        signs = [rng.choice([-1, 1], x.shape) for x in self.problem.point]
        point = step_limits.first_inside(self.problem, self._rounded_otherwise(signs))
        if point is None:
            return [np.zeros_like(g) for g in gradients]
        with np.errstate(all="ignore"):
            try:
                changes = [abs(h - g) for g, h in zip(gradients, self._pull_back(point, weights), strict=True)]
            except Unfit:
                return [np.zeros_like(g) for g in gradients]
        return [np.where(_jumps(g, c), 0, c) for g, c in zip(gradients, changes, strict=True)]

    def _rounded_otherwise(self, signs: Arrays) -> Iterator[Arrays]:
        """By two roundings: up or down, as `signs` say, or all down where f's domain ends, or all up."""
        point = self.problem.point
        for ways in (signs, [-np.ones_like(s) for s in signs], [np.ones_like(s) for s in signs]):
            yield [
                (x * (1 + 2 * np.finfo(x.dtype).eps * way)).astype(x.dtype) for x, way in zip(point, ways, strict=True)
            ]

    def _repeats(self, claim: Claim) -> bool:
        """Whether the derivative comes out the same again; last digits that differ are kept as unsteady."""
        again = self._pull_back(self._point(), self._cast(claim))
        self._unsteady = [np.abs(h - g) for g, h in zip(claim.gradients, again, strict=True)]
        return all(_is_rounding(change, g) for change, g in zip(self._unsteady, claim.gradients, strict=True))

    def _point(self) -> Arrays:
        return [x.copy() for x in self.problem.point]

    def _weights(self, y: np.ndarray, either_sign: bool) -> np.ndarray:
        if self.problem.is_pair:
            return np.asarray(1.0)
        weights = self.rng.uniform(0.5, 1.5, y.size)
        if either_sign:
            weights *= self.rng.choice([-1.0, 1.0], y.size)
            weights[:1] *= -np.sign(weights[:1])  # one at least is negative
        return weights.reshape(y.shape)

    def _value(self, arrays: Arrays) -> np.ndarray:
        with _derivative_errors(self.problem.f_is_derivative):
            y = np.asarray(self.problem.f(arrays))
        if y.dtype.kind not in "fiu":
            raise Unfit(Verdict.FAIL, "not a number", f"f returned {y.dtype}, expected real numbers")
        y = y if y.dtype.kind == "f" else y.astype(np.float64)
        if not np.isfinite(y).all():
            raise Unfit(Verdict.FAIL, "not finite", "f is not finite at this point; choose one inside of its domain")
        return y

    def _pull_back(self, arrays: Arrays, weights: np.ndarray) -> Arrays:
        given = weights.copy()
        with _derivative_errors(True):
            claimed = [np.asarray(g) for g in self.problem.pull_back(arrays, given)]
        if given.tobytes() != weights.tobytes():
            text = "the derivative changed its cotangent in place; it should work on a copy"
            raise Unfit(Verdict.MUTATED, "cotangent mutated", text)
        return _fitting(self.problem, claimed)

    def _require_unchanged(self, given: Arrays, culprit: str) -> None:
        problem = self.problem
        for which, (name, before, after) in enumerate(zip(problem.names, problem.point, given, strict=True)):
            if before.tobytes() != after.tobytes():
                text = f"{culprit} changed its input {name} in place; it should work on a copy"
                raise Unfit(Verdict.MUTATED, "input mutated", text, which)


def _jumps(g: np.ndarray, change: np.ndarray) -> np.ndarray:
    return (change > _JUMP * np.abs(g).max(initial=0)) & (change > _ROUNDINGS * np.finfo(g.dtype).eps)


def _is_rounding(change: np.ndarray, of: np.ndarray) -> bool:
    """Whether a change leaves half of the digits as they were."""
    return bool(np.abs(change).max(initial=0) <= np.sqrt(np.finfo(of.dtype).eps) * np.abs(of).max(initial=0))


@contextlib.contextmanager
def _derivative_errors(inside: bool) -> Iterator[None]:
    """Whatever a derivative raises is a finding, and not ours to pass on."""
    try:
        yield
    except Exception as error:
        if not inside:
            raise
        notes = getattr(error, "__notes__", [])
        where = notes[-1].removeprefix("... ") if notes else _place(error)
        text = f"the derivative raises {type(error).__name__}: {error}, {where}"
        raise Unfit(Verdict.FAIL, "raises", text) from error


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"in {last.name}, {Path(last.filename).name} line {last.lineno}"


def _fitting(problem: Problem, gradients: Sequence[np.ndarray]) -> Arrays:
    """The claimed derivatives, if there is one for each input, of its shape, and finite."""
    if len(gradients) != len(problem.point):
        text = f"the derivatives returned are {len(gradients)}, the inputs {len(problem.point)}; return one for each"
        raise Unfit(Verdict.FAIL, "count", text)
    for which, (name, x, g) in enumerate(zip(problem.names, problem.point, gradients, strict=True)):
        if g.shape != x.shape:
            raise Unfit(Verdict.FAIL, *_of_wrong_shape(problem, which, gradients), which)
        if g.dtype.kind not in "fiu":
            text = f"the derivative of {name} is {g.dtype}, expected {x.dtype}"
            raise Unfit(Verdict.FAIL, "not a number", text, which)
        if not np.isfinite(g).all():
            index = ", ".join(map(str, np.argwhere(~np.isfinite(g))[0]))
            text = f"the derivative is {g[~np.isfinite(g)][0]} at {name}[{index}]"
            raise Unfit(Verdict.FAIL, "not finite", text, which)
        if g[~np.isfinite(x)].any():
            place = np.argwhere(~np.isfinite(x) & (g != 0))[0]
            index = ", ".join(map(str, place))
            text = f"f ignores {name}[{index}], which is {x[tuple(place)]}, so the derivative there is 0 and not "
            text += f"{g[tuple(place)]:.6g}"
            raise Unfit(Verdict.FAIL, "not zero", text, which)
    return [np.array(g, x.dtype) for g, x in zip(gradients, problem.point, strict=True)]


def _of_wrong_shape(problem: Problem, which: int, gradients: Sequence[np.ndarray]) -> tuple[str, str]:
    """The cause and the explanation of a derivative whose shape is not its input's."""
    name, x, g = problem.names[which], problem.point[which], gradients[which]
    text = f"the derivative of {name} has shape {g.shape}, expected {x.shape}"
    for other, (other_name, y) in enumerate(zip(problem.names, problem.point, strict=True)):
        if other != which and g.shape == y.shape and gradients[other].shape == x.shape:
            return "exchanged arguments", f"{text}: it is {other_name}'s, and the two are exchanged"
    if x.ndim > 1 and g.shape == x.shape[::-1]:
        return "transposed", f"{text}: it is transposed"
    if _broadcasts(x.shape, g.shape):
        return "missing sum over a broadcast axis", f"{text}: sum it over the axes along which {name} was broadcast"
    return "shape", text


def _broadcasts(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(small, large) == large
    except ValueError:
        return False
