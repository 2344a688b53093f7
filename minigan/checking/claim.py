"""What must hold of a claimed derivative before anything is measured: shapes, finite numbers, the same each time."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minigan import random
from minigan.checking.problem import Arrays, Problem, typical_size
from minigan.checking.report import Verdict

_JUMP = 1e-4  # of a derivative's largest entry: more than rounding can do to one that is worth checking
_ROUNDINGS = 64  # a change of so many may be no more than that
_NUDGE = 0.03  # of the typical size: how far a point is moved off its kinks


class Unfit(Exception):  # noqa: N818 - it carries a finding, and is no error
    """The claim cannot be right, whatever the values are; `which` input it concerns, None for all."""

    def __init__(self, verdict: Verdict, cause: str, explanation: str, which: int | None = None) -> None:
        super().__init__(explanation)
        self.verdict, self.cause, self.explanation, self.which = verdict, cause, explanation, which


@dataclass(frozen=True)
class Claim:
    """The value of f at a point, weights for its outputs, and the claimed derivatives of their sum.

    wobble: by how much each claimed derivative changes when the inputs are rounded otherwise.
    """

    y: np.ndarray
    weights: np.ndarray
    gradients: Arrays
    wobble: Arrays


class Claimant:
    """Calls f and its derivative with what they must not change, counts the calls of f, and raises Unfit."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.rng, self.evaluations = problem, rng, 0

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
        return Claim(y, weights, gradients, self._wobble(cotangent, gradients))

    def require_repeatable(self, claim: Claim, seed: int) -> None:
        """The same call gives the same bits, also after a call elsewhere."""
        if self._value(self._point()).tobytes() != claim.y.tobytes():
            text = "f gave another value for the same inputs; freeze what it draws at random"
            raise Unfit(Verdict.NONDETERMINISTIC, "not repeatable", text)
        self._call_elsewhere(seed)
        if self._repeats(claim):
            return
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
        for which, (g, h) in enumerate(
            zip(claim.gradients, self._pull_back(self._point(), -self._cast(claim)), strict=True)
        ):
            if np.abs(g + h).max(initial=0) > _ROUNDINGS * np.finfo(g.dtype).eps * np.abs(g).max(initial=0):
                text = f"the derivative of {self.problem.names[which]} does not change its sign with the cotangent's"
                raise Unfit(Verdict.FAIL, "not linear in the cotangent", text, which)

    def _cast(self, claim: Claim) -> np.ndarray:
        return claim.weights.astype(claim.y.dtype)

    def _call_elsewhere(self, seed: int) -> None:
        """Far away, so that what f keeps for its derivative (a mask, a place) changes; near by if f is not finite."""
        rng = random.generator(seed, "elsewhere")
        factors = [rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 0.9, x.shape) for x in self.problem.point]
        with np.errstate(all="ignore"):
            try:
                self._value([(x * f).astype(x.dtype) for x, f in zip(self.problem.point, factors, strict=True)])
            except (Unfit, ArithmeticError, ValueError):
                self._value(nudged(self.problem.point, seed))

    def _wobble(self, weights: np.ndarray, gradients: Arrays) -> Arrays:
        """Where the inputs cancel, a right derivative has lost digits: this shows how many.

        A large change is no rounding but a jump, as at the tie of a maximum, and does not count.
        """
        rng = random.generator(0, "rounding")
        other = [x * (1 + 2 * np.finfo(x.dtype).eps * rng.choice([-1, 1], x.shape)) for x in self.problem.point]
        rounded = [x.astype(was.dtype) for x, was in zip(other, self.problem.point, strict=True)]
        with np.errstate(all="ignore"):
            try:
                self._value(rounded)
                changes = [abs(h - g) for g, h in zip(gradients, self._pull_back(rounded, weights), strict=True)]
            except (Unfit, ArithmeticError, ValueError):
                return [np.zeros_like(g) for g in gradients]
        return [np.where(_jumps(g, c), 0, c) for g, c in zip(gradients, changes, strict=True)]

    def _repeats(self, claim: Claim) -> bool:
        gradients = self._pull_back(self._point(), self._cast(claim))
        return all(np.array_equal(g, h) for g, h in zip(gradients, claim.gradients, strict=True))

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
        self.evaluations += 1
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


def nudged(point: Arrays, seed: int, by: float = _NUDGE) -> Arrays:
    """A point a little to the side, where no kink should be."""
    rng = random.generator(seed, "nudge")
    return [(x + by * typical_size(x) * rng.uniform(-1, 1, x.shape)).astype(x.dtype) for x in point]


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
