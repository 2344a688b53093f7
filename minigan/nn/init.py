"""Initial weights: an initializer is a function `(rng, shape)` that returns a NumPy array of float64.

The fan in and fan out of a weight of shape (..., in, out) are `in` and `out` times the product of the extents before
them, the receptive field.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Initializer = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan in, fan out) of a weight of `shape` (..., in, out)."""
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform in +-sqrt(6 / (fan in + fan out)): Glorot and Bengio, 2010, equation 16."""
    limit = math.sqrt(6 / sum(fans(shape)))
    return rng.uniform(-limit, limit, shape)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """N(0, 2 / fan in): He et al., 2015, equation 10."""
    return rng.normal(0.0, math.sqrt(2 / fans(shape)[0]), shape)


def normal(std: float) -> Initializer:
    """The initializer that draws from N(0, std^2)."""
    return lambda rng, shape: rng.normal(0.0, std, shape)


def dcgan_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """N(0, 0.02^2): Radford et al., 2016, section 4."""
    return rng.normal(0.0, 0.02, shape)
