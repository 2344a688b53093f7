"""How samples are shown if the data are arrays: pictures, points of the plane, or other vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from minigan.domains.view import Shape, View
from minigan.figures import density_map, value_map
from minigan.figures.image_grid import image_grid, to_bytes

_CHANNELS = (1, 3)
_LEAST_SIDE = 4  # pixels; smaller arrays are drawn as curves
_TAIL = 0.001  # of the data on each side, which may lie outside of a plot


def view_of(
    examples: np.ndarray, value_range: tuple[float, float] | None = None, columns: int | None = None
) -> ArrayView:
    """How samples are shown that are to look like `examples` (N, ...), uint8 or floats.

    Bytes (N, H, W) or (N, H, W, C) with C 1 or 3, and floats of these shapes, are pictures; (N, 2) are points of the
    plane; all others are drawn as curves over the places of their numbers. value_range: the numbers that networks see
    as black and white; None: (-1, 1) for bytes, the range of the data for floats. columns: of a grid of pictures.
    """
    shape = examples.shape[1:]
    if _is_picture(shape):
        is_bytes = examples.dtype == np.uint8
        return PictureView(shape, value_range or ((-1.0, 1.0) if is_bytes else _range(examples)), is_bytes, columns)
    values = examples.reshape(len(examples), -1).astype(np.float64)
    if math.prod(shape) == 2:
        return PlaneView(shape, density_map.histogram_map(values, _box(values)))
    low, high = (float(edge) for edge in (values.min(), values.max()))
    return CurveView(shape, value_map.ValueMap(values, (low, high)))


def view_from(facts: Mapping[str, Any]) -> ArrayView:
    """The view whose `facts` these are, without the data on which it draws; raises ValueError if they are none."""
    try:
        shape = tuple(int(n) for n in facts["shape"])
        if "value_range" not in facts:
            return ArrayView(shape)
        low, high = (float(edge) for edge in facts["value_range"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("what its samples look like") from None
    return PictureView(shape, (low, high), bool(facts.get("bytes")))


def _is_picture(shape: Shape) -> bool:
    is_plane = len(shape) == 2 or (len(shape) == 3 and shape[2] in _CHANNELS)
    return is_plane and min(shape[:2]) >= _LEAST_SIDE


def _range(examples: np.ndarray) -> tuple[float, float]:
    """(0, 1) or (-1, 1) if the numbers lie in there, else the smallest and the largest one."""
    low, high = float(examples.min()), float(examples.max())
    for usual in ((0.0, 1.0), (-1.0, 1.0)):
        if usual[0] <= low and high <= usual[1]:
            return usual
    return low, high if high > low else low + 1


def _box(points: np.ndarray) -> np.ndarray:
    """Two corners of a rectangle around nearly all points (n, 2)."""
    low, high = np.quantile(points, [_TAIL, 1 - _TAIL], axis=0)
    return np.stack([low, np.where(high > low, high, low + 1)])


@dataclass(frozen=True, eq=False)
class ArrayView(View):
    """Arrays of `shape`, drawn as `view_of` says; without data, on a map of the samples themselves."""

    def present(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, *self.shape)

    def draw(self, samples: np.ndarray) -> np.ndarray:
        return view_of(samples).draw(samples)

    def facts(self) -> dict[str, Any]:
        """What config.json records of the view, from which `view_from` makes one without the data."""
        return {"shape": list(self.shape)}


@dataclass(frozen=True, eq=False)
class PictureView(ArrayView):
    """Pictures (H, W) or (H, W, C), of bytes or of numbers; networks see black and white as `value_range`."""

    value_range: tuple[float, float]
    is_bytes: bool
    columns: int | None = None

    def present(self, values: np.ndarray) -> np.ndarray:
        pictures = values.reshape(-1, *self.shape)
        return to_bytes(pictures, self.value_range) if self.is_bytes else pictures

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"value_range": list(self.value_range), "bytes": self.is_bytes}

    def draw(self, samples: np.ndarray) -> np.ndarray:
        pixels = samples if samples.dtype == np.uint8 else to_bytes(samples, self.value_range)
        return image_grid(pixels if pixels.ndim == 4 else pixels[..., None], self.columns)

    def arrays(self, samples: np.ndarray) -> dict[str, Any]:
        return {"images": samples}


@dataclass(frozen=True, eq=False)
class PlaneView(ArrayView):
    """Points of the plane, drawn on a map of where the data are."""

    map: density_map.DensityMap = field(repr=False)

    samples_shown: ClassVar[int] = 1000

    def draw(self, samples: np.ndarray) -> np.ndarray:
        return self.map.with_points(samples.reshape(-1, 2))

    def arrays(self, samples: np.ndarray) -> dict[str, Any]:
        return {"points": samples}


@dataclass(frozen=True, eq=False)
class CurveView(ArrayView):
    """Other arrays, each drawn as a curve over the places of its numbers, on a map of the values of the data there."""

    map: value_map.ValueMap = field(repr=False)

    samples_shown: ClassVar[int] = 200

    def draw(self, samples: np.ndarray) -> np.ndarray:
        return self.map.with_samples(samples.reshape(len(samples), -1))
