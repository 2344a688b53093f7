"""Batch normalisation forward and backward (Ioffe and Szegedy, 2015) on a (rows, channels) matrix.

    y  = gamma * xhat + beta            xhat = (x - mean) / sqrt(variance + eps), moments over the rows
    dx = gamma / sqrt(variance + eps) * (g - mean(g) - xhat * mean(g * xhat))
    dgamma = sum(g * xhat)              dbeta = sum(g)

The variance is taken around the mean in a second pass: E[x^2] - E[x]^2 loses all digits when the mean is large.
Memory-bound: three passes forward (12 bytes read and 4 written a number), two backward. The work is cut into
blocks of ROWS x COLUMNS, whose sums are added in order, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange, types

from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import plain

_ROWS = 256  # a block of 256 x 64 float32 is 64 KiB: it stays in the second-level cache between passes
_COLUMNS = 64


@inner
def _block(task, rows, columns):
    """The (row block, first row, end row, first column, end column) numbered `task`."""
    across = (columns + _COLUMNS - 1) // _COLUMNS
    down = task // across
    left = (task - down * across) * _COLUMNS
    return down, down * _ROWS, min(rows, (down + 1) * _ROWS), left, min(columns, left + _COLUMNS)


@inner
def _sum_block(x, partial, task):
    down, top, bottom, left, right = _block(task, x.shape[0], x.shape[1])
    total = partial[down, left:right]
    total[:] = 0
    for i in range(top, bottom):
        row = x[i, left:right]
        for j in range(row.size):
            total[j] += row[j]


@inner
def _square_block(x, mean, partial, task):
    down, top, bottom, left, right = _block(task, x.shape[0], x.shape[1])
    total, centre = partial[down, left:right], mean[left:right]
    total[:] = 0
    for i in range(top, bottom):
        row = x[i, left:right]
        for j in range(row.size):
            distance = row[j] - centre[j]
            total[j] += distance * distance


@inner
def _normalise_block(x, gamma, beta, mean, scale, y, task):
    _, top, bottom, left, right = _block(task, x.shape[0], x.shape[1])
    centre, steepness = mean[left:right], scale[left:right]
    stretch, shift = gamma[left:right], beta[left:right]
    for i in range(top, bottom):
        row, out = x[i, left:right], y[i, left:right]
        for j in range(row.size):
            out[j] = (row[j] - centre[j]) * steepness[j] * stretch[j] + shift[j]


@inner
def _add_blocks(partial, divisor, out):
    out[:] = partial[0]
    for down in range(1, partial.shape[0]):
        for j in range(out.size):
            out[j] += partial[down, j]
    for j in range(out.size):
        out[j] /= divisor


@inner
def _inverse_root(variance, eps, out):
    one = variance.dtype.type(1)
    for j in range(out.size):
        out[j] = one / np.sqrt(variance[j] + eps)


@njit(parallel={"fusion": False}, cache=True)
def _forward(x, gamma, beta, eps, y, mean, variance, partial, tasks, threads):
    for t in prange(threads):
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            _sum_block(x, partial, task)
    _add_blocks(partial, x.shape[0], mean)
    for t in prange(threads):
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            _square_block(x, mean, partial, task)
    _add_blocks(partial, x.shape[0], variance)
    scale = np.empty_like(variance)
    _inverse_root(variance, eps, scale)
    for t in prange(threads):
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            _normalise_block(x, gamma, beta, mean, scale, y, task)


@inner
def _gradient_sums_block(g, x, mean, scale, partial_g, partial_gx, task):
    down, top, bottom, left, right = _block(task, x.shape[0], x.shape[1])
    total_g, total_gx = partial_g[down, left:right], partial_gx[down, left:right]
    centre, steepness = mean[left:right], scale[left:right]
    total_g[:] = 0
    total_gx[:] = 0
    for i in range(top, bottom):
        g_row, x_row = g[i, left:right], x[i, left:right]
        for j in range(x_row.size):
            total_g[j] += g_row[j]
            total_gx[j] += g_row[j] * ((x_row[j] - centre[j]) * steepness[j])


@inner
def _gradient_block(g, x, gamma, mean, scale, dgamma, dbeta, dx, task):
    rows = x.dtype.type(x.shape[0])
    _, top, bottom, left, right = _block(task, x.shape[0], x.shape[1])
    centre, steepness, stretch = mean[left:right], scale[left:right], gamma[left:right]
    sum_gx, sum_g = dgamma[left:right], dbeta[left:right]
    for i in range(top, bottom):
        g_row, x_row, out = g[i, left:right], x[i, left:right], dx[i, left:right]
        for j in range(x_row.size):
            xhat = (x_row[j] - centre[j]) * steepness[j]
            out[j] = stretch[j] * steepness[j] * (g_row[j] - sum_g[j] / rows - xhat * (sum_gx[j] / rows))


@njit(parallel={"fusion": False}, cache=True)
def _backward(g, x, gamma, mean, variance, eps, dx, dgamma, dbeta, partial_g, partial_gx, tasks, threads):
    scale = np.empty_like(variance)
    _inverse_root(variance, eps, scale)
    for t in prange(threads):
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            _gradient_sums_block(g, x, mean, scale, partial_g, partial_gx, task)
    _add_blocks(partial_g, 1, dbeta)
    _add_blocks(partial_gx, 1, dgamma)
    for t in prange(threads):
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            _gradient_block(g, x, gamma, mean, scale, dgamma, dbeta, dx, task)


def _forward_signature(number):
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    return (matrix, vector, vector, number, matrix, vector, vector, matrix, types.int64, types.int64)


def _backward_signature(number):
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    return (matrix, matrix, vector, vector, vector, number, matrix, vector, vector, matrix, matrix) + (types.int64,) * 2


FORWARD = Compiled("batch_norm", _forward, _forward_signature)
BACKWARD = Compiled("batch_norm_grad", _backward, _backward_signature)


def _blocks(x) -> tuple[int, int]:
    down = max(1, -(-x.shape[0] // _ROWS))
    return down, down * -(-x.shape[1] // _COLUMNS)


def batch_norm(x, gamma, beta, eps):
    """(y, mean, variance); see `reference.batch_norm`."""
    x, gamma, beta = plain(x), plain(gamma), plain(beta)
    down, tasks = _blocks(x)
    y = np.empty_like(x)
    mean, variance = np.empty_like(gamma), np.empty_like(gamma)
    partial = np.empty((down, x.shape[1]), x.dtype)
    FORWARD[x.dtype](x, gamma, beta, x.dtype.type(eps), y, mean, variance, partial, tasks, threads_for(4 * x.size))
    return y, mean, variance


def batch_norm_grad(g, x, gamma, mean, variance, eps):
    """(dx, dgamma, dbeta); see `reference.batch_norm_grad`."""
    g, x, gamma, mean, variance = plain(g), plain(x), plain(gamma), plain(mean), plain(variance)
    down, tasks = _blocks(x)
    dx = np.empty_like(x)
    dgamma, dbeta = np.empty_like(gamma), np.empty_like(gamma)
    partial_g, partial_gx = np.empty((2, down, x.shape[1]), x.dtype)
    BACKWARD[x.dtype](
        g,
        x,
        gamma,
        mean,
        variance,
        x.dtype.type(eps),
        dx,
        dgamma,
        dbeta,
        partial_g,
        partial_gx,
        tasks,
        threads_for(4 * x.size),
    )
    return dx, dgamma, dbeta
