"""Latent vectors: what a generator makes its samples from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.errors import did_you_mean

Draw = Callable[[str, np.random.Generator, tuple[int, int], Any], np.ndarray]
LAWS = ("normal", "uniform", "square")
_PLANE = 2  # how many numbers lie on the square


def draw(law: str, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """Independent numbers of mean 0 and variance 1, (count, size).

    "normal"; "uniform" in [-sqrt 3, sqrt 3]; "square": the first two uniform like that, the others normal.
    """
    if law == "normal":
        return rng.standard_normal(shape, dtype=dtype)
    if law == "uniform":
        return _spread(rng.random(shape, dtype=dtype))
    return _with_normals(rng.random((shape[0], min(_PLANE, shape[1]))), rng, shape, dtype)


def draw_batch(law: str, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """The latent vectors of a batch in training: as `draw` makes them, unless the law is "square".

    Then they are stratified: on the square one lies in each cell of a grid, the finest that they fill, and those left
    over anywhere. Each is uniform by itself, and a mean over the batch, such as the share of the samples in a mode, has
    less noise (Owen, 2013, chapter 8).
    """
    if law != "square":
        return draw(law, rng, shape, dtype)
    count, size = shape[0], min(_PLANE, shape[1])
    shares = rng.random((count, size))
    side = math.floor(count ** (1 / size) + 1e-9)  # the root of 81 must not fall short of 9
    cells = np.stack(np.unravel_index(np.arange(side**size), (side,) * size), axis=1)
    shares[: len(cells)] = (cells + shares[: len(cells)]) / side
    return _with_normals(rng.permutation(shares), rng, shape, dtype)


def require_law(law: str) -> None:
    """Raise ValueError, naming the nearest, unless there is such a law."""
    if law not in LAWS:
        raise ValueError(f"there is no latent law '{law}'; {did_you_mean(law, LAWS)}")


def _with_normals(shares: np.ndarray, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """Latent vectors whose first numbers are uniform, by their shares from 0 to 1, and whose others are normal."""
    normals = rng.standard_normal((shape[0], shape[1] - shares.shape[1]))
    return np.concatenate([_spread(shares), normals], axis=1).astype(dtype)


def _spread(shares: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1 as numbers of mean 0 and variance 1."""
    return (shares * 2 - 1) * shares.dtype.type(math.sqrt(3))
