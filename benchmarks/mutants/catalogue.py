"""All right rules, and the wrong ones made of them."""

from __future__ import annotations

import itertools
import zlib

import numpy as np

from mutants import convolutions, elementwise, gan, linear, norms, reductions
from mutants.case import Case, cotangent, difference, of_rule
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

_MOST = 6  # the largest extent of a mutant's arrays
_SHOWS = 1e-2  # by how much, at least, a rule that is wrong has to differ from the right one at its point
_TRIES = 200
_CHOICE = 5


def generator(seed: int, *words: str) -> np.random.Generator:
    """Depends on the words alone, so that what is chosen does not change what it is given."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])


def specific(seed: int) -> list[Case]:
    """Each rule with each of its own mistakes, at a point where it shows."""
    return [_with_mistake(seed, rule, number) for rule in RULES for number in range(len(rule.wrong))]


def _with_mistake(seed: int, rule: Rule, number: int) -> Case:
    """At the largest of some points: in one or two numbers, many mistakes are the same."""
    mistake = rule.wrong[number]
    rng = generator(seed, rule.name, mistake.what)
    drawn = (rule.draw(rng, _MOST) for _ in range(_TRIES))
    points = list(itertools.islice((point for point in drawn if _shows(rule, mistake, *point, rng)), _CHOICE))
    if not points:
        raise AssertionError(f"{rule.name}, {mistake.what}: the same as the right rule wherever it was tried")
    point, static = max(points, key=lambda drawn: sum(x.size for x in drawn[0]))
    return of_rule(mistake.kind, mistake.what, rule, point, static, mistake.vjp, causes=mistake.causes)


def _shows(rule: Rule, mistake: Mistake, point: Arrays, static: Static, rng: np.random.Generator) -> bool:
    u = cotangent(rng, np.asarray(rule.f(*point, **static)))
    return difference(mistake.vjp(*point, u, **static), rule.vjp(*point, u, **static)) >= _SHOWS
