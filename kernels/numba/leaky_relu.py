"""LeakyReLU and its VJP in one pass, and the VJP of bias + LeakyReLU, which also sums each column.

    slope_gate      out = v where x > 0, slope * v elsewhere
    bias_act_grad   the same for matrices, and db = the sum of out over its rows
    bias_grad       db alone

Memory-bound: one multiplication for 12 bytes of float32 read and written, so a second thread helps only when the arrays
are larger than a core's own cache. In the backward pass of a dense layer, `out` is the cotangent of the sum before
LeakyReLU, and its column sums are the gradient of the bias. Adding them up costs nothing while `out` is in registers.
A matrix of few columns is treated as one of fewer rows and more columns (see `column_loops.fold`), whose partial sums
are added up like those of blocks of rows.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import output_array
from minigan_kernels.numba.column_loops import add_columns, column_loop, fill_columns, fold
from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import row_major
from minigan_kernels.numba.microkernel import address
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.sums import add_rows

_BLOCK_ROWS = 16  # rows that one thread adds up one after another


def _gate(code, read, slope):
    return [code.slope_gate(*read, *slope)]


def _gate_and_add(code, read, slope):
    x, v, total = read
    passed = code.slope_gate(x, v, *slope)
    return [passed, code.add(total, passed)]


_gate_columns, _gate_and_add_columns = column_loop(_gate), column_loop(_gate_and_add)


@inner
def _slope_gate_chunk(t, threads, zero, x, v, slope, out, count, size):
    first, last = t * count // threads, (t + 1) * count // threads
    at = first * size
    _gate_columns(zero, last - first, (x + at, v + at), (out + at,), (slope,))


@njit
def _slope_gate(x, v, slope, out, threads):
    arrays = (address(x), address(v), slope, address(out))
    parallel_for(threads, _slope_gate_chunk, (out.dtype.type(0), *arrays, out.size, out.itemsize))


@inner
def _bias_act_grad_chunk(t, threads, zero, x, v, slope, writes_out, out, partial, rows, width, size):
    blocks, step = (rows + _BLOCK_ROWS - 1) // _BLOCK_ROWS, width * size
    for block in range(t * blocks // threads, (t + 1) * blocks // threads):
        total = partial + block * step
        fill_columns(zero, width, (), (total,), (0.0,))
        for row in range(block * _BLOCK_ROWS, min(rows, (block + 1) * _BLOCK_ROWS)):
            at = row * step
            if writes_out:
                _gate_and_add_columns(zero, width, (x + at, v + at, total), (out + at, total), (slope,))
            else:
                add_columns(zero, width, (total, v + at), (total,), ())


@njit
def _bias_act_grad(x, v, slope, writes_out, out, partial, sums, width, threads):
    zero, rows = v.dtype.type(0), v.size // width if width else 0
    arrays = (address(x), address(v), slope, writes_out, address(out), address(partial))
    parallel_for(threads, _bias_act_grad_chunk, (zero, *arrays, rows, width, v.itemsize))
    add_rows(zero, address(partial), partial.shape[0], sums.size, sums.size * v.itemsize, address(sums))


def _slope_gate_signature(dtype):
    vector = types.Array(dtype, 1, "C")
    return (vector, vector, dtype, vector, types.int64)


def _bias_act_grad_signature(dtype):
    vector, matrix = types.Array(dtype, 1, "C"), types.Array(dtype, 2, "C")
    return (matrix, matrix, dtype, types.boolean, matrix, matrix, vector, types.int64, types.int64)


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
    _launch(x, v, slope, dx, db)
    return dx, db


def bias_grad(v, out=None):
    """db; see `reference.bias_grad`."""
    v = row_major(v)
    db = output_array(v.shape[1:], v.dtype, out)
    _launch(v, v, 1.0, None, db)
    return db


def _launch(x, v, slope, dx, db):
    """Start the kernel; without `dx` it only adds up the columns of v."""
    rows, columns = v.shape
    side_by_side = fold(rows, columns)
    blocks = -(-rows // side_by_side // _BLOCK_ROWS)
    partial = np.empty((blocks * side_by_side, columns), v.dtype)
    BIAS_ACT_GRAD.launch(
        v.dtype, x, v, v.dtype.type(slope), dx is not None, partial if dx is None else dx, partial, db,
        side_by_side * columns, threads_for(v.size),
    )  # fmt: skip
