"""Directions made from others, along which different mistakes show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.checking.problem import Arrays

_FAINT = 1e-6  # the smallest share of its length by which a balanced direction moves a number, or an array


def balanced(direction: np.ndarray, gradients: Arrays, starts: list[int]) -> np.ndarray:
    """The same, but numbers of an array that have more effect on the sum than most move less, and so do arrays.

    What is small beside the rest would be lost in its rounding.
    """
    parts = [
        part * _shares(np.abs(part * g.reshape(-1)), np.median)
        for part, g in zip(np.split(direction, starts[1:-1]), gradients, strict=True)
    ]
    effects = [float(np.linalg.norm(part * g.reshape(-1))) for part, g in zip(parts, gradients, strict=True)]
    shares = _shares(np.array(effects), np.min)
    return np.concatenate([share * part for share, part in zip(shares, parts, strict=True)])


def _shares(effects: np.ndarray, usual: Callable[[np.ndarray], Any]) -> np.ndarray:
    """By what each effect is to be multiplied so that none is above the usual one of those that are not 0."""
    present = effects > 0
    if not present.any():
        return np.ones_like(effects)
    return np.where(present, np.clip(usual(effects[present]) / np.where(present, effects, 1.0), _FAINT, 1.0), 1.0)


def one_sided(direction: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Every number moves up, or some of them: what is outside of its kink on one side cannot hide behind others."""
    some = rng.random(direction.size) < 0.5
    up = np.abs(direction)
    return [part for part in (up, up * some, up * ~some) if part.any()]
