"""The last two axes of an array exchanged, in memory: each matrix of a stack transposed.

One read and one write of every number, in square blocks whose rows fill cache lines on both sides.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.parallel_for import parallel_for

_BLOCK = 16


@inner
def _swap_strip(matrices, out, strip):
    """One strip of _BLOCK rows of one matrix."""
    _, rows, columns = matrices.shape
    strips = (rows + _BLOCK - 1) // _BLOCK
    number = strip // strips
    top = (strip - number * strips) * _BLOCK
    bottom = min(rows, top + _BLOCK)
    for left in range(0, columns, _BLOCK):
        for j in range(left, min(columns, left + _BLOCK)):
            target = out[number, j, top:bottom]
            for i in range(target.size):
                target[i] = matrices[number, top + i, j]


@inner
def _swap_share(t, threads, matrices, out):
    strips = matrices.shape[0] * ((matrices.shape[1] + _BLOCK - 1) // _BLOCK)
    for strip in range(t * strips // threads, (t + 1) * strips // threads):
        _swap_strip(matrices, out, strip)


@njit
def _swap(matrices, out, threads):
    parallel_for(threads, _swap_share, (matrices, out))


SWAP = Compiled("swap", _swap, lambda number: (types.Array(number, 3, "C"),) * 2 + (types.int64,), "out")


def transpose_last_axes(array: np.ndarray) -> np.ndarray:
    """`array` (..., rows, columns) as (..., columns, rows), row-major."""
    *stack, rows, columns = array.shape
    out = np.empty((*stack, columns, rows), array.dtype)
    matrices = array.reshape(-1, rows, columns)
    SWAP.launch(array.dtype, matrices, out.reshape(-1, columns, rows), threads_for(array.size))
    return out
