"""What a backward rule is here, and a mistake in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
Static = dict[str, Any]
Draw = Callable[[np.random.Generator, int], tuple[Arrays, Static]]
Kink = Callable[[np.random.Generator, Arrays, Static, float], Arrays]

UNNAMED = ""  # as a cause: no name fits, and the checker should say that it knows none


@dataclass(frozen=True)
class Mistake:
    """A wrong `vjp`: its kind, what is wrong, and the causes a checker may name, any of which is right."""

    kind: str
    what: str
    vjp: Callable[..., Arrays]
    causes: tuple[str, ...]


def wrong(kind: str, what: str, vjp: Callable[..., Arrays], *causes: str) -> Mistake:
    return Mistake(kind, what, vjp, causes)


@dataclass(frozen=True)
class Rule:
    """`f(*arrays, **static)` and its right `vjp(*arrays, u, **static)`, a tuple of one array for each of `arrays`.

    draw: arrays of about standard normal numbers, and what is static, from a generator and the largest extent.
    scales: the powers of ten, from and to, by which each array may be multiplied. shifts: which arrays may be moved far
    from zero, where f is ill-conditioned and still right. kink: moves arrays to the given distance from a kink.
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
    """A size, small ones as likely as large ones."""
    return round(float(np.exp(rng.uniform(np.log(least), np.log(max(least, most))))))


def some_shape(rng: np.random.Generator, most: int, least: int = 1) -> tuple[int, ...]:
    """Of one to three axes."""
    return tuple(extent(rng, most, least) for _ in range(int(rng.integers(1, 4))))


def summed_to(u: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The sum over the axes along which an array of `shape` was broadcast."""
    u = u.sum(tuple(range(u.ndim - len(shape))))
    return u.sum(tuple(axis for axis, n in enumerate(shape) if n == 1 and u.shape[axis] != 1), keepdims=True)
