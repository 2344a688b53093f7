"""The launch of elementwise kernels; see elementwise.cuh."""

from __future__ import annotations

from minigan_kernels.cuda.launch import blocks_for

THREADS, _ITEMS = 256, 4  # as in elementwise.cuh


def element_blocks(count: int) -> int:
    """The number of blocks of `THREADS` threads that an elementwise kernel takes for `count` elements."""
    return blocks_for(count, THREADS * _ITEMS)
