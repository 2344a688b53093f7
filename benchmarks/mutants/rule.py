"""A backward rule: a function with its vector-Jacobian product; and a mistake in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
Static = dict[str, Any]
Draw = Callable[[np.random.Generator, int], tuple[Arrays, Static]]
Kink = Callable[[np.random.Generator, Arrays, Static, float], Arrays]

UNNAMED = ""  # as a cause: the mistake has no name, and the checker should report none


@dataclass(frozen=True)
class Mistake:
    """A wrong `vjp`: the kind of mistake, what is wrong, and the names of causes that count as right."""

    kind: str
    what: str
    vjp: Callable[..., Arrays]
    causes: tuple[str, ...]


def wrong(kind: str, what: str, vjp: Callable[..., Arrays], *causes: str) -> Mistake:
    return Mistake(kind, what, vjp, causes)


@dataclass(frozen=True)
class Rule:
    """`f(*arrays, **static)` and its right `vjp(*arrays, u, **static)`, a tuple of one array for each of `arrays`.

    names: of the arrays, separated by blanks. draw: returns arrays of about standard normal numbers and the static
    arguments, from a generator and the largest extent. wrong: the rule's own mistakes. scales: the range of powers of
    ten by which each array may be multiplied. shifts: the arrays that may be moved far from zero, where f is
    ill-conditioned and still right. kink: moves the arrays to the given distance from a kink.
    """

    name: str
    names: str
    f: Callable[..., np.ndarray]
    vjp: Callable[..., Arrays]
    draw: Draw
    wrong: tuple[Mistake, ...] = ()
    scales: tuple[float, float] = (-3, 3)
    shifts: tuple[int, ...] = ()
    kink: Kink | None = None
    bound: Static = field(default_factory=dict)


def extent(rng: np.random.Generator, most: int, least: int = 1) -> int:
    """A random extent from `least` to `most`, uniform on a logarithmic scale."""
    return round(float(np.exp(rng.uniform(np.log(least), np.log(max(least, most))))))


def some_shape(rng: np.random.Generator, most: int, least: int = 1) -> tuple[int, ...]:
    """A random shape of one to three axes."""
    return tuple(extent(rng, most, least) for _ in range(int(rng.integers(1, 4))))


def sum_to_shape(u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum of `u` over the axes along which an array of `shape` was broadcast."""
    u = u.sum(tuple(range(u.ndim - len(shape))))
    return u.sum(tuple(axis for axis, n in enumerate(shape) if n == 1 and u.shape[axis] != 1), keepdims=True)
