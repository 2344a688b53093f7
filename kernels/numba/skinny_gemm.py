"""Skinny matrix products, in which one extent is tiny: first and last layers of networks with few inputs or outputs.

A register tile is PANEL columns wide; in a product with 1 or 2 columns it would mostly multiply zeros. Three loops over
contiguous rows, which LLVM vectorises, cover all cases:

    dots        out[i, j] = leaky_relu(sum over k of a[i, k] b[j, k] + bias[j])     few j
    combine     out[i, :] = leaky_relu(sum over k of a[i, k] b[k, :] + bias)        few k
    accumulate  out[i, :] = sum over k of a[k, i] b[k, :]                           few i

`dots` computes the forward pass of a last layer, and the gradient with respect to few inputs; `combine` the forward
pass of a first layer, and the gradient of a last layer with respect to its inputs; `accumulate` the weight gradient of
either.

Memory-bound: each reads or writes the large operand once. The large operand must be stored row by row as in the
formulas. The small operand, and a small result, may be stored transposed: they are read or written column by column,
which takes little time beside the rest. Threads divide the rows of the large operand in `combine` and `dots`, and its
columns in `accumulate`: one thread computes each sum, so the bits do not depend on their number.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.jit import Compiled, clear, inner, leaky_relu, optimized_inner, threads_for
from minigan_kernels.numba.memory import zeros
from minigan_kernels.numba.parallel_for import parallel_for

LIMIT = 4  # the largest extent that counts as tiny


@inner
def _empty(rows, columns, like):
    """An uninitialised matrix; a function of its own, because Numba compiles `np.empty` slowly at every use."""
    return np.empty((rows, columns), like.dtype)


@inner
def _stored_by_rows(matrix, transposed):
    """op(matrix) in row-major order, where op transposes if `transposed`."""
    if not transposed:
        return matrix
    out = _empty(matrix.shape[1], matrix.shape[0], matrix)
    for j in range(matrix.shape[1]):
        target = out[j]
        for i in range(target.size):
            target[i] = matrix[i, j]
    return out


@optimized_inner(fastmath={"reassoc", "contract"})
def _dot_products(a, b, out):
    """out = a @ b.T; the fastmath flags let LLVM vectorise the sum over k and fuse multiplications with additions."""
    for i in range(out.shape[0]):
        row = a[i]
        for j in range(out.shape[1]):
            other = b[j]
            total = a.dtype.type(0)
            for k in range(row.size):
                total += row[k] * other[k]
            out[i, j] = total


@inner
def _accumulator(out, transposed):
    """A matrix of the shape of op(out): a view of `out` if its elements have the same order, else a new one."""
    rows, columns = (out.shape[1], out.shape[0]) if transposed else out.shape
    same = not transposed or rows == 1 or columns == 1
    return out.reshape((rows, columns)) if same else _empty(rows, columns, out)


@inner
def _store_transposed(sums, out):
    """out = sums.T, unless they share their memory; see `_accumulator`."""
    if out.shape[0] == 1 or out.shape[1] == 1:
        return
    for i in range(out.shape[0]):
        target = out[i]
        for j in range(target.size):
            target[j] = sums[j, i]


@inner
def _bias_act(sums, bias, slope):
    """sums = leaky_relu(sums + bias), in place."""
    for i in range(sums.shape[0]):
        target = sums[i]
        for j in range(target.size):
            target[j] = leaky_relu(target[j] + bias[j], slope)


@inner
def _dots_chunk(t, threads, a, b, bias, slope, sums):
    first, last = t * sums.shape[0] // threads, (t + 1) * sums.shape[0] // threads
    part = sums[first:last]
    _dot_products(a[first:last], b, part)
    if bias.size:
        _bias_act(part, bias, slope)


@njit
def _dots(a, b, b_transposed, bias, slope, out, out_transposed, threads):
    """A bias of size 0 means the plain product."""
    sums = _accumulator(out, out_transposed)
    parallel_for(threads, _dots_chunk, (a, _stored_by_rows(b, b_transposed), bias, slope, sums))
    if out_transposed:
        _store_transposed(sums, out)


@inner
def _term(a, transposed, i, k):
    """op(a)[i, k], or 0 for k past the last term."""
    if transposed:
        return a[k, i] if k < a.shape[0] else a.dtype.type(0)
    return a[i, k] if k < a.shape[1] else a.dtype.type(0)


@inner
def _combine_chunk(t, threads, a, a_transposed, b, bias, slope, out):
    """The rows of thread t. `b` is padded with zero rows to LIMIT rows, so that one pass over `out` is enough."""
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    for i in range(t * out.shape[0] // threads, (t + 1) * out.shape[0] // threads):
        target = out[i]
        a0, a1 = _term(a, a_transposed, i, 0), _term(a, a_transposed, i, 1)
        a2, a3 = _term(a, a_transposed, i, 2), _term(a, a_transposed, i, 3)
        for j in range(target.size):
            total = a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j] + bias[j]
            target[j] = leaky_relu(total, slope)


@njit
def _combine(a, a_transposed, b, b_transposed, bias, slope, out, threads):
    padded = _empty(LIMIT, out.shape[1], out)
    for k in range(LIMIT):
        target = padded[k]
        for j in range(target.size):
            target[j] = _term(b, not b_transposed, j, k)
    parallel_for(threads, _combine_chunk, (a, a_transposed, padded, bias, slope, out))


@inner
def _accumulate_chunk(t, threads, a, a_transposed, b, sums):
    """sums = op(a) @ b for the columns of thread t, where op transposes unless `a_transposed`.

    The rows of b are scaled and added.
    """
    first, last = t * sums.shape[1] // threads, (t + 1) * sums.shape[1] // threads
    for i in range(sums.shape[0]):
        clear(sums[i, first:last])
    for k in range(b.shape[0]):
        row = b[k, first:last]
        for i in range(sums.shape[0]):
            factor, target = a[i, k] if a_transposed else a[k, i], sums[i, first:last]
            for j in range(row.size):
                target[j] += factor * row[j]


@njit
def _accumulate(a, a_transposed, b, out, out_transposed, threads):
    sums = _accumulator(out, out_transposed)
    parallel_for(threads, _accumulate_chunk, (a, a_transposed, b, sums))
    if out_transposed:
        _store_transposed(sums, out)


def _dots_signature(dtype):
    matrix, vector, flag = types.Array(dtype, 2, "C"), types.Array(dtype, 1, "C"), types.boolean
    return (matrix, matrix, flag, vector, dtype, matrix, flag, types.int64)


def _combine_signature(dtype):
    matrix, vector, flag = types.Array(dtype, 2, "C"), types.Array(dtype, 1, "C"), types.boolean
    return (matrix, flag, matrix, flag, vector, dtype, matrix, types.int64)


def _accumulate_signature(dtype):
    matrix, flag = types.Array(dtype, 2, "C"), types.boolean
    return (matrix, flag, matrix, matrix, flag, types.int64)


DOTS = Compiled("skinny dots", _dots, _dots_signature, "out")
COMBINE = Compiled("skinny combine", _combine, _combine_signature, "out")
ACCUMULATE = Compiled("skinny accumulate", _accumulate, _accumulate_signature, "out")


def matmul(a, b, transpose_a, transpose_b, out):
    """out = op(a) @ op(b), with at least one extent of `LIMIT` or less."""
    dtype = a.dtype
    columns = out.shape[1]
    if (a.shape[0] if transpose_a else a.shape[1]) <= LIMIT:
        _few_terms(a, transpose_a, b, transpose_b, zeros(columns, dtype), 1.0, out)
    elif columns <= LIMIT and transpose_a:
        ACCUMULATE.launch(dtype, b, transpose_b, a, out, True, threads_for(a.size))
    elif columns <= LIMIT:
        DOTS.launch(dtype, a, b, not transpose_b, zeros(0, dtype), dtype.type(1), out, False, threads_for(a.size))
    elif transpose_b:  # few rows times many: computed as the transposed product, which has few columns
        DOTS.launch(dtype, b, a, transpose_a, zeros(0, dtype), dtype.type(1), out, True, threads_for(b.size))
    else:
        ACCUMULATE.launch(dtype, a, not transpose_a, b, out, False, threads_for(b.size))


def dense(x, w, b, slope, out):
    """out = leaky_relu(x @ w + b) with few inputs or few outputs."""
    if w.shape[0] <= LIMIT:
        _few_terms(x, False, w, False, b, slope, out)
    else:
        DOTS.launch(x.dtype, x, w, True, b, x.dtype.type(slope), out, False, threads_for(x.size))


def _few_terms(a, transpose_a, b, transpose_b, bias, slope, out):
    """out = leaky_relu(op(a) @ op(b) + bias), where the inner dimension is tiny."""
    slope, threads = a.dtype.type(slope), threads_for(out.size)
    COMBINE.launch(a.dtype, a, transpose_a, b, transpose_b, bias, slope, out, threads)
