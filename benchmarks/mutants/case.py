"""What a checker is given: a function, its claimed derivative, a point."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mutants.rule import Arrays, Rule, Static

Pair = tuple[Callable[..., np.ndarray], Callable[..., Arrays]]


@dataclass(frozen=True)
class Case:
    """A pair (f, vjp) from `build`, new at every call since it may keep something, and the point to check it at.

    group: the kind of mistake, or of right case. causes: names for the mistake, any of which is right; empty if there
    is no mistake. entry: (name, index) where one entry alone is wrong.
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


def of_rule(group: str, what: str, rule: Rule, point: Arrays, static: Static, vjp=None, **about) -> Case:
    """The rule at a point, with another `vjp` if one is given."""
    pair = functools.partial(rule.f, **static), functools.partial(vjp or rule.vjp, **static)
    return Case(group, f"{rule.name}: {what}", tuple(rule.names.split()), point, lambda: pair, **about)


def cotangent(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """For a result y: positive and negative numbers, not near 0."""
    signs = rng.choice([-1.0, 1.0], y.shape)
    return np.asarray(signs * rng.uniform(0.5, 1.5, y.shape), y.dtype)


def difference(some: Arrays, others: Arrays) -> float:
    """The largest |some - other| of an array over the size of `other`; inf for other shapes."""
    if [np.shape(g) for g in some] != [np.shape(h) for h in others]:
        return np.inf
    return max(
        float(np.abs(g - h).max() / (np.abs(h).max() or 1.0)) if np.any(g != h) else 0.0
        for g, h in zip(some, others, strict=True)
    )
