"""The windows of a convolution as the kernels count them; see `Windows` in convolution.cuh."""

from __future__ import annotations

from typing import Any

from minigan_kernels.geometry import Geometry


def windows_of(x: Any, geometry: Geometry) -> tuple[tuple[int, ...], int, int]:
    """((height, row_elements, count, rows, columns, top, left, down, across), k_extent, kernel_row) of images x."""
    batch, height, width, channels = x.shape
    (rows, columns), (down, across) = geometry.out, geometry.stride
    (top, _), (left, _) = geometry.padding
    extents = (
        height, width * channels, batch * rows * columns, rows, columns, -top, -left * channels, down, across * channels
    )  # fmt: skip
    kernel_row = geometry.kernel[1] * channels
    return extents, geometry.kernel[0] * kernel_row, kernel_row
