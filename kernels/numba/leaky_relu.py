"""The derivative of LeakyReLU, and LeakyReLU itself, in one pass; the same with the sum of each column beside it.

    out = v where x > 0, slope * v elsewhere              sums = the sum of out over its rows

One multiply for 12 bytes of float32 read and written: memory-bound, so a second thread helps only when the
arrays are larger than a core's own cache. In a dense layer's derivative `out` is the cotangent of the sum before
LeakyReLU, and the sums of its columns are the gradient of the bias: they cost nothing while `out` is in registers.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import result
from minigan_kernels.numba.jit import Compiled, clear, gated, inner, threads_for
from minigan_kernels.numba.memory import plain
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.sums import add_rows

_ROWS = 16  # rows summed together by one thread


@inner
def _gate_share(t, threads, x_all, v_all, slope, out_all):
    first, last = t * out_all.size // threads, (t + 1) * out_all.size // threads
    x, v, out = x_all[first:last], v_all[first:last], out_all[first:last]
    for i in range(out.size):
        out[i] = gated(x[i], v[i], slope)


@njit
def _gate(x, v, slope, out, threads):
    parallel_for(threads, _gate_share, (x, v, slope, out))


@inner
def _gate_and_sum_block(x, v, slope, out, partial, block):
    total = partial[block]
    clear(total)
    for i in range(block * _ROWS, min(out.shape[0], (block + 1) * _ROWS)):
        x_row, v_row, out_row = x[i], v[i], out[i]
        for j in range(total.size):
            passed = gated(x_row[j], v_row[j], slope)
            out_row[j] = passed
            total[j] += passed


@inner
def _gate_and_sum_share(t, threads, x, v, slope, out, partial):
    blocks = partial.shape[0]
    for block in range(t * blocks // threads, (t + 1) * blocks // threads):
        _gate_and_sum_block(x, v, slope, out, partial, block)


@njit
def _gate_and_sum(x, v, slope, out, partial, sums, threads):
    parallel_for(threads, _gate_and_sum_share, (x, v, slope, out, partial))
    add_rows(partial, sums)


def _gate_signature(number):
    vector = types.Array(number, 1, "C")
    return (vector, vector, number, vector, types.int64)


def _gate_and_sum_signature(number):
    vector, matrix = types.Array(number, 1, "C"), types.Array(number, 2, "C")
    return (matrix, matrix, number, matrix, matrix, vector, types.int64)


SLOPE_GATE = Compiled("slope_gate", _gate, _gate_signature, "out")
BIAS_ACT_GRAD = Compiled("bias_act_grad", _gate_and_sum, _gate_and_sum_signature, "out partial sums")


def slope_gate(x, v, slope, out=None):
    """v where x > 0, slope * v elsewhere; see `reference.slope_gate`."""
    x, v = plain(x), plain(v)
    out = result(x.shape, x.dtype, out)
    number = x.dtype.type
    SLOPE_GATE.launch(x.dtype, x.reshape(-1), v.reshape(-1), number(slope), out.reshape(-1), threads_for(x.size))
    return out


def bias_act_grad(x, v, slope, out=None):
    """(out, sums); see `reference.bias_act_grad`."""
    x, v = plain(x), plain(v)
    out, sums = out or (None, None)
    out, sums = result(x.shape, x.dtype, out), result(x.shape[1:], x.dtype, sums)
    partial = np.empty((-(-x.shape[0] // _ROWS), x.shape[1]), x.dtype)
    BIAS_ACT_GRAD.launch(x.dtype, x, v, x.dtype.type(slope), out, partial, sums, threads_for(x.size))
    return out, sums
