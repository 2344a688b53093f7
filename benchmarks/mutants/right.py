"""The right rules at more than a thousand points, some of them difficult for a checker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mutants.case import Case, case_of_rule
from mutants.rule import Arrays, Rule, Static
from mutants.rules import BY_NAME, RULES, generator

_MOST = 12
_LARGE = 60
_FLOAT32_SCALES = (-2, 2)
_NOT_INTEGER = ("inverse", "log determinant")
_DISTANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
_MAX_JACOBIAN = 1500**2  # entries, since some checkers compute the whole Jacobian
_MAX_ENTRIES = 4096  # of all arrays of a case

Drawn = tuple[Arrays, Static]


def right(seed: int) -> list[Case]:
    """About 1,550 cases; the name of a group says what is difficult about its cases."""
    return [
        *_each("smooth", seed, 8, RULES, _evenly_scaled),
        *_each("badly scaled", seed, 4, [r for r in RULES if len(r.names.split()) > 1], _badly_scaled),
        *_each("far from zero", seed, 7, [r for r in RULES if r.shifts], _shifted),
        *_each("integers", seed, 1, [r for r in RULES if r.name not in _NOT_INTEGER], _integers),
        *_each("large arrays", seed, 1, RULES, _large, most=_LARGE),
        *_kinks("at a kink", seed, 12, (0.0,)),
        *_kinks("near a kink", seed, 2, _DISTANCES),
        *_each("huge and tiny values", seed, 1, RULES, lambda rng, rule, drawn: drawn, _multiplied),
        *_each("zero derivatives", seed, 3, [BY_NAME[name] for name in _FLAT], _flat),
        *_each("float32", seed, 2, RULES, _single),
        *_kinks("float32 at a kink", seed, 3, (0.0, 1e-3, 1e-5), single=True),
    ]


Change = Callable[[np.random.Generator, Rule, Drawn], Drawn]


def _each(
    group: str,
    seed: int,
    count: int,
    rules: list[Rule],
    change: Change,
    wrap: Callable[[Case, np.random.Generator], Case] | None = None,
    most: int = _MOST,
) -> Iterator[Case]:
    for rule in rules:
        for number in range(count):
            rng = generator(seed, "right", group, rule.name, str(number))
            arrays, static = change(rng, rule, _drawn(rng, rule, most))
            case = case_of_rule(group, f"number {number}", rule, arrays, static)
            yield wrap(case, rng) if wrap else case


def _drawn(rng: np.random.Generator, rule: Rule, most: int) -> Drawn:
    """Arrays that are small enough for a checker that computes the whole Jacobian."""
    while True:
        arrays, static = rule.draw(rng, most)
        size = sum(x.size for x in arrays)
        if size <= _MAX_ENTRIES and size * np.size(rule.f(*arrays, **static)) <= _MAX_JACOBIAN:
            return arrays, static
        most -= 1


def _power_of_ten(rng: np.random.Generator, scales: tuple[float, float]) -> float:
    return float(10 ** rng.uniform(*scales))


def _evenly_scaled(rng: np.random.Generator, rule: Rule, drawn: Drawn) -> Drawn:
    scale = _power_of_ten(rng, rule.scales)
    return tuple(scale * x for x in drawn[0]), drawn[1]


def _badly_scaled(rng: np.random.Generator, rule: Rule, drawn: Drawn) -> Drawn:
    return tuple(_power_of_ten(rng, rule.scales) * x for x in drawn[0]), drawn[1]


def _shifted(rng: np.random.Generator, rule: Rule, drawn: Drawn) -> Drawn:
    """Arrays moved up to 10,000 standard deviations away from zero."""
    far = rng.choice([-1.0, 1.0]) * 10 ** rng.uniform(1, 4)
    return tuple(x + far if i in rule.shifts else x for i, x in enumerate(drawn[0])), drawn[1]


def _integers(rng: np.random.Generator, rule: Rule, drawn: Drawn) -> Drawn:
    """Arrays of integers; without zeros for rules that divide by them or take roots."""
    if rule.kink:
        return tuple(np.rint(2 * x) + 0.0 for x in drawn[0]), drawn[1]
    return tuple(np.sign(x) * (1 + np.rint(2 * np.abs(x))) for x in drawn[0]), drawn[1]


def _large(rng: np.random.Generator, rule: Rule, drawn: Drawn) -> Drawn:
    return drawn


def _multiplied(case: Case, rng: np.random.Generator) -> Case:
    """The case with f multiplied by a number from 1e-150 to 1e150."""
    f, vjp = case.build()
    factor = float(10 ** rng.uniform(-150, 150))
    pair = (lambda *x: factor * f(*x)), (lambda *x: tuple(factor * g for g in vjp(*x)))
    return Case(case.group, f"{case.name}, times {factor:.0e}", case.names, case.point, lambda: pair)


_FLAT = ("constant", "relu", "clip", "hinge, discriminator", "penalty of a linear critic", "tanh", "softmax",
         "sigmoid", "elu", "subtract")  # fmt: skip


def _flat(rng: np.random.Generator, rule: Rule, drawn: Drawn) -> Drawn:
    """Points at which all or nearly all derivatives are zero: where a gate is closed, or a function saturates."""
    far = 30 * (1 + rng.random())
    places = {
        "relu": lambda x: -np.abs(x) - 0.1, "clip": lambda x: x + far, "tanh": lambda x: np.sign(x) * far,
        "sigmoid": lambda x: x - far, "elu": lambda x: x - far, "hinge, discriminator": lambda x: x,
        "softmax": lambda x: x + far * (np.arange(x.shape[1]) == 1),
    }  # fmt: skip
    if rule.name == "hinge, discriminator":
        return (1.5 + np.abs(drawn[0][0]), -1.5 - np.abs(drawn[0][1])), drawn[1]
    return tuple(places.get(rule.name, lambda x: x)(x) for x in drawn[0]), drawn[1]


def _single(rng: np.random.Generator, rule: Rule, drawn: Drawn) -> Drawn:
    low, high = (max(rule.scales[0], _FLOAT32_SCALES[0]), min(rule.scales[1], _FLOAT32_SCALES[1]))
    scale = _power_of_ten(rng, (low, high))
    return tuple((scale * x).astype(np.float32) for x in drawn[0]), drawn[1]


def _kinks(group: str, seed: int, count: int, distances: tuple[float, ...], *, single: bool = False) -> Iterator[Case]:
    for rule in RULES:
        for number in range(count * len(distances) if rule.kink else 0):
            rng = generator(seed, "right", group, rule.name, str(number))
            distance = distances[number % len(distances)]
            arrays, static = _drawn(rng, rule, _MOST)
            arrays = rule.kink(rng, arrays, static, distance)
            point = tuple(x.astype(np.float32) for x in arrays) if single else arrays
            yield case_of_rule(group, f"number {number}, at distance {distance:g}", rule, point, static)
