"""Matrix products in which one extent is tiny: the first and the last layer of a network on few numbers.

A register tile is PANEL columns wide; on a product with 1 or 2 columns it would multiply zeros. Three shapes cover
all cases, each a loop over contiguous rows that LLVM turns into vectors:

    dots        out[i, j] = sum over k of a[i, k] b[j, k]       few j: a last layer forward, a gradient to few inputs
    combine     out[i, :] = sum over k of a[i, k] b[k, :]       few k: a first layer forward, a last layer's gradient
    accumulate  out[i, :] = sum over k of a[k, i] b[k, :]       few i: the gradient of the weights of either

They read or write the large operand once: memory-bound. Only `combine`, whose sums are short, is shared among
threads: the bits are always the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels import reference
from minigan_kernels.aligned import result
from minigan_kernels.numba.crew import share
from minigan_kernels.numba.jit import Compiled, clear, gated, inner, threads_for

LIMIT = 4  # extents up to this are tiny


@njit(fastmath={"reassoc", "contract"}, error_model="numpy")
def _dots(a, b, out):
    for i in range(out.shape[0]):
        row = a[i]
        for j in range(out.shape[1]):
            other = b[j]
            total = a.dtype.type(0)
            for k in range(row.size):
                total += row[k] * other[k]
            out[i, j] = total


@inner
def _combine_share(t, threads, a, b, bias, slope, out):
    """`b` has LIMIT rows: those past the terms of `a` are zero, so that one pass over `out` does it all."""
    terms = a.shape[1]
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    zero = a.dtype.type(0)
    for i in range(t * out.shape[0] // threads, (t + 1) * out.shape[0] // threads):
        target = out[i]
        a0 = a[i, 0]
        a1 = a[i, 1] if terms > 1 else zero
        a2 = a[i, 2] if terms > 2 else zero
        a3 = a[i, 3] if terms > 3 else zero
        for j in range(target.size):
            total = a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j] + bias[j]
            target[j] = gated(total, total, slope)


@njit
def _combine(a, b, bias, slope, out, threads):
    share(threads, _combine_share, (a, b, bias, slope, out))


@njit(error_model="numpy")
def _accumulate(a, b, out):
    clear(out.reshape(-1))
    for k in range(b.shape[0]):
        row = b[k]
        for i in range(out.shape[0]):
            factor, target = a[k, i], out[i]
            for j in range(row.size):
                target[j] += factor * row[j]


def _three_matrices(number):
    return (types.Array(number, 2, "C"),) * 3


def _combine_signature(number):
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    return (matrix, matrix, vector, number, matrix, types.int64)


DOTS = Compiled("skinny dots", _dots, _three_matrices)
COMBINE = Compiled("skinny combine", _combine, _combine_signature)
ACCUMULATE = Compiled("skinny accumulate", _accumulate, _three_matrices)


def matmul(a, b, transpose_a, transpose_b):
    """op(a) @ op(b), row-major and writable, with at least one extent of `LIMIT` or less."""
    depth = a.shape[0] if transpose_a else a.shape[1]
    columns = b.shape[0] if transpose_b else b.shape[1]
    if depth <= LIMIT:
        return _few_terms(_rows(a, transpose_a), b.T if transpose_b else b, np.zeros(columns, a.dtype), 1.0)
    if columns <= LIMIT:
        if transpose_a:  # the transpose of few rows
            out = _few_rows(_rows(b, transpose_b), a)
            return np.ascontiguousarray(out.T)
        return _few_columns(a, _rows(b, not transpose_b))
    if transpose_b:  # few rows against rows: the transpose of few columns
        return np.ascontiguousarray(_few_columns(b, _rows(a, transpose_a)).T)
    return _few_rows(_rows(a, not transpose_a), b)


def dense(x, w, b, slope):
    """leaky(x @ w + b) with few inputs or few outputs."""
    if w.shape[0] <= LIMIT:
        return _few_terms(x, w, b, slope)
    y = _few_columns(x, _rows(w, True)) + b
    return y if slope == 1 else reference.slope_gate(np, y, y, y.dtype.type(slope))


def _rows(matrix, transposed):
    """op(matrix), row-major."""
    return np.array(matrix.T, order="C") if transposed else matrix


def _few_columns(a, b):
    out = np.empty((a.shape[0], b.shape[0]), a.dtype)
    DOTS[a.dtype](a, b, out)
    return out


def _few_terms(a, b, bias, slope):
    out = result((a.shape[0], b.shape[1]), a.dtype)
    if not b.shape[0]:
        a = np.zeros((a.shape[0], 1), a.dtype)
    padded = np.zeros((LIMIT, b.shape[1]), a.dtype)
    padded[: b.shape[0]] = b
    COMBINE[a.dtype](a, padded, bias, a.dtype.type(slope), out, threads_for(out.size))
    return out


def _few_rows(a, b):
    out = np.empty((a.shape[1], b.shape[1]), a.dtype)
    ACCUMULATE[a.dtype](a, b, out)
    return out
