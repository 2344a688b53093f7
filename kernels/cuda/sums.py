"""Sums over any axes on the GPU, in an order that depends on the shape alone; see sums.cu."""

from __future__ import annotations

import math

from numpy.lib.array_utils import normalize_axis_tuple

from minigan_kernels.cuda.driver import cupy_module
from minigan_kernels.cuda.launch import MAX_GRID, WARP, Kernel, output_array, row_major
from minigan_kernels.cuda.row_blocks import divide_rows, power_of_two

COLUMN_SUMS = Kernel("sums.cu", "column_sums")
ROW_SUMS = Kernel("sums.cu", "row_sums")

_ROW_THREADS = 256  # along the rows of a block, in one or several of them


def sum(x, axis, keepdims, out=None):
    """x summed over `axis`, a number, a tuple, or None for all axes; see `reference.sum`."""
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    of_kept = tuple(x.shape[i] for i in kept)
    with_ones = tuple(1 if i in axes else extent for i, extent in enumerate(x.shape))
    out = output_array(with_ones if keepdims else of_kept, x.dtype, out)
    runs = _runs(x.shape, axes)
    if len(runs) <= 2:
        _sum_rows(row_major(x), out.size, math.prod(x.shape[i] for i in axes), out)
    elif len(runs) == 3 and runs[0] <= MAX_GRID[2]:
        _sum_columns(row_major(x), *runs, out)
    else:
        rows = math.prod(x.shape[i] for i in axes)
        _sum_columns(row_major(x.transpose(*axes, *kept)), 1, rows, out.size, out)
    return out


def _runs(shape, axes):
    """The extents of `shape` with neighbours merged: kept axes, summed axes, kept axes and so on."""
    runs = [1]
    for i, extent in enumerate(shape):
        if extent != 1 and (i in axes) != (len(runs) % 2 == 0):
            runs.append(extent)
        else:
            runs[-1] *= extent
    return runs


def _sum_columns(x, matrices, rows, columns, out, at_once=False):
    """Write the sums of the columns of each matrix to `out`, (matrices, columns)."""
    blocks = divide_rows(rows, columns, matrices=matrices, at_once=at_once)
    partial = partial_sums(blocks.count, out)
    grid = (*blocks.grid, matrices)
    COLUMN_SUMS.launch(x.dtype, grid, blocks.threads, x, partial, rows, columns, blocks.rows_per_block)
    if blocks.count > 1:
        _sum_columns(partial, matrices, blocks.count, columns, out, at_once=True)


def partial_sums(count, out):
    """Memory for `count` rows of partial sums, which are added to `out`: `out` itself for one row."""
    return out if count == 1 else cupy_module().empty((count, out.size), out.dtype)


def add_partial_sums(partial, count, out):
    """Write the sums of the columns of `partial`, made by `partial_sums`, to `out`."""
    if count > 1:
        _sum_columns(partial, 1, count, out.size, out, at_once=True)


def _sum_rows(x, rows, columns, out, at_once=False):
    """Write the sums of the rows of a matrix to `out`."""
    # The columns of the transposed matrix; the threads of a block are transposed, too.
    several = max(1, _ROW_THREADS // power_of_two(columns))
    blocks = divide_rows(columns, rows, min(several, WARP), at_once=at_once)
    partial = partial_sums(blocks.count, out)
    width, height = blocks.threads
    ROW_SUMS.launch(x.dtype, blocks.grid, (height, width), x, partial, rows, columns, blocks.rows_per_block)
    if blocks.count > 1:
        _sum_rows(partial, rows, blocks.count, out, at_once=True)
