"""Latent vectors: what a generator makes its samples from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.core.errors import did_you_mean

DrawFunction = Callable[[str, np.random.Generator, tuple[int, int], Any], np.ndarray]
DISTRIBUTIONS = ("normal", "uniform", "logistic")
LOGISTIC_SCALE = math.sqrt(3) / math.pi
"""That of the logistic law of variance 1, whose distribution function is F(z) = (1 + tanh(z / (2 scale))) / 2."""

_STRATIFIED = 2  # how many numbers of a latent vector


def draw(law: str, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """Independent numbers of mean 0 and variance 1, (count, size): normal, uniform within sqrt 3, or logistic."""
    if law == "normal":
        return rng.standard_normal(shape, dtype=dtype)
    if law == "uniform":
        shares = rng.random(shape, dtype=dtype)
        return (shares * 2 - 1) * shares.dtype.type(math.sqrt(3))
    return _logistic(rng.random(shape)).astype(dtype)


def draw_batch(law: str, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """The latent vectors of a batch in training: as `draw` makes them, unless the law is "logistic".

    Then their first two numbers are stratified: of the plane, cut by quantiles into a grid of equally likely cells, the
    finest that they fill, one lies in each cell, and those left over anywhere. Each is logistic by itself, and a mean
    over the batch, such as the share of the samples in a mode, has less noise (Owen, 2013, chapter 8).
    """
    if law != "logistic":
        return draw(law, rng, shape, dtype)
    count, size = shape[0], min(_STRATIFIED, shape[1])
    shares = rng.random(shape)
    side = math.floor(count ** (1 / size) + 1e-9)  # the root of 81 must not fall short of 9
    cells = np.stack(np.unravel_index(np.arange(side**size), (side,) * size), axis=1)
    shares[: len(cells), :size] = (cells + shares[: len(cells), :size]) / side
    return _logistic(rng.permutation(shares)).astype(dtype)


def require_distribution(law: str) -> None:
    """Raise ValueError, naming the nearest, unless there is such a law."""
    if law not in DISTRIBUTIONS:
        raise ValueError(f"there is no latent distribution '{law}'; {did_you_mean(law, DISTRIBUTIONS)}")


def _logistic(shares: np.ndarray) -> np.ndarray:
    """The quantiles of the logistic law of variance 1 at shares from 0 to 1, of which 0 itself is taken for 1e-16."""
    return LOGISTIC_SCALE * (np.log(np.maximum(shares, 1e-16)) - np.log1p(-shares))
