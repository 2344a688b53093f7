"""Latent vectors: what a generator makes its samples from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.errors import did_you_mean

LAWS = ("normal", "uniform")


def draw(law: str, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """Independent numbers of mean 0 and variance 1: "normal", or "uniform" in [-sqrt 3, sqrt 3]."""
    if law == "normal":
        return rng.standard_normal(shape, dtype=dtype)
    return (rng.random(shape, dtype=dtype) * 2 - 1) * np.dtype(dtype).type(math.sqrt(3))


def require_law(law: str) -> None:
    """Raise ValueError, naming the nearest, unless there is such a law."""
    if law not in LAWS:
        raise ValueError(f"there is no latent law '{law}'; {did_you_mean(law, LAWS)}")
