"""Numbers at which derivatives are checked: random, and away from the kinks of what they are meant for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.core import random


class Sampler:
    """Arrays of `dtype` that depend on `seed` and `purpose` alone."""

    def __init__(self, seed: int, purpose: str, dtype: str = "float64") -> None:
        self.rng = random.generator(seed, f"catalog/{purpose}")
        self.dtype = dtype

    def array(self, *values: Any) -> np.ndarray:
        """These numbers."""
        return np.array(values, self.dtype)

    def normal(self, *extents: int) -> np.ndarray:
        """Standard normal numbers."""
        return self.rng.standard_normal(extents).astype(self.dtype)

    def positive(self, *extents: int) -> np.ndarray:
        """Numbers from 0.4 to 1.6."""
        return self.rng.uniform(0.4, 1.6, extents).astype(self.dtype)

    def signed(self, *extents: int) -> np.ndarray:
        """Numbers of either sign, at least 0.4 away from zero."""
        return self.positive(*extents) * self.rng.choice([-1.0, 1.0], extents).astype(self.dtype)

    def apart(self, *extents: int) -> tuple[np.ndarray, np.ndarray]:
        """Two arrays that differ by at least 0.4 everywhere, in either order."""
        a = self.signed(*extents)
        return a, a + self.signed(*extents)

    def distinct(self, *extents: int) -> np.ndarray:
        """No two numbers are closer than 0.2."""
        count = math.prod(extents)
        return (0.2 * (self.rng.permutation(count).reshape(extents) - count // 2)).astype(self.dtype)

    def for_dense(self, rows: int, depth: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x, w, b): every sum x @ w + b lies far from 0; about half of the columns are negative."""
        sides = self._sides(columns)
        return self.positive(rows, depth), self.positive(depth, columns) * sides, self.positive(columns) * sides

    def for_conv(
        self, picture: tuple[int, ...], weight: tuple[int, ...], *, transposed: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x, w, b): every sum lies far from 0, as in `for_dense`; w is (kh, kw, in, out), or `transposed`."""
        sides = self._sides(weight[2 if transposed else 3])
        along = sides[:, None] if transposed else sides
        return self.positive(*picture), self.positive(*weight) * along, self.positive(sides.size) * sides

    def for_norm(self, *extents: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x, gamma, beta): in each column about half of the rows lie above the mean, and none near the kink."""
        rows, channels = math.prod(extents[:-1]), extents[-1]
        above = np.argsort(self.rng.random((rows, channels)), axis=0) % 2 * 2.0 - 1
        x = (self.rng.uniform(0.8, 1.2, (rows, channels)) * above).reshape(extents).astype(self.dtype)
        beta = (0.1 * self.rng.uniform(-1, 1, channels)).astype(self.dtype)
        return x, np.multiply(self.signed(channels), 1.5, dtype=self.dtype), beta

    def _sides(self, count: int) -> np.ndarray:
        return np.where(np.arange(count) % 2, 1.0, -1.0).astype(self.dtype)
