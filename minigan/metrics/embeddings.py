"""Features of pictures, in which samples are compared: each embedding is a pure function with a name to be told."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError
from minigan.metrics.classifier import Classifier

COMPONENTS = 100
LEAST_SIDE = 8
"""The fewest pixels of a side for random convolutions."""

_NUMBERS_AT_ONCE = 1 << 20  # of pictures, to limit memory: about 1,300 digits
_FILTERS = (16, 32, 64)
_KERNEL, _STRIDE = 4, 2
_SLOPE = 0.2


class Embedding(Protocol):
    """Features (N, d), float64, of pictures (N, H, W, C) uint8."""

    @property
    def key(self) -> str:
        """A short name, for JSON."""

    def __call__(self, images: np.ndarray) -> np.ndarray: ...

    def __str__(self) -> str:
        """What the features are, for people to read."""


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """The coordinates of pictures along the first principal components of real ones.

    mean (pixels,), axes (pixels, components): of pictures whose pixels lie in [0, 1]. These features show how pixels
    vary together, and nothing that lies outside of the components, such as fine noise.
    """

    mean: np.ndarray
    axes: np.ndarray
    key: str = "pca"

    @classmethod
    def of(cls, images: np.ndarray, count: int = COMPONENTS) -> PrincipalComponents:
        """The first `count` components, or as many as there are, of two or more images (N, H, W, C) uint8."""
        if len(images) < 2:
            raise UsageError(f"there are {len(images)} pictures, expected two or more for principal components.")
        pixels = _pixels(images)
        mean = pixels.mean(axis=0)
        count = min(count, len(images) - 1, pixels.shape[1])
        return cls(mean, _leading_axes(pixels - mean, count))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return _in_parts(lambda part: (_pixels(part) - self.mean) @ self.axes, images)

    def __str__(self) -> str:
        return f"{self.axes.shape[1]} principal components of the real pictures' pixels"


@dataclass(frozen=True, eq=False)
class RandomConvolutions:
    """Three layers of random convolutions, 4 x 4 with stride 2 and leaky ReLU, and means over the four quarters.

    The weights are drawn once for all (He et al., 2015; seed 0), so that the features are the same everywhere. Such
    untrained features see edges and texture at several sizes, and where they are (compare Naeem et al., 2020, section
    5.2).

    shape: (H, W, C) of the pictures. Raises UsageError for fewer than 8 pixels of a side.
    """

    shape: tuple[int, int, int]
    key: str = "random"

    def __post_init__(self) -> None:
        if min(self.shape[:2]) < LEAST_SIDE:
            raise UsageError(
                f"the pictures have {self.shape[0]} x {self.shape[1]} pixels, expected at least {LEAST_SIDE} a side "
                "for random convolutions; compare their principal components: --features pca."
            )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        weights = self._weights()
        return _in_parts(lambda part: self._features(part, weights), images).astype(np.float64)

    def _weights(self) -> list[np.ndarray]:
        """One (4, 4, in, out) for each layer."""
        rng, sizes = random.generator(0, "random convolutions"), (self.shape[2], *_FILTERS)
        weights = []
        for before, after in itertools.pairwise(sizes):
            deviation = np.sqrt(2 / ((1 + _SLOPE**2) * _KERNEL**2 * before))
            weights.append(rng.normal(0, deviation, (_KERNEL, _KERNEL, before, after)).astype(np.float32))
        return weights

    def _features(self, images: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
        values = images.astype(np.float32) / 127.5 - 1
        for weight in weights:
            values = _convolved(values, weight)
            values = np.maximum(values, _SLOPE * values)
        return _means_of_quarters(values)

    def __str__(self) -> str:
        return f"{4 * _FILTERS[-1]} features of fixed random convolutions"


@dataclass(frozen=True, eq=False)
class ClassifierFeatures:
    """What the last hidden layer of minigan's own classifier sees: 256 numbers, none of them negative."""

    classifier: Classifier
    key: str = "classifier"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.classifier.features(images)

    def __str__(self) -> str:
        return "the last hidden layer of minigan's classifier of the run's data"


def _in_parts(features: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """`features` of images (N, H, W, C), some at a time."""
    at_once = max(1, _NUMBERS_AT_ONCE // math.prod(images.shape[1:]))
    return np.concatenate([features(images[start : start + at_once]) for start in range(0, len(images), at_once)])


def _pixels(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64) / 255


def _leading_axes(centred: np.ndarray, count: int) -> np.ndarray:
    """The `count` directions (d, count) in which `centred` (n, d) vary most, from the smaller of two Gram matrices."""
    n, d = centred.shape
    if d <= n:
        return np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count]
    vectors = centred.T @ np.linalg.eigh(centred @ centred.T)[1][:, ::-1][:, :count]
    axes: np.ndarray = np.linalg.qr(vectors)[0]
    return axes


def _convolved(images: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Images (N, H, W, in) convolved with `weight` (4, 4, in, out), stride 2, one pixel of zeros around them."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_KERNEL, _KERNEL), axis=(1, 2))[:, ::_STRIDE, ::_STRIDE]
    flat = windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)  # (N, h, w, 16 * in)
    result: np.ndarray = flat @ weight.reshape(-1, weight.shape[-1])
    return result


def _means_of_quarters(values: np.ndarray) -> np.ndarray:
    """The mean of (N, h, w, c) over each quarter of the picture; the middle row and column belong to two: (N, 4 c)."""
    (top, bottom), (left, right) = (
        (slice(0, -(-size // 2)), slice(size // 2, None)) for size in (values.shape[1], values.shape[2])
    )
    quarters = [values[:, rows, columns].mean(axis=(1, 2)) for rows in (top, bottom) for columns in (left, right)]
    return np.concatenate(quarters, axis=1)
