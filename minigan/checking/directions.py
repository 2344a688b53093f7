"""Directions made from a random one, along which other mistakes show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.checking import tuning
from minigan.checking.problem import Arrays


def balanced(direction: np.ndarray, gradients: Arrays, offsets: list[int]) -> np.ndarray:
    """The direction with shorter moves of the entries, and the arrays, that change the output more than most.

    Otherwise the effect of the others would be lost in the rounding of theirs.
    """
    parts = [
        part * _factors(np.abs(part * g.reshape(-1)), np.median)
        for part, g in zip(np.split(direction, offsets[1:-1]), gradients, strict=True)
    ]
    effects = [float(np.linalg.norm(part * g.reshape(-1))) for part, g in zip(parts, gradients, strict=True)]
    factors = _factors(np.array(effects), np.min)
    return np.concatenate([factor * part for factor, part in zip(factors, parts, strict=True)])


def _factors(effects: np.ndarray, typical: Callable[[np.ndarray], Any]) -> np.ndarray:
    """The factor for each effect that reduces it to the typical one of the effects that are not 0, if it is larger."""
    present = effects > 0
    if not present.any():
        return np.ones_like(effects)
    factors = np.clip(typical(effects[present]) / np.where(present, effects, 1.0), tuning.MIN_BALANCE, 1.0)
    return np.where(present, factors, 1.0)


def one_sided(direction: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Directions in which all entries increase, or a random half of them, or the other half.

    With entries of both signs, an entry that is wrong on one side of its kink could be hidden by the others.
    """
    some = rng.random(direction.size) < 0.5
    up = np.abs(direction)
    return [part for part in (up, up * some, up * ~some) if part.any()]
