"""Samples to look at: pictures as a grid, points of the plane as a chart; in a file or in a notebook."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.core.errors import UsageError
from minigan.figures import charts
from minigan.figures.image_grid import as_pillow, image_grid, save_png, to_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CHANNELS = (1, 3)
_MOST_SHOWN = 100  # in a notebook, which keeps the picture in its file
_MOST_POINTS = 10_000


def save_grid(
    path: str | Path,
    samples: Any,
    value_range: tuple[float, float] = (-1.0, 1.0),
    columns: int | None = None,
    *,
    image_shape: tuple[int, ...] | None = None,
) -> None:
    """Write samples as one PNG file, atomically: pictures row by row in a grid, points (N, 2) as a chart.

    samples: an array or a Tensor: pictures (N, H, W) or (N, H, W, C), C 1 (grey) or 3 (red, green, blue); flat ones
    (N, H * W * C) if `image_shape` (H, W) or (H, W, C) is given; or points (N, 2).
    value_range: the numbers (low, high) that are black and white, such as (-1, 1) after tanh and (0, 1) after a
    sigmoid. Numbers outside are clipped. uint8 is taken as it is, from 0 to 255. It does not matter for points.
    columns: how many pictures stand side by side; None for a nearly square grid.

    Raises UsageError for other shapes or numbers, numbers that are not finite, or a path that does not end in .png;
    DrawingError if points are to be drawn and Matplotlib cannot be imported.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} does not end in .png, in which format the samples are written; name it so")
    save_png(path, Samples(samples, value_range, columns, image_shape=image_shape).picture())


class Samples:
    """Samples that a notebook shows as a picture. The arguments are those of `save_grid`.

    Raises UsageError as that does. array: the samples, as pictures (N, H, W, C) uint8 or as points (N, 2).
    """

    def __init__(
        self,
        samples: Any,
        value_range: tuple[float, float] = (-1.0, 1.0),
        columns: int | None = None,
        *,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        if columns is not None and columns < 1:
            raise UsageError(f"the number of columns is {columns}, expected at least 1, or None for a square grid")
        values = np.asarray(samples.numpy() if hasattr(samples, "numpy") else samples)
        self._columns = columns
        are_points = image_shape is None and values.ndim == 2 and values.shape[1] == 2 and len(values) > 0
        self.array = _finite(values) if are_points else as_pictures(values, value_range, image_shape)

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        what = "points" if self.array.ndim == 2 else "pictures {1} x {2}".format(*self.array.shape)
        return f"Samples: {len(self):,} {what}"

    def picture(self) -> np.ndarray:
        """The grid or the chart, (height, width, C) uint8."""
        return self._picture(len(self))

    def _picture(self, most: int) -> np.ndarray:
        if self.array.ndim == 4:
            return image_grid(self.array[:most], self._columns)
        return charts.pixels((4.8, 4.8), 100, self._scatter)

    def _scatter(self, figure: Figure) -> None:
        axes = figure.add_subplot()
        x, y = self.array[:_MOST_POINTS].T
        axes.scatter(x, y, s=3, color="#b32110")
        axes.set_aspect("equal", adjustable="datalim")

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        as_pillow(self._picture(_MOST_SHOWN)).save(stream, format="PNG")
        return stream.getvalue()

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self._repr_png_()).decode("ascii")
        shown = min(len(self), _MOST_SHOWN if self.array.ndim == 4 else _MOST_POINTS)
        caption = repr(self) + (f", the first {shown:,} of them" if shown < len(self) else "")
        return (
            f'<figure style="margin:0"><img src="data:image/png;base64,{picture}" alt="{caption}" '
            f'style="max-width:100%;image-rendering:pixelated"><figcaption>{caption}</figcaption></figure>'
        )


def as_pictures(
    values: np.ndarray, value_range: tuple[float, float], image_shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """`values` as pictures (N, H, W, C) uint8. The arguments and errors are those of `save_grid`."""
    if image_shape is not None:
        values = _unflattened(values, image_shape)
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or 0 in values.shape or values.shape[-1] not in _CHANNELS:
        flat = ", or name image_shape=(H, W) of flat pictures" if values.ndim == 2 else ""
        raise UsageError(
            f"the samples have shape {values.shape}, expected pictures (N, H, W) or (N, H, W, C) with C 1 (grey) or 3 "
            f"(colour), or points (N, 2); reshape them{flat}"
        )
    if values.dtype == np.uint8:
        return values
    low, high = value_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"the value range is {value_range}, expected (low, high), such as (-1, 1); give it so")
    return to_bytes(_finite(values).astype(np.float64), (low, high))


def _unflattened(values: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    if len(image_shape) not in (2, 3) or values.ndim < 2 or math.prod(values.shape[1:]) != math.prod(image_shape):
        raise UsageError(
            f"the samples have shape {values.shape} and the image shape is {tuple(image_shape)}, expected (H, W) or "
            "(H, W, C) with as many numbers as a sample; correct one of both"
        )
    return values.reshape(len(values), *image_shape)


def _finite(values: np.ndarray) -> np.ndarray:
    """`values` if they are floats and finite; otherwise raises UsageError."""
    if values.dtype.kind != "f":
        raise UsageError(f"the samples are {values.dtype}, expected uint8 or floats; convert them")
    if bad := int((~np.isfinite(values)).sum()):
        raise UsageError(
            f"{bad:,} of the {values.size:,} numbers of the samples are NaN or infinite, expected finite ones; look at "
            "what made them"
        )
    return values
