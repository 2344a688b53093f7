"""Random arrays at which derivatives are checked, away from the kinks of the operations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.core import random


class Sampler:
    """Draws arrays of `dtype`; the numbers depend on `seed` and `purpose` alone."""

    def __init__(self, seed: int, purpose: str, dtype: str = "float64") -> None:
        self.rng = random.generator(seed, f"catalog/{purpose}")  # the key stays "catalog": it determines the numbers
        self.dtype = dtype

    def array(self, *values: Any) -> np.ndarray:
        """These values, not random."""
        return np.array(values, self.dtype)

    def normal(self, *shape: int) -> np.ndarray:
        """Standard normal numbers."""
        return self.rng.standard_normal(shape).astype(self.dtype)

    def positive(self, *shape: int) -> np.ndarray:
        """Numbers from 0.4 to 1.6."""
        return self.rng.uniform(0.4, 1.6, shape).astype(self.dtype)

    def signed(self, *shape: int) -> np.ndarray:
        """Numbers of either sign, at least 0.4 away from zero."""
        return self.positive(*shape) * self.rng.choice([-1.0, 1.0], shape).astype(self.dtype)

    def pair_apart(self, *shape: int) -> tuple[np.ndarray, np.ndarray]:
        """Two arrays that differ by at least 0.4 in every element, with either sign."""
        a = self.signed(*shape)
        return a, a + self.signed(*shape)

    def distinct(self, *shape: int) -> np.ndarray:
        """Numbers that differ from each other by at least 0.2."""
        count = math.prod(shape)
        return (0.2 * (self.rng.permutation(count).reshape(shape) - count // 2)).astype(self.dtype)

    def for_dense(self, rows: int, depth: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x, w, b) for which every element of x @ w + b is far from 0; in about half of the columns it is negative."""
        signs = self._signs(columns)
        return self.positive(rows, depth), self.positive(depth, columns) * signs, self.positive(columns) * signs

    def for_conv(
        self, image_shape: tuple[int, ...], weight_shape: tuple[int, ...], *, transposed: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x, w, b) for which every output is far from 0, as in `for_dense`; w: (kh, kw, in, out), or `transposed`."""
        signs = self._signs(weight_shape[2 if transposed else 3])
        along = signs[:, None] if transposed else signs
        return self.positive(*image_shape), self.positive(*weight_shape) * along, self.positive(signs.size) * signs

    def for_norm(self, *shape: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x, gamma, beta): about half of each column of x lies above its mean, and no output is near the kink at 0."""
        rows, channels = math.prod(shape[:-1]), shape[-1]
        above = np.argsort(self.rng.random((rows, channels)), axis=0) % 2 * 2.0 - 1
        x = (self.rng.uniform(0.8, 1.2, (rows, channels)) * above).reshape(shape).astype(self.dtype)
        beta = (0.1 * self.rng.uniform(-1, 1, channels)).astype(self.dtype)
        return x, np.multiply(self.signed(channels), 1.5, dtype=self.dtype), beta

    def _signs(self, count: int) -> np.ndarray:
        return np.where(np.arange(count) % 2, 1.0, -1.0).astype(self.dtype)
