"""Image grids and PNG files of images (H, W, C) of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minigan.core.files import atomic_path

if TYPE_CHECKING:
    from PIL import Image

_MARGIN = 2  # pixels between images
_MIN_HEIGHT = 480  # a small grid is enlarged by a whole factor to at least this


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """`images` (N, H, W, C) uint8 as one image (height, width, C): row by row in a grid of so many columns on white.

    columns: None for a nearly square grid. A small grid is enlarged by a whole factor.

    Raises TypeError for other numbers than uint8, ValueError for another shape or no image.
    """
    _require_bytes(images)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"the images have shape {images.shape}, expected (N, H, W, C) with none of them 0")
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cell_height, cell_width = height + _MARGIN, width + _MARGIN
    grid = np.full((rows * cell_height + _MARGIN, columns * cell_width + _MARGIN, channels), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = _MARGIN + i // columns * cell_height, _MARGIN + i % columns * cell_width
        grid[top : top + height, left : left + width] = image
    factor = max(1, -(-_MIN_HEIGHT // grid.shape[0]))
    return grid.repeat(factor, axis=0).repeat(factor, axis=1)


def to_bytes(values: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Pixels from `value_range` (low, high) mapped to 0 to 255, uint8; values outside of the range are clipped."""
    low, high = value_range
    return np.clip(np.rint((values - low) * (255 / (high - low))), 0, 255).astype(np.uint8)


def save_png(path: Path, image: np.ndarray) -> None:
    """Write an image (H, W, C) uint8, grey (C = 1) or RGB (C = 3), as PNG, atomically.

    Raises TypeError for other numbers than uint8.
    """
    picture = as_pillow(image)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")


def as_pillow(image: np.ndarray) -> Image.Image:
    """An image (H, W, C) uint8, grey (C = 1) or RGB (C = 3), for Pillow. Raises TypeError for other numbers."""
    from PIL import Image  # comes with matplotlib; imported late because it takes a moment

    _require_bytes(image)
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _require_bytes(pixels: np.ndarray) -> None:
    if pixels.dtype != np.uint8:
        raise TypeError(
            f"the pixels are {pixels.dtype}, expected uint8 from 0 to 255; make them with "
            "minigan.figures.image_grid.to_bytes(pixels, value_range), such as (-1, 1) after tanh"
        )
