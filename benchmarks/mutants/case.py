"""A case for the gradient checkers: a function, its analytic derivative, and a point."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mutants.rule import Arrays, Rule, Static

Pair = tuple[Callable[..., np.ndarray], Callable[..., Arrays]]


@dataclass(frozen=True)
class Case:
    """A pair (f, vjp) and the point at which to check it.

    group: the kind of mistake, or of right case. names: of the inputs. build: returns the pair, a new one at every
    call, because it may keep a state. causes: the names of the mistake that count as right; empty if there is no
    mistake. entry: (name, index) if a single entry is wrong.
    """

    group: str
    name: str
    names: tuple[str, ...]
    point: Arrays
    build: Callable[[], Pair]
    causes: tuple[str, ...] = ()
    entry: tuple[str, tuple[int, ...]] | None = None

    @property
    def dtype(self) -> str:
        return str(np.result_type(*self.point))

    @property
    def size(self) -> int:
        return sum(x.size for x in self.point)


def case_of_rule(group: str, what: str, rule: Rule, point: Arrays, static: Static, vjp=None, **about) -> Case:
    """The case of a rule at a point, with another `vjp` if one is given."""
    pair = functools.partial(rule.f, **static), functools.partial(vjp or rule.vjp, **static)
    return Case(group, f"{rule.name}: {what}", tuple(rule.names.split()), point, lambda: pair, **about)


def cotangent(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """A random cotangent for y: positive and negative numbers, not near 0."""
    signs = rng.choice([-1.0, 1.0], y.shape)
    return np.asarray(signs * rng.uniform(0.5, 1.5, y.shape), y.dtype)


def difference(some: Arrays, others: Arrays) -> float:
    """The largest relative difference of an array in `some` from that in `others`; inf if the shapes differ."""
    if [np.shape(g) for g in some] != [np.shape(h) for h in others]:
        return np.inf
    return max(
        float(np.abs(g - h).max() / (np.abs(h).max() or 1.0)) if np.any(g != h) else 0.0
        for g, h in zip(some, others, strict=True)
    )
