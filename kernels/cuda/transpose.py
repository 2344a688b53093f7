"""Copies of transposed matrices on the GPU; see transpose.cu."""

from __future__ import annotations

from minigan_kernels.cuda.launch import MAX_GRID, Kernel, Strided, blocks_for

COPY_TRANSPOSED = Kernel("transpose.cu", "copy_transposed")

_TILE, _TILE_ROWS = 32, 8  # as in transpose.cu
_SMALLEST_EXTENT = 16  # of a matrix whose tiles are at least half full along each axis


def is_transposed(extents, sources, targets):
    """Whether this copy is one of a matrix, or of a stack of them, that is transposed in the source.

    extents, sources, targets: the extent of each axis, and its strides in the source and in the target.
    """
    return (
        2 <= len(extents) <= 3
        and sources[-2] == targets[-1] == 1
        and min(extents[-2:]) >= _SMALLEST_EXTENT
        and blocks_for(extents[-2], _TILE) <= MAX_GRID[1]
        and (1, *extents)[-3] <= MAX_GRID[2]
    )


def copy_transposed(source, target, extents, sources, targets):
    """Copy `source` to `target`; the other arguments are as in `is_transposed`, which must hold."""
    matrices, rows, columns = (1, *extents)[-3:]
    grid = blocks_for(columns, _TILE), blocks_for(rows, _TILE), matrices
    COPY_TRANSPOSED.launch(
        target.dtype, grid, (_TILE, _TILE_ROWS), Strided(source), Strided(target), rows, columns,
        (0, *sources)[-3], sources[-1], (0, *targets)[-3], targets[-2],
    )  # fmt: skip
