"""The whole check of a derivative at a point: what must hold at all, probes, and if they disagree, where and why."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from minigan.checking import diagnosis, directions, jumps, locate, step_limits
from minigan.checking.claim import Claim, Claimant, Unfit
from minigan.checking.diagnosis import Suspect
from minigan.checking.error_map import measure_error_map
from minigan.checking.probe import Finding, Prober
from minigan.checking.problem import Counted, Problem, Values, flattened
from minigan.checking.report import Report, Verdict, entry_name
from minigan.checking.slope import taylor_order
from minigan.core import random

_EXPLAINS = 1e-3  # of an error may be left over by what explains it
_SURE = 1e-3  # of an error: an uncertainty at which a plain difference will do
_FAR_NUDGE = 0.3  # of the typical size
_LONG = 100  # letters of an error
_EDGE = "edge of the domain"
_ROUNDS = 3  # of looking for what makes f jump, each in another direction


def examine(problem: Problem, seed: int = 0) -> Report:
    """Judge the claimed derivative of `problem`; what it does wrong is in the report, and not raised."""
    counted = Counted(problem.f)
    problem = replace(problem, f=counted)
    report = _Check(problem, seed).report()
    moved = _beside(problem, report, seed)
    if moved is not None:
        report = _with_what_is_beside(report, _Check(moved, seed).report())
    return replace(report, evaluations=counted.calls, checked=tuple(problem.names))


def _beside(problem: Problem, report: Report, seed: int) -> Problem | None:
    """The same a little to the side, where mistakes show that a kink may hide.

    And where there may be less noise: that of kinks so near that no step is shorter. To get away from many, farther.
    """
    if report.verdict is Verdict.NOISY:
        nudges = step_limits.nudges(problem.point, seed, _FAR_NUDGE)
    elif report.verdict is Verdict.KINK and report.ok:
        nudges = step_limits.nudges(problem.point, seed)
    else:
        return None
    point = step_limits.first_inside(problem, nudges)
    return None if point is None else replace(problem, point=point)


def _with_what_is_beside(report: Report, aside: Report) -> Report:
    if report.verdict is aside.verdict is Verdict.NOISY:
        return report
    if report.cause == _EDGE:
        return replace(aside, where="a little beside the given point, which is too near to the edge of its domain")
    if report.verdict is Verdict.NOISY and aside.ok:
        text = "kinks lie nearer to this point than differences can tell; a little beside it, the derivative is right"
        return replace(report, verdict=Verdict.KINK, ok=True, cause="kinks near by", explanation=text)
    if aside.ok or aside.verdict is Verdict.NOISY:
        return report
    return replace(aside, where="a little beside the given point, to avoid its kinks")


class _Check:
    """One check, at one point."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self.rng = random.generator(seed, "gradient check")
        self.claimant = Claimant(problem, self.rng)
        self.limits = step_limits.unlimited(problem)

    def report(self) -> Report:
        try:
            return self._judge(self.claimant.repeated(self.claimant.claim(), self.seed))
        except Unfit as unfit:
            name = None if unfit.which is None else self.problem.names[unfit.which]
            return Report(unfit.verdict, False, unfit.cause, unfit.explanation, name=name)

    def _judge(self, claim: Claim) -> Report:
        """By one probe and, at a kink, more of the like; elsewhere a second with weights of either sign."""
        prober, direction = self._inside(claim)
        if not self.limits.first_step:
            return _isolated(prober.values.error)
        held = (self.limits.lengths == 0) & np.isfinite(flattened(self.problem.point))
        finding = prober.measure(direction)
        if prober.jumps(finding):
            report = self._judge_beside_jumps(claim, prober, direction, finding)
        else:
            report = self._judged(claim, prober, direction, finding)
        if not held.any():
            return report
        return replace(report, where=f"apart from {self._named(held)}, which cannot move inside of the domain")

    def _judged(self, claim: Claim, prober: Prober, direction: np.ndarray, finding: Finding) -> Report:
        blame = self._blame(claim, prober, direction, finding)
        if blame is None and finding.slope.has_kink:
            blame = self._first_blame(claim, prober, directions.one_sided(direction, self.rng))
        elif blame is None:
            blame = self._blame_with_either_sign()
        report = _acquitted(finding, prober, direction) if blame is None else blame
        return replace(report, weighted=claim.y.size > 1)

    def _judge_beside_jumps(self, claim: Claim, prober: Prober, direction: np.ndarray, finding: Finding) -> Report:
        """What makes f jump is held, and the rest judged."""
        starts, held = self.problem.starts(), np.zeros(direction.size, bool)
        for _ in range(_ROUNDS):
            held |= jumps.jumping(prober, direction, starts, max(prober.finest_step, finding.slope.rows[-1][0]))
            self.limits.lengths[held] = 0
            direction = self.limits.direction(self.rng)
            finding = prober.measure(direction)
            if not prober.jumps(finding):
                break
        else:
            return _unjudged(finding)
        report = self._judged(claim, prober, direction, finding)
        if not report.ok:
            return report
        text = f"f jumps with the least change of {self._named(held)}, so it has no derivative there; the rest is right"
        return replace(report, verdict=Verdict.KINK, cause="jump", explanation=text, taylor_order=None)

    def _named(self, places: np.ndarray) -> str:
        """The first of the entries, and how many more there are."""
        which, index = self.problem.entry(int(np.argmax(places)))
        first, others = entry_name(self.problem.names[which], index), np.count_nonzero(places) - 1
        return f"{first} and {others} more" if others else first

    def _blame_with_either_sign(self) -> Report | None:
        claim = self.claimant.claim(either_sign=True)
        self.claimant.require_linear(claim)  # with positive weights all was well
        prober = self._prober(claim)
        direction = self.limits.direction(self.rng)
        if self.limits.first_step < step_limits.FIRST_STEP:
            prober.limits = step_limits.freed(self.problem, prober.values.along, self.limits, direction)
            direction = prober.limits.direction(self.rng)
        direction = directions.balanced(direction, claim.gradients, self.problem.starts())
        finding = prober.measure(direction)
        # With such weights a right claim may lie outside of the sides of kinks that are near by.
        return None if finding.slope.has_kink else self._blame(claim, prober, direction, finding)

    def _prober(self, claim: Claim) -> Prober:
        middle = float(np.vdot(claim.weights, claim.y.astype(np.float64)))
        gradient, point = flattened(claim.gradients), flattened(self.problem.point)
        # The inputs are rounded, too: where f is small and they are not, their rounding is what its values scatter by.
        inputs = gradient * np.where(np.isfinite(point), point, 0.0)
        magnitude = float(np.linalg.norm((claim.weights * claim.y).reshape(-1)) + np.linalg.norm(inputs))
        eps = max(float(np.finfo(a.dtype).eps) for a in (*self.problem.point, claim.y))
        values = Values(self.problem, claim.weights)
        return Prober(values, self.limits, gradient, flattened(claim.wobble), middle, magnitude, eps, claim.noise)

    def _inside(self, claim: Claim) -> tuple[Prober, np.ndarray]:
        """A prober, and a direction along which every number moves by about the typical size of its array.

        Where that leaves f's domain, the limits are closer, and they move as far as they can.
        """
        prober, direction = self._prober(claim), self.limits.direction(self.rng)
        phi = prober.line(direction)
        if math.isfinite(phi(step_limits.FIRST_STEP)) and math.isfinite(phi(-step_limits.FIRST_STEP)):
            return prober, direction
        self.limits = prober.limits = step_limits.limited(self.problem, prober.values.along, direction)
        return prober, self.limits.direction(self.rng)

    # Blame.

    def _first_blame(self, claim: Claim, prober: Prober, directions: Iterable[np.ndarray]) -> Report | None:
        for direction in directions:
            report = self._blame(claim, prober, direction, prober.measure(direction))
            if report is not None:
                return report
        return None

    def _blame(self, claim: Claim, prober: Prober, direction: np.ndarray, finding: Finding) -> Report | None:
        """The report of the mistake that a finding shows; None if it shows none, or at kinks no entry is to blame."""
        place = locate.worst_entry(prober, direction, finding, self.problem.starts()) if finding.violation else None
        if place is None:
            return None
        which, index = self.problem.entry(place)
        size = prober.limits.lengths[place]
        along = np.zeros(direction.size)
        along[place] = size
        single = prober.measure(along)
        if not single.violation:  # no entry to hold it against: an accident of the bars, unless it comes again
            again = prober.measure(direction * self.rng.choice([-1.0, 1.0], direction.size))
            is_sure = finding.is_blatant and again.is_blatant and again.slope.has_kink == finding.slope.has_kink
            return _unlocated(finding) if is_sure else None
        at: dict[str, Any] = {
            "name": self.problem.names[which], "index": index, "analytic": single.analytic / size,
            "numeric": single.numeric / size, "bar": single.slope.mean.bar / size,
        }  # fmt: skip
        if single.slope.has_kink:
            if not prober.is_sharp(along, single):
                return _unjudged(finding)
            left, right = (_or_zero(side, single.slope.mean.bar) / size for side in single.sides)
            text = "right and left derivatives differ here, and the claimed one does not lie between them"
            return Report(Verdict.KINK, False, "outside of a kink", text, sides=(left, right), **at)
        suspect = Suspect(which, self.problem.names, self.problem.point, claim.gradients, claim.y.shape)
        entry = at["analytic"], at["numeric"]
        if suspect.gradient.size > 1 and self._is_alone(prober, direction, finding, single, place):
            cause = diagnosis.one_entry(suspect, entry)
        else:
            cause = diagnosis.diagnose(prober, suspect, self.problem.starts(), entry, self.rng)
        order = taylor_order(finding.slope, finding.analytic, prober.rounding)
        shape, start = self.problem.point[which].shape, self.problem.starts()[which]
        step, _ = locate.best_step(prober, finding)
        return Report(
            Verdict.FAIL, False, cause.name, cause.explanation, taylor_order=order, shape=shape,
            error_map=lambda: measure_error_map(prober, shape, start, step), **at,
        )  # fmt: skip

    def _is_alone(self, prober: Prober, direction: np.ndarray, whole: Finding, single: Finding, place: int) -> bool:
        """Whether the error of one entry is all of the error, also along directions of the rest not seen before."""
        share = direction[place] / prober.limits.lengths[place]
        error, alone = whole.numeric - whole.analytic, share * (single.numeric - single.analytic)
        bars = whole.slope.mean.bar + abs(share) * single.slope.mean.bar
        if abs(alone - error) > _EXPLAINS * abs(error) + 2 * bars:
            return False
        rest = direction * self.rng.choice([-1.0, 1.0], direction.size)
        rest[place] = 0
        step, uncertain = locate.best_step(prober, whole)
        if uncertain > _SURE * abs(error):
            return not prober.measure(rest).violation
        left_over = prober.difference(rest, step) - prober.claimed(rest)
        return abs(left_over) <= _EXPLAINS * abs(error) + 4 * uncertain


def _unjudged(finding: Finding) -> Report:
    bar = finding.slope.mean.bar
    text = (
        f"the values of f scatter so much that they tell the derivative only to within {bar:.1g}; "
        "check in float64, or a smoother f"
    )
    return Report(Verdict.NOISY, False, "noise", text, analytic=finding.analytic, numeric=finding.numeric, bar=bar)


def _isolated(error: Exception | None) -> Report:
    what = "is not finite" if error is None else " ".join(f"raises {type(error).__name__}: {error}".split())[:_LONG]
    text = f"f {what} at every point tried next to this one, so nothing can be measured; choose a point farther inside"
    return Report(Verdict.NOISY, False, _EDGE, text)


def _unlocated(finding: Finding) -> Report:
    text = "the derivative is wrong along a random direction, but no single entry shows it"
    bar = finding.slope.mean.bar
    return Report(Verdict.FAIL, False, "", text, analytic=finding.analytic, numeric=finding.numeric, bar=bar)


def _or_zero(value: float, bar: float) -> float:
    return value if abs(value) > bar else 0.0


def _acquitted(finding: Finding, prober: Prober, direction: np.ndarray) -> Report:
    """No probe found a mistake; say so, unless they could not have."""
    slope = finding.slope
    measured: dict[str, Any] = {"analytic": finding.analytic, "numeric": finding.numeric, "bar": slope.mean.bar}
    if slope.has_kink:
        text = "right and left derivatives differ here, and the claimed one lies between them"
        return Report(Verdict.KINK, True, "kink", text, sides=finding.sides, **measured)
    if prober.is_too_rough(direction, finding):
        return _unjudged(finding)
    order = taylor_order(slope, finding.analytic, prober.rounding)
    return Report(Verdict.PASS, True, taylor_order=order, **measured)
