"""A set of images in memory, with or without labels, and its SHA-256 digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigan.core.errors import DataError

ImageShape = tuple[int, int, int]
"""(height, width, channels) of an image; 1 channel is grey, 3 are red, green and blue."""

CHANNELS = (1, 3)


def shape_in_words(shape: ImageShape) -> str:
    """`shape` for people to read, such as "28 x 28 grey" or "64 x 64 colour"."""
    height, width, channels = shape
    return f"{height} x {width} {'grey' if channels == 1 else 'colour'}"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images in memory, as read-only views of the given arrays.

    name: short, for messages and config.json.
    images: uint8, shape (N, H, W, C); C is 1 (grey) or 3 (red, green, blue).
    labels: uint8 or int64, shape (N,), or None.
    source: where the images come from, for people to read.
    sha256: hex digest of the bytes of `images`, then those of `labels`; computed, not an argument.
    pixels_sha256: the digest of `images` alone, which is all that a GAN learns from.

    Raises DataError if an array has another shape or type, or if the counts differ.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    source: str
    sha256: str = field(init=False)
    pixels_sha256: str = field(init=False)

    def __post_init__(self) -> None:
        _check_images(self.name, self.images)
        object.__setattr__(self, "images", _read_only(self.images))
        if self.labels is not None:
            _check_labels(self.name, self.labels, len(self.images))
            object.__setattr__(self, "labels", _read_only(self.labels))
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        object.__setattr__(self, "pixels_sha256", digest.hexdigest())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels).data)
        object.__setattr__(self, "sha256", digest.hexdigest())

    def __len__(self) -> int:
        return len(self.images)

    def __str__(self) -> str:
        return f"{len(self):,} pictures {shape_in_words(self.image_shape)} ({self.name})"

    def describe(self) -> dict[str, Any]:
        """The entry "data" of a run's config.json."""
        return {
            "name": self.name,
            "source": self.source,
            "images": len(self),
            "image_shape": list(self.image_shape),
            "sha256": self.sha256,
            "pixels_sha256": self.pixels_sha256,
        }

    def matches(self, recorded: Mapping[str, Any]) -> bool:
        """Whether `recorded`, which `describe` returned, describes these images; labels do not matter.

        Earlier versions recorded "sha256" only, and [height, width] as the shape of grey images.
        """
        height, width, channels = self.image_shape
        if recorded.get("image_shape") not in ([height, width, channels], [height, width] if channels == 1 else None):
            return False
        if "pixels_sha256" in recorded:
            return bool(recorded["pixels_sha256"] == self.pixels_sha256)
        return recorded.get("sha256") in (self.sha256, self.pixels_sha256)

    @property
    def shape(self) -> ImageShape:
        """(H, W, C) of each image; every kind of data has this name for the shape of an example."""
        return self.image_shape

    @property
    def image_shape(self) -> ImageShape:
        """(H, W, C) of each image."""
        _, height, width, channels = self.images.shape
        return height, width, channels


def _check_images(name: str, images: np.ndarray) -> None:
    is_shape = images.ndim == 4 and images.size > 0 and images.shape[-1] in CHANNELS
    if images.dtype != np.uint8 or not is_shape:
        raise DataError(
            f"the images of '{name}' are {images.dtype} of shape {images.shape}, expected uint8 of shape (N, H, W, C) "
            "with no dimension zero and C 1 (grey) or 3 (colour); convert them first"
        )


def _check_labels(name: str, labels: np.ndarray, count: int) -> None:
    if labels.dtype not in (np.uint8, np.int64) or labels.shape != (count,):
        raise DataError(
            f"the labels of '{name}' are {labels.dtype} of shape {labels.shape}, expected uint8 or int64 of shape "
            f"({count},), one per image; convert them first or pass None"
        )


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False  # otherwise the recorded digest could become wrong
    return view
