"""Matrix products in which one extent is tiny: the first and the last layer of a network on few numbers.

A register tile is PANEL columns wide; on a product with 1 or 2 columns it would multiply zeros. Three shapes cover
all cases, each a loop over contiguous rows that LLVM turns into vectors:

    dots        out[i, j] = leaky(sum over k of a[i, k] b[j, k] + bias[j])     few j
    combine     out[i, :] = leaky(sum over k of a[i, k] b[k, :] + bias)        few k
    accumulate  out[i, :] = sum over k of a[k, i] b[k, :]                      few i

`dots` is a last layer forward, and a gradient to few inputs; `combine` a first layer forward, and a last layer's
gradient to its inputs; `accumulate` the gradient of the weights of either.

They read or write the large operand once: memory-bound. That one must lie in rows as above; the small operand, and the
result where it is small, may be stored transposed: they are read or stored column by column, which takes little
beside the rest. Only `combine`, whose sums are short, is shared among threads: the bits are always the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.jit import Compiled, clear, gated, inner, threads_for
from minigan_kernels.numba.memory import zeros
from minigan_kernels.numba.parallel_for import parallel_for

LIMIT = 4  # extents up to this are tiny


@inner
def _empty(rows, columns, like):
    """Numba takes a while to compile this: once is enough."""
    return np.empty((rows, columns), like.dtype)


@inner
def _rows(matrix, transposed):
    """op(matrix), row-major."""
    if not transposed:
        return matrix
    out = _empty(matrix.shape[1], matrix.shape[0], matrix)
    for j in range(matrix.shape[1]):
        target = out[j]
        for i in range(target.size):
            target[i] = matrix[i, j]
    return out


@njit(fastmath={"reassoc", "contract"}, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _sum_products(a, b, out):
    for i in range(out.shape[0]):
        row = a[i]
        for j in range(out.shape[1]):
            other = b[j]
            total = a.dtype.type(0)
            for k in range(row.size):
                total += row[k] * other[k]
            out[i, j] = total


@inner
def _room(out, transposed):
    """Memory for op(out): that of `out` where it lies in the same order."""
    rows, columns = (out.shape[1], out.shape[0]) if transposed else out.shape
    same = not transposed or rows == 1 or columns == 1
    return out.reshape((rows, columns)) if same else _empty(rows, columns, out)


@inner
def _store(sums, out):
    """out = sums.T, unless they share their memory; see `_room`."""
    if out.shape[0] == 1 or out.shape[1] == 1:
        return
    for i in range(out.shape[0]):
        target = out[i]
        for j in range(target.size):
            target[j] = sums[j, i]


@inner
def _shift_and_bend(sums, bias, slope):
    for i in range(sums.shape[0]):
        target = sums[i]
        for j in range(target.size):
            total = target[j] + bias[j]
            target[j] = gated(total, total, slope)


@njit
def _dots(a, b, b_transposed, bias, slope, out, out_transposed):
    """Without a bias (of size 0) the sums are left as they are."""
    sums = _room(out, out_transposed)
    _sum_products(a, _rows(b, b_transposed), sums)
    if bias.size:
        _shift_and_bend(sums, bias, slope)
    if out_transposed:
        _store(sums, out)


@inner
def _term(a, transposed, i, k):
    """op(a)[i, k], or 0 past the last term."""
    if transposed:
        return a[k, i] if k < a.shape[0] else a.dtype.type(0)
    return a[i, k] if k < a.shape[1] else a.dtype.type(0)


@inner
def _combine_share(t, threads, a, a_transposed, b, bias, slope, out):
    """`b` has LIMIT rows: those past the terms of `a` are zero, so that one pass over `out` does it all."""
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    for i in range(t * out.shape[0] // threads, (t + 1) * out.shape[0] // threads):
        target = out[i]
        a0, a1 = _term(a, a_transposed, i, 0), _term(a, a_transposed, i, 1)
        a2, a3 = _term(a, a_transposed, i, 2), _term(a, a_transposed, i, 3)
        for j in range(target.size):
            total = a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j] + bias[j]
            target[j] = gated(total, total, slope)


@njit
def _combine(a, a_transposed, b, b_transposed, bias, slope, out, threads):
    padded = _empty(LIMIT, out.shape[1], out)
    for k in range(LIMIT):
        target = padded[k]
        for j in range(target.size):
            target[j] = _term(b, not b_transposed, j, k)
    parallel_for(threads, _combine_share, (a, a_transposed, padded, bias, slope, out))


@inner
def _add_rows(a, a_transposed, b, sums):
    clear(sums.reshape(-1))
    for k in range(b.shape[0]):
        row = b[k]
        for i in range(sums.shape[0]):
            factor, target = a[i, k] if a_transposed else a[k, i], sums[i]
            for j in range(row.size):
                target[j] += factor * row[j]


@njit
def _accumulate(a, a_transposed, b, out, out_transposed):
    sums = _room(out, out_transposed)
    _add_rows(a, a_transposed, b, sums)
    if out_transposed:
        _store(sums, out)


def _dots_signature(number):
    matrix, vector, flag = types.Array(number, 2, "C"), types.Array(number, 1, "C"), types.boolean
    return (matrix, matrix, flag, vector, number, matrix, flag)


def _combine_signature(number):
    matrix, vector, flag = types.Array(number, 2, "C"), types.Array(number, 1, "C"), types.boolean
    return (matrix, flag, matrix, flag, vector, number, matrix, types.int64)


def _accumulate_signature(number):
    matrix, flag = types.Array(number, 2, "C"), types.boolean
    return (matrix, flag, matrix, matrix, flag)


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
        ACCUMULATE.launch(dtype, b, transpose_b, a, out, True)
    elif columns <= LIMIT:
        DOTS.launch(dtype, a, b, not transpose_b, zeros(0, dtype), dtype.type(1), out, False)
    elif transpose_b:  # few rows against rows: the transpose of few columns
        DOTS.launch(dtype, b, a, transpose_a, zeros(0, dtype), dtype.type(1), out, True)
    else:
        ACCUMULATE.launch(dtype, a, not transpose_a, b, out, False)


def dense(x, w, b, slope, out):
    """out = leaky(x @ w + b) with few inputs or few outputs."""
    if w.shape[0] <= LIMIT:
        _few_terms(x, False, w, False, b, slope, out)
    else:
        DOTS.launch(x.dtype, x, w, True, b, x.dtype.type(slope), out, False)


def _few_terms(a, transpose_a, b, transpose_b, bias, slope, out):
    slope, threads = a.dtype.type(slope), threads_for(out.size)
    COMBINE.launch(a.dtype, a, transpose_a, b, transpose_b, bias, slope, out, threads)
