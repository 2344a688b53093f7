"""Latent vectors: the random inputs of a generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.core.errors import did_you_mean

DrawFunction = Callable[[str, np.random.Generator, tuple[int, int], Any], np.ndarray]
"""A function (distribution, rng, shape, dtype) that draws latent vectors: `draw` or `draw_batch`."""
DISTRIBUTIONS = ("normal", "uniform", "logistic")
LOGISTIC_SCALE = math.sqrt(3) / math.pi
"""Scale of the logistic distribution of variance 1; its distribution function is (1 + tanh(z / (2 scale))) / 2."""

_STRATIFIED = 2  # coordinates of a latent vector that `draw_batch` stratifies


def draw(distribution: str, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """Independent numbers of mean 0 and variance 1, (count, size): normal, uniform within +-sqrt(3), or logistic."""
    if distribution == "normal":
        return rng.standard_normal(shape, dtype=dtype)
    if distribution == "uniform":
        uniform = rng.random(shape, dtype=dtype)
        return (uniform * 2 - 1) * uniform.dtype.type(math.sqrt(3))
    return _logistic_quantiles(rng.random(shape)).astype(dtype)


def draw_batch(distribution: str, rng: np.random.Generator, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """The latent vectors of a training batch: drawn by `draw`, unless the distribution is "logistic".

    Of a "logistic" batch the first two coordinates are stratified (Owen, 2013, chapter 8): quantiles cut the plane into
    a grid of equally likely cells, with as many cells as the batch can fill. Each cell gets one vector, and the
    remaining vectors are independent of the cells. Every coordinate by itself is logistic, and a mean over the batch,
    such as the fraction of samples in a mode, has less variance.
    """
    if distribution != "logistic":
        return draw(distribution, rng, shape, dtype)
    count, size = shape[0], min(_STRATIFIED, shape[1])
    uniform = rng.random(shape)
    side = math.floor(count ** (1 / size) + 1e-9)  # the root of 81 must not fall short of 9
    cells = np.stack(np.unravel_index(np.arange(side**size), (side,) * size), axis=1)
    uniform[: len(cells), :size] = (cells + uniform[: len(cells), :size]) / side
    return _logistic_quantiles(rng.permutation(uniform)).astype(dtype)


def require_distribution(name: str) -> None:
    """Raise ValueError, naming the nearest, unless there is a distribution called `name`."""
    if name not in DISTRIBUTIONS:
        raise ValueError(f"there is no latent distribution '{name}'; {did_you_mean(name, DISTRIBUTIONS)}")


def _logistic_quantiles(p: np.ndarray) -> np.ndarray:
    """Quantiles of the logistic distribution of variance 1 at probabilities p in [0, 1), where 0 counts as 1e-16."""
    return LOGISTIC_SCALE * (np.log(np.maximum(p, 1e-16)) - np.log1p(-p))
