"""LeakyReLU and its VJP in one pass, and the VJP of bias + LeakyReLU, which also sums each column.

    slope_gate      out = v where x > 0, slope * v elsewhere
    bias_act_grad   the same for matrices, and db = the sum of out over its rows

Memory-bound: one multiplication for 12 bytes of float32 read and written, so a second thread helps only when the arrays
are larger than a core's own cache. In the backward pass of a dense layer, `out` is the cotangent of the sum before
LeakyReLU, and its column sums are the gradient of the bias. Adding them up costs nothing while `out` is in registers.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import output_array
from minigan_kernels.numba.jit import Compiled, clear, inner, leaky_relu_grad, threads_for
from minigan_kernels.numba.memory import row_major
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.sums import add_rows

_BLOCK_ROWS = 16  # rows that one thread adds up one after another


@inner
def _slope_gate_chunk(t, threads, x_all, v_all, slope, out_all):
    first, last = t * out_all.size // threads, (t + 1) * out_all.size // threads
    x, v, out = x_all[first:last], v_all[first:last], out_all[first:last]
    for i in range(out.size):
        out[i] = leaky_relu_grad(x[i], v[i], slope)


@njit
def _slope_gate(x, v, slope, out, threads):
    parallel_for(threads, _slope_gate_chunk, (x, v, slope, out))


@inner
def _bias_act_grad_block(x, v, slope, out, partial, block):
    total = partial[block]
    clear(total)
    for i in range(block * _BLOCK_ROWS, min(out.shape[0], (block + 1) * _BLOCK_ROWS)):
        x_row, v_row, out_row = x[i], v[i], out[i]
        for j in range(total.size):
            passed = leaky_relu_grad(x_row[j], v_row[j], slope)
            out_row[j] = passed
            total[j] += passed


@inner
def _bias_act_grad_chunk(t, threads, x, v, slope, out, partial):
    blocks = partial.shape[0]
    for block in range(t * blocks // threads, (t + 1) * blocks // threads):
        _bias_act_grad_block(x, v, slope, out, partial, block)


@njit
def _bias_act_grad(x, v, slope, out, partial, sums, threads):
    parallel_for(threads, _bias_act_grad_chunk, (x, v, slope, out, partial))
    add_rows(partial, sums)


def _slope_gate_signature(dtype):
    vector = types.Array(dtype, 1, "C")
    return (vector, vector, dtype, vector, types.int64)


def _bias_act_grad_signature(dtype):
    vector, matrix = types.Array(dtype, 1, "C"), types.Array(dtype, 2, "C")
    return (matrix, matrix, dtype, matrix, matrix, vector, types.int64)


SLOPE_GATE = Compiled("slope_gate", _slope_gate, _slope_gate_signature, "out")
BIAS_ACT_GRAD = Compiled("bias_act_grad", _bias_act_grad, _bias_act_grad_signature, "out partial sums")


def slope_gate(x, v, slope, out=None):
    """v where x > 0, slope * v elsewhere; see `reference.slope_gate`."""
    x, v = row_major(x), row_major(v)
    out = output_array(x.shape, x.dtype, out)
    cast = x.dtype.type
    SLOPE_GATE.launch(x.dtype, x.reshape(-1), v.reshape(-1), cast(slope), out.reshape(-1), threads_for(x.size))
    return out


def bias_act_grad(x, v, slope, out=None):
    """(dx, db); see `reference.bias_act_grad`."""
    x, v = row_major(x), row_major(v)
    dx, db = out or (None, None)
    dx, db = output_array(x.shape, x.dtype, dx), output_array(x.shape[1:], x.dtype, db)
    partial = np.empty((-(-x.shape[0] // _BLOCK_ROWS), x.shape[1]), x.dtype)
    BIAS_ACT_GRAD.launch(x.dtype, x, v, x.dtype.type(slope), dx, partial, db, threads_for(x.size))
    return dx, db
