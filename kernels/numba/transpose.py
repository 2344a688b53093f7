"""The transpose of each matrix in a stack, written to memory in row-major order.

    out[..., j, i] = array[..., i, j]

Memory-bound: one read and one write for each element. The matrices are processed in square blocks whose rows fill whole
cache lines in both arrays.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.parallel_for import parallel_for

_BLOCK = 16  # rows and columns of a block: 16 float32 numbers fill a cache line


@inner
def _transpose_strip(matrices, out, strip):
    """Transpose one strip of _BLOCK rows of one matrix."""
    _, rows, columns = matrices.shape
    strips = (rows + _BLOCK - 1) // _BLOCK
    matrix = strip // strips
    top = (strip - matrix * strips) * _BLOCK
    bottom = min(rows, top + _BLOCK)
    for left in range(0, columns, _BLOCK):
        for j in range(left, min(columns, left + _BLOCK)):
            target = out[matrix, j, top:bottom]
            for i in range(target.size):
                target[i] = matrices[matrix, top + i, j]


@inner
def _transpose_chunk(t, threads, matrices, out):
    strips = matrices.shape[0] * ((matrices.shape[1] + _BLOCK - 1) // _BLOCK)
    for strip in range(t * strips // threads, (t + 1) * strips // threads):
        _transpose_strip(matrices, out, strip)


@njit
def _transpose(matrices, out, threads):
    parallel_for(threads, _transpose_chunk, (matrices, out))


TRANSPOSE = Compiled("transpose", _transpose, lambda dtype: (types.Array(dtype, 3, "C"),) * 2 + (types.int64,), "out")


def transpose_last_axes(array: np.ndarray) -> np.ndarray:
    """`array` (..., rows, columns) as (..., columns, rows), row-major."""
    *stack, rows, columns = array.shape
    out = np.empty((*stack, columns, rows), array.dtype)
    matrices = array.reshape(-1, rows, columns)
    TRANSPOSE.launch(array.dtype, matrices, out.reshape(-1, columns, rows), threads_for(array.size))
    return out
