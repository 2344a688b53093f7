"""The analytic derivative at the point, and the conditions that it must meet before anything is measured.

There must be one derivative for each input, of its shape and finite; the same call must give the same numbers; and
neither f nor the derivative may change its arguments.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minigan.checking import step_limits, tuning
from minigan.checking.problem import Arrays, Problem
from minigan.checking.report import Verdict
from minigan.core import random


class ConditionError(Exception):
    """A condition does not hold, so the check ends with this verdict; `which` input it concerns, None for all."""

    def __init__(self, verdict: Verdict, cause: str, explanation: str, which: int | None = None) -> None:
        super().__init__(explanation)
        self.verdict, self.cause, self.explanation, self.which = verdict, cause, explanation, which


@dataclass(frozen=True)
class AnalyticDerivative:
    """The output `y` of f at the point, weights for its entries, and the analytic gradients of the weighted sum.

    gradient_errors: by how much each gradient changes when the inputs are rounded differently, and from call to call.
    output_noise: by how much y differs from call to call.
    """

    y: np.ndarray
    weights: np.ndarray
    gradients: Arrays
    gradient_errors: Arrays
    output_noise: np.ndarray

    @property
    def noise(self) -> float:
        """By how much the weighted sum differs from call to call."""
        return float(np.linalg.norm((self.weights * self.output_noise).reshape(-1)))


class AnalyticEvaluator:
    """Calls f and its derivative, and raises ConditionError where a condition does not hold.

    What f raises at the problem's point is passed on; elsewhere it means that the domain of f ends.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self.problem, self.rng = problem, rng
        self._output_noise: np.ndarray | None = None
        self._gradient_noise: Arrays = [np.zeros(x.shape) for x in problem.point]

    def evaluate(self, *, mixed_signs: bool = False) -> AnalyticDerivative:
        """The derivative at the problem's point, for random weights of the outputs.

        The weights are positive unless `mixed_signs`. With positive weights the kinks of many outputs (ReLU, max, abs:
        all convex) are convex in the sum, too, so derivatives between the sides of each kink lie between its sides.
        """
        inputs = self._copy_of_point()
        y = self._output(inputs)
        self._require_unchanged(inputs, "f")
        weights = self._draw_weights(y, mixed_signs)
        cotangent = weights.astype(y.dtype)
        gradients = self._gradients(inputs, cotangent)
        self._require_unchanged(inputs, "the derivative")
        rounding = self._rounding_of_inputs(cotangent, gradients)
        errors = [a + b for a, b in zip(rounding, self._gradient_noise, strict=True)]
        noise = np.zeros(y.shape) if self._output_noise is None else self._output_noise
        return AnalyticDerivative(y, weights, gradients, errors, noise)

    def with_noise(self, derivative: AnalyticDerivative, seed: int) -> AnalyticDerivative:
        """The derivative with its noise and that of f: the differences between calls at the same point.

        Libraries may add in another order at each call, so last digits differ; these differences are measured. Raises
        ConditionError if the same call, also after one at another point, gives more than half of the digits otherwise.
        """
        self._output_noise = self._measured_output_noise(derivative.y)
        step_limits.first_in_domain(self.problem, step_limits.distant_points(self.problem.point, seed))
        if self._is_repeatable(derivative):
            errors = [a + b for a, b in zip(derivative.gradient_errors, self._gradient_noise, strict=True)]
            return replace(derivative, gradient_errors=errors, output_noise=self._output_noise)
        self._output(self._copy_of_point())
        if self._is_repeatable(derivative):
            text = "the derivative depends on which inputs f was called with last: something is kept between calls"
            raise ConditionError(Verdict.NONDETERMINISTIC, "not re-entrant", text)
        text = "the derivative came out different for the same inputs; freeze what it draws at random"
        raise ConditionError(Verdict.NONDETERMINISTIC, "not repeatable", text)

    def require_linear(self, derivative: AnalyticDerivative) -> None:
        """Raise ConditionError unless the gradients of <-u, f> are those of <u, f>, negated."""
        if self.problem.is_pair:
            return
        opposite = self._gradients(self._copy_of_point(), -self._cotangent(derivative))
        gradients = zip(derivative.gradients, opposite, self._gradient_noise, strict=True)
        for which, (g, h, noise) in enumerate(gradients):
            size = np.abs(g).max(initial=0)
            rounding = tuning.ANALYTIC_ROUNDINGS * np.finfo(g.dtype).eps * size + 2 * noise.max(initial=0)
            if np.abs(g + h).max(initial=0) > rounding:
                text = f"the derivative of {self.problem.names[which]} does not change its sign with the cotangent's"
                raise ConditionError(Verdict.FAIL, "not linear in the cotangent", text, which)

    def _cotangent(self, derivative: AnalyticDerivative) -> np.ndarray:
        return derivative.weights.astype(derivative.y.dtype)

    def _measured_output_noise(self, y: np.ndarray) -> np.ndarray:
        again = self._output(self._copy_of_point())
        if again.tobytes() == y.tobytes():
            return np.zeros(y.shape)
        others = [again, *(self._output(self._copy_of_point()) for _ in range(tuning.REPEATED_CALLS))]
        if all(other.shape == y.shape for other in others):
            noise = np.max([np.abs(other - y) for other in others], axis=0)
            if _is_rounding(noise, y):
                return noise
        text = "f gave another value for the same inputs; freeze what it draws at random"
        raise ConditionError(Verdict.NONDETERMINISTIC, "not repeatable", text)

    def _rounding_of_inputs(self, cotangent: np.ndarray, gradients: Arrays) -> Arrays:
        """The change of each gradient when the inputs are rounded differently.

        Where the inputs cancel, a right derivative has lost digits, and this change shows how many. A large change is
        no rounding but a switch, as at the tie of a maximum, and counts as 0.
        """
        rng = random.generator(0, "rounding")
        signs = [rng.choice([-1, 1], x.shape) for x in self.problem.point]
        point = step_limits.first_in_domain(self.problem, self._rounded_points(signs))
        if point is None:
            return [np.zeros_like(g) for g in gradients]
        with np.errstate(all="ignore"):
            try:
                changes = [abs(h - g) for g, h in zip(gradients, self._gradients(point, cotangent), strict=True)]
            except ConditionError:
                return [np.zeros_like(g) for g in gradients]
        return [np.where(_is_switch(g, c), 0, c) for g, c in zip(gradients, changes, strict=True)]

    def _rounded_points(self, signs: Arrays) -> Iterator[Arrays]:
        """The point moved by a few roundings: up or down as `signs` say, or all down, or all up, for f's domain."""
        point = self.problem.point
        for ways in (signs, [-np.ones_like(s) for s in signs], [np.ones_like(s) for s in signs]):
            yield [
                (x * (1 + tuning.INPUT_ROUNDINGS * np.finfo(x.dtype).eps * way)).astype(x.dtype)
                for x, way in zip(point, ways, strict=True)
            ]

    def _is_repeatable(self, derivative: AnalyticDerivative) -> bool:
        """Whether the derivative comes out the same again, but for last digits, which are kept as its noise."""
        again = self._gradients(self._copy_of_point(), self._cotangent(derivative))
        self._gradient_noise = [np.abs(h - g) for g, h in zip(derivative.gradients, again, strict=True)]
        return all(_is_rounding(noise, g) for noise, g in zip(self._gradient_noise, derivative.gradients, strict=True))

    def _copy_of_point(self) -> Arrays:
        return [x.copy() for x in self.problem.point]

    def _draw_weights(self, y: np.ndarray, mixed_signs: bool) -> np.ndarray:
        if self.problem.is_pair:
            return np.asarray(1.0)
        weights = self.rng.uniform(*tuning.DIRECTION_FACTORS, y.size)
        if mixed_signs:
            weights *= self.rng.choice([-1.0, 1.0], y.size)
            weights[:1] *= -np.sign(weights[:1])  # at least one is negative
        return weights.reshape(y.shape)

    def _output(self, arrays: Arrays) -> np.ndarray:
        with _errors_of_derivative(self.problem.f_is_derivative):
            y = np.asarray(self.problem.f(arrays))
        if y.dtype.kind not in "fiu":
            raise ConditionError(Verdict.FAIL, "not a number", f"f returned {y.dtype}, expected real numbers")
        y = y if y.dtype.kind == "f" else y.astype(np.float64)
        if not np.isfinite(y).all():
            text = "f is not finite at this point; choose one inside of its domain"
            raise ConditionError(Verdict.FAIL, "not finite", text)
        return y

    def _gradients(self, arrays: Arrays, cotangent: np.ndarray) -> Arrays:
        passed = cotangent.copy()
        with _errors_of_derivative(True):
            gradients = [np.asarray(g) for g in self.problem.vjp(arrays, passed)]
        if passed.tobytes() != cotangent.tobytes():
            text = "the derivative changed its cotangent in place; it should work on a copy"
            raise ConditionError(Verdict.MUTATED, "cotangent mutated", text)
        return _validated(self.problem, gradients)

    def _require_unchanged(self, inputs: Arrays, function: str) -> None:
        problem = self.problem
        for which, (name, before, after) in enumerate(zip(problem.names, problem.point, inputs, strict=True)):
            if before.tobytes() != after.tobytes():
                text = f"{function} changed its input {name} in place; it should work on a copy"
                raise ConditionError(Verdict.MUTATED, "input mutated", text, which)


def _is_switch(g: np.ndarray, change: np.ndarray) -> np.ndarray:
    """For each entry, whether its change is too large for rounding."""
    is_large = change > tuning.TIE_CHANGE * np.abs(g).max(initial=0)
    return is_large & (change > tuning.TIE_ROUNDINGS * np.finfo(g.dtype).eps)


def _is_rounding(change: np.ndarray, of: np.ndarray) -> bool:
    """Whether a change leaves half of the digits as they were."""
    return bool(np.abs(change).max(initial=0) <= np.sqrt(np.finfo(of.dtype).eps) * np.abs(of).max(initial=0))


@contextlib.contextmanager
def _errors_of_derivative(is_derivative: bool) -> Iterator[None]:
    """Turn whatever a derivative raises into a ConditionError; pass on what f raises."""
    try:
        yield
    except Exception as error:
        if not is_derivative:
            raise
        notes = getattr(error, "__notes__", [])
        where = notes[-1].removeprefix("... ") if notes else _location(error)
        text = f"the derivative raises {type(error).__name__}: {error}, {where}"
        raise ConditionError(Verdict.FAIL, "raises", text) from error


def _location(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"in {last.name}, {Path(last.filename).name} line {last.lineno}"


def _validated(problem: Problem, gradients: Sequence[np.ndarray]) -> Arrays:
    """The gradients as arrays of their inputs' types; raises ConditionError unless there is one for each input, of its
    shape, finite, and 0 where the input is not finite.
    """
    if len(gradients) != len(problem.point):
        text = f"the derivatives returned are {len(gradients)}, the inputs {len(problem.point)}; return one for each"
        raise ConditionError(Verdict.FAIL, "count", text)
    for which, (name, x, g) in enumerate(zip(problem.names, problem.point, gradients, strict=True)):
        if g.shape != x.shape:
            raise ConditionError(Verdict.FAIL, *_wrong_shape(problem, which, gradients), which)
        if g.dtype.kind not in "fiu":
            text = f"the derivative of {name} is {g.dtype}, expected {x.dtype}"
            raise ConditionError(Verdict.FAIL, "not a number", text, which)
        if not np.isfinite(g).all():
            index = ", ".join(map(str, np.argwhere(~np.isfinite(g))[0]))
            text = f"the derivative is {g[~np.isfinite(g)][0]} at {name}[{index}]"
            raise ConditionError(Verdict.FAIL, "not finite", text, which)
        if g[~np.isfinite(x)].any():
            place = np.argwhere(~np.isfinite(x) & (g != 0))[0]
            index = ", ".join(map(str, place))
            text = f"f ignores {name}[{index}], which is {x[tuple(place)]}, so the derivative there is 0 and not "
            text += f"{g[tuple(place)]:.6g}"
            raise ConditionError(Verdict.FAIL, "not zero", text, which)
    return [np.array(g, x.dtype) for g, x in zip(gradients, problem.point, strict=True)]


def _wrong_shape(problem: Problem, which: int, gradients: Sequence[np.ndarray]) -> tuple[str, str]:
    """The cause and the explanation of a derivative whose shape is not that of its input."""
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
