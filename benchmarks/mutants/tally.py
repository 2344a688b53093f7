"""Counts of the checkers' results, and tables of the counts."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from mutants.case import Case
from mutants.checkers import CheckResult
from mutants.rule import UNNAMED

Facts = dict[str, Any]


def tally(
    mutants: list[Case], right: list[Case], results: dict[str, tuple[list[CheckResult], list[CheckResult]]]
) -> Facts:
    """All numbers of the tables, for each checker by name; for all right cases and for those in float64."""
    return {
        "mutants": len(mutants),
        "right": len(right),
        "right_float64": sum(case.dtype == "float64" for case in right),
        "checkers": {name: _of_one(mutants, right, *both) for name, both in results.items()},
        "kinds": {kind: _group(mutants, kind) for kind in _groups(mutants)},
        "groups": {group: _group(right, group) for group in _groups(right)},
    }


def _groups(cases: list[Case]) -> list[str]:
    return list(dict.fromkeys(case.group for case in cases))


def _group(cases: list[Case], group: str) -> int:
    return sum(case.group == group for case in cases)


def _of_one(mutants: list[Case], right: list[Case], found: list[CheckResult], passed: list[CheckResult]) -> Facts:
    caught = [is_caught(result) for result in found]
    alarms = [not result.accepted for result in passed]
    double = [case.dtype == "float64" for case in right]
    return {
        "caught": sum(caught),
        "caught_by_kind": {kind: _count(mutants, caught, kind) for kind in _groups(mutants)},
        "alarms": sum(alarms),
        "alarms_float64": sum(alarm and wide for alarm, wide in zip(alarms, double, strict=True)),
        "alarms_by_group": {group: _count(right, alarms, group) for group in _groups(right)},
        "evaluations": _summary(result.evaluations for result in (*found, *passed)),
        "evaluations_right": _summary(result.evaluations for result in passed),
        "seconds": _summary(result.seconds for result in (*found, *passed)),
        **_names(mutants, found),
    }


def is_caught(result: CheckResult) -> bool:
    """Whether the checker rejected the derivative; an inconclusive result does not count."""
    return not result.accepted and not result.inconclusive


def _count(cases: list[Case], flags: list[bool], group: str) -> int:
    return sum(flag for case, flag in zip(cases, flags, strict=True) if case.group == group)


def _summary(values: Iterable[float]) -> Facts:
    numbers = list(values) or [0]
    return {"median": statistics.median(numbers), "total": sum(numbers)}


def is_named(case: Case, result: CheckResult) -> bool:
    kind = "factor" if result.cause.startswith("factor ") else result.cause  # "factor 60" is also a factor
    return is_caught(result) and (result.cause in case.causes or kind in case.causes)


def has_name(case: Case) -> bool:
    """Whether the mistake has a name."""
    return UNNAMED not in case.causes


def _names(mutants: list[Case], found: list[CheckResult]) -> Facts:
    pairs = list(zip(mutants, found, strict=True))
    single = [(case, result) for case, result in pairs if case.entry]
    return {
        "nameable": sum(has_name(case) for case, _ in pairs),
        "named": sum(has_name(case) and is_named(case, result) for case, result in pairs),
        "nameless": sum(not has_name(case) for case, _ in pairs),
        "named_wrongly": sum(not has_name(case) and is_caught(a) and not is_named(case, a) for case, a in pairs),
        "single_entries": len(single),
        "entries_found": sum(result.entry == case.entry for case, result in single),
    }


def tables(facts: Facts) -> str:
    """The tables in Markdown: totals, mistakes by kind, right cases by group."""
    parts = [_overview(facts), _by_kind(facts), _by_group(facts)]
    if "minigan" in facts["checkers"]:
        parts.insert(1, _about_names(facts["checkers"]["minigan"]))
    return "\n\n".join(parts)


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _overview(facts: Facts) -> str:
    right, double = facts["right"], facts["right_float64"]
    head = ["checker", f"caught, of {facts['mutants']} mistakes", f"false alarms, of {right} right",
            f"in float64 alone, of {double}", "calls of f, median", "in all", "ms, median", "s, in all"]  # fmt: skip
    rows = [
        [name, one["caught"], one["alarms"], one["alarms_float64"], f"{one['evaluations']['median']:g}",
         f"{one['evaluations']['total']:,}", f"{1e3 * one['seconds']['median']:.1f}", f"{one['seconds']['total']:.0f}"]
        for name, one in facts["checkers"].items()
    ]  # fmt: skip
    return _table(head, rows)


def _about_names(one: Facts) -> str:
    return (
        f"minigan named {one['named']} of {one['nameable']} mistakes that have a name, "
        f"gave a name to {one['named_wrongly']} of {one['nameless']} that have none, "
        f"and found {one['entries_found']} of {one['single_entries']} single wrong entries."
    )


def _by_kind(facts: Facts) -> str:
    names = list(facts["checkers"])
    rows = [[kind, count, *(facts["checkers"][name]["caught_by_kind"][kind] for name in names)]
            for kind, count in facts["kinds"].items()]  # fmt: skip
    return _table(["mistake", "tried", *(f"{name} caught" for name in names)], rows)


def _by_group(facts: Facts) -> str:
    names = list(facts["checkers"])
    rows = [[group, count, *(facts["checkers"][name]["alarms_by_group"][group] for name in names)]
            for group, count in facts["groups"].items()]  # fmt: skip
    return _table(["right cases", "tried", *(f"{name} alarms" for name in names)], rows)
