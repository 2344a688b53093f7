"""All right rules, and each of them with each of its own mistakes."""

from __future__ import annotations

import itertools
import zlib

import numpy as np

from mutants import convolutions, elementwise, gan, linear, norms, reductions
from mutants.case import Case, case_of_rule, cotangent, difference
from mutants.rule import Arrays, Mistake, Rule, Static

RULES: list[Rule] = [
    *elementwise.RULES,
    *linear.RULES,
    *reductions.RULES,
    *norms.RULES,
    *convolutions.RULES,
    *gan.RULES,
]
BY_NAME = {rule.name: rule for rule in RULES}

_MAX_EXTENT = 6  # of the arrays of a case
_MIN_DIFFERENCE = 1e-2  # of a wrong rule from the right one at the point of the case
_MAX_TRIES = 200  # points to draw for a case
_CANDIDATES = 5  # points from which to take the largest


def generator(seed: int, *words: str) -> np.random.Generator:
    """A generator that depends on the seed and the words only, so that a case is the same in any selection of cases."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])


def specific(seed: int) -> list[Case]:
    """Each rule with each of its own mistakes, at a point where it makes a difference."""
    return [_with_mistake(seed, rule, number) for rule in RULES for number in range(len(rule.wrong))]


def _with_mistake(seed: int, rule: Rule, number: int) -> Case:
    """The case at the largest of some points, because in arrays of one or two entries many mistakes look the same."""
    mistake = rule.wrong[number]
    rng = generator(seed, rule.name, mistake.what)
    drawn = (rule.draw(rng, _MAX_EXTENT) for _ in range(_MAX_TRIES))
    points = list(itertools.islice((point for point in drawn if _differs(rule, mistake, *point, rng)), _CANDIDATES))
    if not points:
        raise AssertionError(f"{rule.name}, {mistake.what}: equal to the right rule at every point tried")
    point, static = max(points, key=lambda drawn: sum(x.size for x in drawn[0]))
    return case_of_rule(mistake.kind, mistake.what, rule, point, static, mistake.vjp, causes=mistake.causes)


def _differs(rule: Rule, mistake: Mistake, point: Arrays, static: Static, rng: np.random.Generator) -> bool:
    u = cotangent(rng, np.asarray(rule.f(*point, **static)))
    return difference(mistake.vjp(*point, u, **static), rule.vjp(*point, u, **static)) >= _MIN_DIFFERENCE
