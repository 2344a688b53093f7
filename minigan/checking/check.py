"""The check of a derivative at a point: its conditions, two random directions, the wrong entry and the cause."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from minigan.checking import causes, directions, discontinuities, locate, step_limits, tuning
from minigan.checking.analytic import AnalyticDerivative, AnalyticEvaluator, ConditionError
from minigan.checking.causes import Cause, WrongArray
from minigan.checking.directional import Comparison, DirectionalChecker
from minigan.checking.error_map import measure_error_map
from minigan.checking.finite_differences import taylor_order
from minigan.checking.problem import CountedFunction, Problem, WeightedSum, flattened
from minigan.checking.report import Report, Verdict, entry_name
from minigan.core import random

_MAX_LETTERS = 100  # of an exception's message in an explanation
_EDGE = "edge of the domain"


def check_derivative(problem: Problem, seed: int = 0) -> Report:
    """Check the analytic derivative of `problem`; a mistake is reported and not raised."""
    counted = CountedFunction(problem.f)
    problem = replace(problem, f=counted)
    report = _Check(problem, seed).report()
    nearby = _nearby_problem(problem, report, seed)
    if nearby is not None:
        report = _with_nearby_report(report, _Check(nearby, seed).report())
    return replace(report, evaluations=counted.calls, checked=tuple(problem.names))


def _nearby_problem(problem: Problem, report: Report, seed: int) -> Problem | None:
    """The problem at a point near by, if a check there tells more; None if it does not.

    Off a kink, mistakes show that the kink may hide. Where kinks are nearer than the shortest step, f looks noisy; a
    little farther away it may not.
    """
    if report.verdict is Verdict.NOISY:
        points = step_limits.nearby_points(problem.point, seed, tuning.FAR_SHIFT)
    elif report.verdict is Verdict.KINK and report.ok:
        points = step_limits.nearby_points(problem.point, seed)
    else:
        return None
    point = step_limits.first_in_domain(problem, points)
    return None if point is None else replace(problem, point=point)


def _with_nearby_report(report: Report, nearby: Report) -> Report:
    """The report at the point, or the one near by, whichever says more."""
    if report.verdict is nearby.verdict is Verdict.NOISY:
        return report
    if report.cause == _EDGE:
        return replace(nearby, where="at a point near the given one, which is too near to the edge of the domain")
    if report.verdict is Verdict.NOISY and nearby.ok:
        text = "kinks are too near to this point for finite differences; at a point near by the derivative is right"
        return replace(report, verdict=Verdict.KINK, ok=True, cause="kinks near by", explanation=text)
    if nearby.ok or nearby.verdict is Verdict.NOISY:
        return report
    return replace(nearby, where="at a point near the given one, to avoid its kinks")


class _Check:
    """One check at one point."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self.rng = random.generator(seed, "gradient check")
        self.evaluator = AnalyticEvaluator(problem, self.rng)
        self.limits = step_limits.unlimited(problem)

    def report(self) -> Report:
        try:
            return self._measure(self.evaluator.with_noise(self.evaluator.evaluate(), self.seed))
        except ConditionError as error:
            name = None if error.which is None else self.problem.names[error.which]
            return Report(error.verdict, False, error.cause, error.explanation, name=name)

    def _measure(self, derivative: AnalyticDerivative) -> Report:
        """The report of measurements inside of the domain; entries that cannot move or make f jump are held fixed."""
        checker, direction = self._inside_domain(derivative)
        if not self.limits.first_step:
            return _isolated_point(checker.values.error)
        held = (self.limits.lengths == 0) & np.isfinite(flattened(self.problem.point))
        comparison = checker.compare(direction)
        if checker.is_discontinuous(comparison):
            report = self._check_continuous_entries(derivative, checker, direction, comparison)
        else:
            report = self._look_for_error(derivative, checker, direction, comparison)
        if not held.any():
            return report
        return replace(report, where=f"apart from {self._listed(held)}, which cannot move inside of the domain")

    def _look_for_error(
        self, derivative: AnalyticDerivative, checker: DirectionalChecker, direction: np.ndarray, comparison: Comparison
    ) -> Report:
        """The report of an error along this direction, or along further ones; that of a right derivative otherwise."""
        report = self._error_report(derivative, checker, direction, comparison)
        if report is None and comparison.estimate.has_kink:
            report = self._first_error_report(derivative, checker, directions.one_sided(direction, self.rng))
        elif report is None:
            report = self._mixed_sign_report()
        if report is None:
            report = _without_error(comparison, checker, direction)
        return replace(report, weighted=derivative.y.size > 1)

    def _check_continuous_entries(
        self, derivative: AnalyticDerivative, checker: DirectionalChecker, direction: np.ndarray, comparison: Comparison
    ) -> Report:
        """The report where f jumps: the entries that make it jump are held fixed, and the others checked."""
        offsets, held = self.problem.offsets(), np.zeros(direction.size, bool)
        for _ in range(tuning.MAX_DISCONTINUITY_SEARCHES):
            step = max(checker.smallest_step, comparison.estimate.samples[-1][0])
            held |= discontinuities.discontinuous_entries(checker, direction, offsets, step)
            self.limits.lengths[held] = 0
            direction = self.limits.direction(self.rng)
            comparison = checker.compare(direction)
            if not checker.is_discontinuous(comparison):
                break
        else:
            return _too_noisy(comparison)
        report = self._look_for_error(derivative, checker, direction, comparison)
        if not report.ok:
            return report
        text = f"f jumps at this value of {self._listed(held)}, so it has no derivative there; the rest is right"
        return replace(report, verdict=Verdict.KINK, cause="jump", explanation=text, taylor_order=None)

    def _listed(self, entries: np.ndarray) -> str:
        """The first of the entries, and how many more there are."""
        which, index = self.problem.entry(int(np.argmax(entries)))
        first, others = entry_name(self.problem.names[which], index), np.count_nonzero(entries) - 1
        return f"{first} and {others} more" if others else first

    def _mixed_sign_report(self) -> Report | None:
        """The error report for output weights of both signs, along a balanced direction; None if there is no error."""
        derivative = self.evaluator.evaluate(mixed_signs=True)
        self.evaluator.require_linear(derivative)  # positive weights alone cannot show this
        checker = self._checker(derivative)
        direction = self.limits.direction(self.rng)
        if self.limits.first_step < tuning.FIRST_STEP:
            checker.limits = step_limits.relaxed(self.problem, checker.values.along, self.limits, direction)
            direction = checker.limits.direction(self.rng)
        direction = directions.balanced(direction, derivative.gradients, self.problem.offsets())
        comparison = checker.compare(direction)
        if comparison.estimate.has_kink:
            # With weights of both signs a right derivative need not lie between the sides of kinks near by.
            return None
        return self._error_report(derivative, checker, direction, comparison)

    def _checker(self, derivative: AnalyticDerivative) -> DirectionalChecker:
        phi0 = float(np.vdot(derivative.weights, derivative.y.astype(np.float64)))
        gradient, point = flattened(derivative.gradients), flattened(self.problem.point)
        # The inputs are rounded as well; where f is small and they are not, their rounding dominates the values' noise.
        inputs = gradient * np.where(np.isfinite(point), point, 0.0)
        outputs = (derivative.weights * derivative.y).reshape(-1)
        magnitude = float(np.linalg.norm(outputs) + np.linalg.norm(inputs))
        eps = max(float(np.finfo(a.dtype).eps) for a in (*self.problem.point, derivative.y))
        values, errors = WeightedSum(self.problem, derivative.weights), flattened(derivative.gradient_errors)
        return DirectionalChecker(values, self.limits, gradient, errors, phi0, magnitude, eps, derivative.noise)

    def _inside_domain(self, derivative: AnalyticDerivative) -> tuple[DirectionalChecker, np.ndarray]:
        """A checker, and a direction along which every entry moves by about the typical size of its array.

        Where such a move leaves the domain of f, the limits are tightened and the entries move as far as they can.
        """
        checker, direction = self._checker(derivative), self.limits.direction(self.rng)
        phi = checker.line(direction)
        if math.isfinite(phi(tuning.FIRST_STEP)) and math.isfinite(phi(-tuning.FIRST_STEP)):
            return checker, direction
        self.limits = checker.limits = step_limits.limited(self.problem, checker.values.along, direction)
        return checker, self.limits.direction(self.rng)

    # Error reports.

    def _first_error_report(
        self, derivative: AnalyticDerivative, checker: DirectionalChecker, directions: Iterable[np.ndarray]
    ) -> Report | None:
        for direction in directions:
            report = self._error_report(derivative, checker, direction, checker.compare(direction))
            if report is not None:
                return report
        return None

    def _error_report(
        self, derivative: AnalyticDerivative, checker: DirectionalChecker, direction: np.ndarray, comparison: Comparison
    ) -> Report | None:
        """The report on the entry with the largest error; None if the comparison shows no error, or no entry does."""
        if not comparison.violation:
            return None
        position = locate.worst_entry(checker, direction, comparison, self.problem.offsets())
        if position is None:
            return None
        which, index = self.problem.entry(position)
        size = checker.limits.lengths[position]
        along = np.zeros(direction.size)
        along[position] = size
        single = checker.compare(along)
        if not single.violation:
            return _unlocated(comparison) if self._recurs(checker, direction, comparison) else None
        entry: dict[str, Any] = {
            "name": self.problem.names[which], "index": index, "analytic": single.analytic / size,
            "numeric": single.numeric / size, "bar": single.estimate.central.error_bar / size,
        }  # fmt: skip
        if single.estimate.has_kink:
            if not checker.is_kink_at_point(along, single):
                return _too_noisy(comparison)
            left, right = (_zero_within(side, single.estimate.central.error_bar) / size for side in single.sides)
            text = "right and left derivatives differ here, and the analytic one does not lie between them"
            return Report(Verdict.KINK, False, "outside of a kink", text, sides=(left, right), **entry)
        is_array = derivative.gradients[which].size > 1
        is_only_error = is_array and self._is_only_error(checker, direction, comparison, single, position)
        cause = self._cause(derivative, checker, which, (entry["analytic"], entry["numeric"]), is_only_error)
        order = taylor_order(comparison.estimate, comparison.analytic, checker.rounding)
        shape, offset = self.problem.point[which].shape, self.problem.offsets()[which]
        step, _ = locate.best_step(checker, comparison)
        return Report(
            Verdict.FAIL, False, cause.name, cause.explanation, taylor_order=order, shape=shape,
            error_map=lambda: measure_error_map(checker, shape, offset, step), **entry,
        )  # fmt: skip

    def _cause(
        self,
        derivative: AnalyticDerivative,
        checker: DirectionalChecker,
        which: int,
        entry: tuple[float, float],
        is_only_error: bool,
    ) -> Cause:
        """The cause of the error in input `which`; entry: the analytic and numeric derivatives of its worst entry."""
        problem = self.problem
        wrong = WrongArray(which, problem.names, problem.point, derivative.gradients, derivative.y.shape)
        if is_only_error:
            return causes.single_entry_cause(wrong, entry)
        return causes.find_cause(checker, wrong, problem.offsets(), entry, self.rng)

    def _recurs(self, checker: DirectionalChecker, direction: np.ndarray, comparison: Comparison) -> bool:
        """Whether an error that no single entry shows comes again with other signs, so that it is no accident."""
        again = checker.compare(direction * self.rng.choice([-1.0, 1.0], direction.size))
        is_same_kind = again.estimate.has_kink == comparison.estimate.has_kink
        return comparison.is_certain and again.is_certain and is_same_kind

    def _is_only_error(
        self, checker: DirectionalChecker, direction: np.ndarray, whole: Comparison, single: Comparison, position: int
    ) -> bool:
        """Whether the error of one entry is the whole error; the rest is measured along another direction."""
        factor = direction[position] / checker.limits.lengths[position]
        error, of_entry = whole.numeric - whole.analytic, factor * (single.numeric - single.analytic)
        error_bars = whole.estimate.central.error_bar + abs(factor) * single.estimate.central.error_bar
        if abs(of_entry - error) > tuning.MAX_UNEXPLAINED * abs(error) + tuning.ERROR_BARS * error_bars:
            return False
        rest = direction * self.rng.choice([-1.0, 1.0], direction.size)
        rest[position] = 0
        step, uncertainty = locate.best_step(checker, whole)
        if uncertainty > tuning.MAX_PLAIN_UNCERTAINTY * abs(error):
            return not checker.compare(rest).violation
        unexplained = checker.central_difference(rest, step) - checker.analytic(rest)
        return abs(unexplained) <= tuning.MAX_UNEXPLAINED * abs(error) + tuning.CLEAR_ERROR * uncertainty


def _too_noisy(comparison: Comparison) -> Report:
    bar = comparison.estimate.central.error_bar
    text = (
        f"the values of f scatter so much that they determine the derivative only to within {bar:.1g}; "
        "check in float64, or a smoother f"
    )
    return Report(
        Verdict.NOISY, False, "noise", text, analytic=comparison.analytic, numeric=comparison.numeric, bar=bar
    )


def _isolated_point(error: Exception | None) -> Report:
    if error is None:
        what = "is not finite"
    else:
        what = " ".join(f"raises {type(error).__name__}: {error}".split())[:_MAX_LETTERS]
    text = f"f {what} at every point tried near this one, so nothing can be measured; choose a point farther inside"
    return Report(Verdict.NOISY, False, _EDGE, text)


def _unlocated(comparison: Comparison) -> Report:
    text = "the derivative is wrong along a random direction, but no single entry shows it"
    bar = comparison.estimate.central.error_bar
    return Report(Verdict.FAIL, False, "", text, analytic=comparison.analytic, numeric=comparison.numeric, bar=bar)


def _zero_within(value: float, error_bar: float) -> float:
    """`value`, or 0 if it is no larger than its error bar."""
    return value if abs(value) > error_bar else 0.0


def _without_error(comparison: Comparison, checker: DirectionalChecker, direction: np.ndarray) -> Report:
    """The report where no direction shows an error: PASS, KINK, or NOISY if an error could not have been seen."""
    estimate = comparison.estimate
    if estimate.has_kink:
        text = "right and left derivatives differ here, and the analytic one lies between them"
        verdict, cause, order, sides = Verdict.KINK, "kink", None, comparison.sides
    elif checker.is_too_noisy(direction, comparison):
        return _too_noisy(comparison)
    else:
        order = taylor_order(estimate, comparison.analytic, checker.rounding)
        verdict, cause, text, sides = Verdict.PASS, "", "", None
    return Report(
        verdict, True, cause, text, analytic=comparison.analytic, numeric=comparison.numeric,
        bar=estimate.central.error_bar, sides=sides, taylor_order=order,
    )  # fmt: skip
