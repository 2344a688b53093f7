"""The rules of benchmarks/gradcheck_mutants.py are right or wrong as stated, and the checker separates them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from mutants import mistakes, right, rules, state  # noqa: E402
from mutants.case import Case, cotangent, difference  # noqa: E402
from mutants.checkers import CheckResult, run_checker  # noqa: E402
from mutants.rule import Rule  # noqa: E402
from mutants.tally import has_name, is_caught, is_named, tables, tally  # noqa: E402

sys.path.remove(str(BENCHMARKS))

SEED = 1  # not the benchmark's
STEP = 1e-5
BY_RULE = pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.name)


@pytest.fixture(scope="module")
def wrong_values() -> list[Case]:
    return [*rules.specific(SEED), *mistakes.general(SEED)]


@pytest.fixture(scope="module")
def right_cases() -> list[Case]:
    return right.right(SEED)


def sample(cases: list[Case], count: int) -> list[Case]:
    """Random cases, equally many of every group."""
    rng = np.random.default_rng(SEED)
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    each = -(-count // len(groups))
    return [some[i] for some in groups.values() for i in rng.permutation(len(some))[:each]]


def differences(rule: Rule, rng: np.random.Generator) -> tuple[float, float, float]:
    """The derivative of <u, f> along a random line: analytic, by central differences, and the size of its parts."""
    point, static = rule.draw(rng, 5)
    u = cotangent(rng, np.asarray(rule.f(*point, **static)))
    line = [rng.standard_normal(x.shape) for x in point]

    def value(t: float) -> float:
        return float(np.vdot(u, rule.f(*(x + t * d for x, d in zip(point, line, strict=True)), **static)))

    parts = [float((g * d).sum()) for g, d in zip(rule.vjp(*point, u, **static), line, strict=True)]
    measured = (8 * (value(STEP) - value(-STEP)) - (value(2 * STEP) - value(-2 * STEP))) / (12 * STEP)
    return sum(parts), measured, 1.0 + max(map(abs, parts))


@BY_RULE
def test_right_rules_are_right(rule):
    rng = rules.generator(SEED, "differences", rule.name)
    for _ in range(3):
        analytic, measured, size = differences(rule, rng)
        assert analytic == pytest.approx(measured, abs=1e-8 * size)


@BY_RULE
def test_right_rules_keep_float32_and_return_one_derivative_of_its_shape_for_each_array(rule):
    rng = rules.generator(SEED, "float32", rule.name)
    point, static = rule.draw(rng, 5)
    single = tuple(x.astype(np.float32) for x in point)
    y = np.asarray(rule.f(*single, **static))
    assert y.dtype == np.float32
    gradients = rule.vjp(*single, cotangent(rng, y), **static)
    assert [np.shape(g) for g in gradients] == [x.shape for x in single]
    assert len(rule.names.split()) == len(single)


def test_there_are_enough_of_each(wrong_values, right_cases):
    assert len(wrong_values) + len(state.stateful(SEED)) >= 200
    assert len(right_cases) >= 1000
    kinks = sum("kink" in case.group for case in right_cases)
    single = sum(case.dtype == "float32" for case in right_cases)
    assert kinks >= 150
    assert single >= 100
    assert max(case.size for case in right_cases) >= 2000
    assert min(case.size for case in right_cases) == 1


def test_no_two_cases_have_the_same_name(wrong_values, right_cases):
    names = [f"{case.group}: {case.name}" for case in (*wrong_values, *state.stateful(SEED), *right_cases)]
    assert len(names) == len(set(names))


def test_wrong_rules_differ_from_the_right_ones(wrong_values):
    rng = np.random.default_rng(SEED)
    for case in wrong_values:
        f, vjp = case.build()
        rule = rules.BY_NAME[case.name.partition(": ")[0]]
        static = vjp.keywords
        for u in (cotangent(rng, np.asarray(f(*case.point))) for _ in range(2)):
            apart = difference(vjp(*case.point, u), rule.vjp(*case.point, u, **static))
            if apart > 0.4e-6:
                break
        else:
            pytest.fail(f"{case.group}: {case.name} is right")


def test_rules_with_memory_are_wrong_after_some_calls():
    """A call changes its arguments, or the same call gives another result later."""
    rng = np.random.default_rng(SEED)
    for case in state.stateful(SEED):
        f, vjp = case.build()
        given = [x.copy() for x in case.point]
        u = cotangent(rng, np.asarray(f(*given)))
        kept = u.copy()
        first = [np.array(g) for g in vjp(*given, u)]
        changed = difference((*given, u), (*case.point, kept)) > 0
        values = [np.array(f(*(x.copy() for x in case.point))) for _ in range(2)]
        f(*(0.5 - 2 * x for x in case.point))
        later = vjp(*(x.copy() for x in case.point), kept.copy())
        differs = difference(later, first) > 1e-6 or np.any(values[0] != values[1])
        assert changed or differs, f"{case.group}: {case.name}"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_cases():
    for some, others in (
        (rules.specific(3), rules.specific(3)),
        (mistakes.general(3), mistakes.general(3)),
        (right.right(3)[::10], right.right(3)[::10]),
    ):
        assert [case.name for case in some] == [case.name for case in others]
        assert all(difference(a.point, b.point) == 0 for a, b in zip(some, others, strict=True))


@pytest.mark.slow
def test_wrong_rules_are_caught(wrong_values):
    cases = sample([*wrong_values, *state.stateful(SEED)], 250)
    missed = [f"{case.group}: {case.name}" for case in cases if not is_caught(run_checker("minigan", case, SEED))]
    assert not missed


@pytest.mark.slow
def test_single_wrong_entries_are_found_and_most_mistakes_named(wrong_values):
    cases = [case for case in wrong_values if case.entry or has_name(case)]
    results = [run_checker("minigan", case, SEED) for case in cases]
    assert all(result.entry == case.entry for case, result in zip(cases, results, strict=True) if case.entry)
    assert sum(map(is_named, cases, results)) >= 0.95 * len(cases)


@pytest.mark.slow
def test_right_rules_raise_no_alarm(right_cases):
    alarms = [
        f"{case.group}: {case.name}: {result.message}"
        for case in sample(right_cases, 500)
        if not (result := run_checker("minigan", case, SEED)).accepted
    ]
    assert not alarms, "\n".join(alarms)


def test_tables_count_the_results(wrong_values, right_cases):
    """An inconclusive result does not count as caught, but it counts as a false alarm."""
    rejected, none, inconclusive = (
        CheckResult(accepted, 10, 0.5, "", cause, inconclusive=inconclusive)
        for accepted, cause, inconclusive in ((False, "sign", False), (True, "", False), (False, "noise", True))
    )
    some = [case for case in wrong_values if case.causes == ("sign",)][:3]
    facts = tally(some, right_cases[:2], {"minigan": ([rejected, none, inconclusive], [none, inconclusive])})
    counted = facts["checkers"]["minigan"]
    assert (counted["caught"], counted["alarms"], counted["named"]) == (1, 1, 1)
    assert counted["caught_by_kind"] == {"sign": 1}
    assert counted["evaluations"] == {"median": 10, "total": 50}
    assert "| minigan | 1 | 1 |" in tables(facts)
