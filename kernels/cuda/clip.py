"""Clipping on the GPU; see clip.cu."""

from __future__ import annotations

from minigan_kernels.cuda.copy import assign
from minigan_kernels.cuda.elements import THREADS, element_blocks
from minigan_kernels.cuda.launch import Kernel, row_major

CLIP = Kernel("clip.cu", "clip")


def clip(values, limit):
    """Clip `values` to [-limit, limit], in place."""
    dense = row_major(values)
    CLIP.launch(dense.dtype, element_blocks(dense.size), THREADS, dense, dense.dtype.type(limit), dense.size)
    if dense is not values:
        assign(values, dense)
