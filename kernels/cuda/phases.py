"""The phases of a transposed convolution; see transposed.cuh."""

from __future__ import annotations

import math
from typing import Any

from minigan_kernels.cuda.launch import blocks_for
from minigan_kernels.geometry import Geometry


def phases_of(geometry: Geometry, batch: int) -> tuple[int, int, int]:
    """(the number of phases, the pixels of the largest phase in all images, the taps of the largest phase)."""
    axes = list(zip(geometry.size, geometry.kernel, geometry.stride, strict=True))
    phases = math.prod(min(stride, size) for size, _, stride in axes)
    pixels = batch * math.prod(blocks_for(size, stride) for size, _, stride in axes)
    return phases, pixels, math.prod(blocks_for(kernel, stride) for _, kernel, stride in axes)


def operand_extents(geometry: Geometry, g: Any, channels: int) -> tuple[int, ...]:
    """The parameters of the kernels from g_height on; see `operands_of` in transposed.cuh."""
    outputs, tap = g.shape[3], channels * g.shape[3]
    (kernel_height, kernel_width), (down, across) = geometry.kernel, geometry.stride
    (top, _), (left, _) = geometry.padding
    steps = down * kernel_width * tap, across * tap
    return g.shape[1], g.shape[2] * outputs, outputs, kernel_height, kernel_width, top, left, *steps
