"""Batch normalisation forward and backward (Ioffe and Szegedy, 2015) on a (rows, channels) matrix, with LeakyReLU.

    y  = leaky(gamma * xhat + beta)     xhat = (x - mean) / sqrt(variance + eps), moments over the rows
    h  = g where gamma * xhat + beta > 0, slope * g elsewhere
    dx = gamma / sqrt(variance + eps) * (h - mean(h) - xhat * mean(h * xhat))
    dgamma = sum(h * xhat)              dbeta = sum(h)

Memory-bound: forward reads x twice and writes y, backward reads g and x twice and writes dx. The work is cut into
blocks that fit the second-level cache. A block's mean and its squares around that mean are taken while it is there,
and the blocks' moments are merged by Chan, Golub and LeVeque's formula (1983): E[x^2] - E[x]^2 would lose all digits
when the mean is large. Blocks are merged in order, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import result
from minigan_kernels.numba.jit import Compiled, clear, gated, inner, threads_for
from minigan_kernels.numba.memory import plain
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.sums import GROUP, add_rows

_COLUMNS = 512
_NUMBERS = 16384  # of a block: 64 KiB of float32
_ROWS = 512  # of a block, at most: they are added one after another


@inner
def _block(x, down, task):
    """(row block, first row, end row, first column, end column) of block `task`, of `down` blocks of rows."""
    rows, columns = x.shape
    strip = task // down
    row_block = task - strip * down
    left = strip * _COLUMNS
    return row_block, row_block * rows // down, (row_block + 1) * rows // down, left, min(columns, left + _COLUMNS)


@inner
def _moments_of_block(x, means, squares, task):
    """The mean of each column of a block, and the sum of squares around it."""
    row_block, top, bottom, left, right = _block(x, means.shape[0], task)
    centre, total = means[row_block, left:right], squares[row_block, left:right]
    clear(centre)
    clear(total)
    origin = x[top, left:right]  # sums of what lies around 0 keep their digits, however large the mean is
    for i in range(top + 1, bottom):
        row = x[i, left:right]
        for j in range(row.size):
            centre[j] += row[j] - origin[j]
    count = x.dtype.type(bottom - top)
    for j in range(centre.size):
        centre[j] = origin[j] + centre[j] / count
    for i in range(top, bottom):
        row = x[i, left:right]
        for j in range(row.size):
            distance = row[j] - centre[j]
            total[j] += distance * distance


@inner
def _merge(rows, means, squares, mean, variance):
    """The moments of all rows from those of the blocks, which are spread evenly over them, and are overwritten.

    In groups of blocks, groups of groups and so on: a mean of very many would no longer be moved by the next one.
    """
    blocks = count = means.shape[0]
    width = 1  # blocks in each of the `count` entries
    while count > 1:
        groups = (count + GROUP - 1) // GROUP
        for group in range(groups):
            first, last = group * GROUP, min(count, (group + 1) * GROUP)
            _merge_group(rows, blocks, width, means, squares, group, first, last)
        count, width = groups, width * GROUP
    number = mean.dtype.type
    for j in range(mean.size):
        mean[j], variance[j] = means[0, j], squares[0, j] / number(rows)


@inner
def _merge_group(rows, blocks, width, means, squares, group, first, last):
    """Entries first..last-1, each of `width` blocks, into entry `group`."""
    number = means.dtype.type
    mean, square = means[group], squares[group]
    if group:
        for j in range(mean.size):
            mean[j], square[j] = means[first, j], squares[first, j]
    start = first * width * rows // blocks
    for entry in range(first + 1, last):
        before = entry * width * rows // blocks - start
        after = min(blocks, (entry + 1) * width) * rows // blocks - start
        share = number((after - before) / after)
        weight = number(before) * share
        for j in range(mean.size):
            distance = means[entry, j] - mean[j]
            mean[j] += distance * share
            square[j] += squares[entry, j] + distance * distance * weight


@inner
def _inverse_root(variance, eps, out):
    one = variance.dtype.type(1)
    for j in range(out.size):
        out[j] = one / np.sqrt(variance[j] + eps)


@inner
def _normalise_block(x, gamma, beta, slope, mean, scale, y, down, task):
    _, top, bottom, left, right = _block(x, down, task)
    centre, steepness = mean[left:right], scale[left:right]
    stretch, shift = gamma[left:right], beta[left:right]
    for i in range(top, bottom):
        row, out = x[i, left:right], y[i, left:right]
        for j in range(row.size):
            value = (row[j] - centre[j]) * steepness[j] * stretch[j] + shift[j]
            out[j] = gated(value, value, slope)


@inner
def _moments_share(t, threads, x, means, squares, tasks):
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        _moments_of_block(x, means, squares, task)


@inner
def _normalise_share(t, threads, x, gamma, beta, slope, mean, scale, y, down, tasks):
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        _normalise_block(x, gamma, beta, slope, mean, scale, y, down, task)


@njit
def _forward(x, gamma, beta, eps, slope, y, mean, variance, scale, means, squares, tasks, threads):
    parallel_for(threads, _moments_share, (x, means, squares, tasks))
    _merge(x.shape[0], means, squares, mean, variance)
    _inverse_root(variance, eps, scale)
    parallel_for(threads, _normalise_share, (x, gamma, beta, slope, mean, scale, y, means.shape[0], tasks))


@inner
def _gradient_sums_of_block(g, x, gamma, beta, slope, mean, scale, sums_h, sums_hx, task):
    row_block, top, bottom, left, right = _block(x, sums_h.shape[0], task)
    total_h, total_hx = sums_h[row_block, left:right], sums_hx[row_block, left:right]
    centre, steepness = mean[left:right], scale[left:right]
    stretch, shift = gamma[left:right], beta[left:right]
    clear(total_h)
    clear(total_hx)
    for i in range(top, bottom):
        g_row, x_row = g[i, left:right], x[i, left:right]
        for j in range(x_row.size):
            xhat = (x_row[j] - centre[j]) * steepness[j]
            h = gated(xhat * stretch[j] + shift[j], g_row[j], slope)
            total_h[j] += h
            total_hx[j] += h * xhat


@inner
def _gradient_of_block(g, x, gamma, beta, slope, mean, scale, dgamma, dbeta, dx, down, task):
    rows = x.dtype.type(x.shape[0])
    _, top, bottom, left, right = _block(x, down, task)
    centre, steepness = mean[left:right], scale[left:right]
    stretch, shift = gamma[left:right], beta[left:right]
    sum_hx, sum_h = dgamma[left:right], dbeta[left:right]
    for i in range(top, bottom):
        g_row, x_row, out = g[i, left:right], x[i, left:right], dx[i, left:right]
        for j in range(x_row.size):
            xhat = (x_row[j] - centre[j]) * steepness[j]
            h = gated(xhat * stretch[j] + shift[j], g_row[j], slope)
            out[j] = stretch[j] * steepness[j] * (h - sum_h[j] / rows - xhat * (sum_hx[j] / rows))


@inner
def _sums_share(t, threads, g, x, gamma, beta, slope, mean, scale, sums_h, sums_hx, tasks):
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        _gradient_sums_of_block(g, x, gamma, beta, slope, mean, scale, sums_h, sums_hx, task)


@inner
def _gradient_share(t, threads, g, x, gamma, beta, slope, mean, scale, dgamma, dbeta, dx, down, tasks):
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        _gradient_of_block(g, x, gamma, beta, slope, mean, scale, dgamma, dbeta, dx, down, task)


@njit
def _backward(g, x, gamma, beta, slope, mean, variance, scale, eps, dx, dgamma, dbeta, sums_h, sums_hx, tasks, threads):
    _inverse_root(variance, eps, scale)
    inputs = (g, x, gamma, beta, slope, mean, scale)
    parallel_for(threads, _sums_share, (*inputs, sums_h, sums_hx, tasks))
    blocks = sums_h.shape[0]
    add_rows(sums_h, dbeta)
    add_rows(sums_hx, dgamma)
    parallel_for(threads, _gradient_share, (*inputs, dgamma, dbeta, dx, blocks, tasks))


def _forward_signature(number):
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    integers = (types.int64,) * 2
    moments = (vector, vector, vector, matrix, matrix)
    return (matrix, vector, vector, number, number, matrix, *moments, *integers)


def _backward_signature(number):
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    sums = (matrix, vector, vector, matrix, matrix)
    moments = (vector, vector, vector)
    return (matrix, matrix, vector, vector, number, *moments, number, *sums, types.int64, types.int64)


FORWARD = Compiled("batch_norm", _forward, _forward_signature, "y mean variance scale means squares")
BACKWARD = Compiled("batch_norm_grad", _backward, _backward_signature, "scale dx dgamma dbeta sums_h sums_hx")


def _blocks(x) -> tuple[int, int]:
    """How many blocks of rows, and how many blocks in all."""
    rows, columns = x.shape
    down = max(1, rows * min(columns, _COLUMNS) // _NUMBERS, -(-rows // _ROWS))
    return down, down * -(-columns // _COLUMNS)


def batch_norm(x, gamma, beta, eps, slope, out=None):
    """(y, mean, variance); see `reference.batch_norm`."""
    x, gamma, beta = plain(x), plain(gamma), plain(beta)
    down, tasks = _blocks(x)
    number = x.dtype.type
    y, mean, variance = out or (None, None, None)
    y = result(x.shape, x.dtype, y)
    mean, variance = result(gamma.shape, x.dtype, mean), result(gamma.shape, x.dtype, variance)
    scale = np.empty(gamma.shape, x.dtype)
    means, squares = np.empty((2, down, x.shape[1]), x.dtype)
    FORWARD.launch(
        x.dtype, x, gamma, beta, number(eps), number(slope), y, mean, variance, scale, means, squares, tasks,
        threads_for(4 * x.size),
    )  # fmt: skip
    return y, mean, variance


def batch_norm_grad(g, x, gamma, beta, mean, variance, eps, slope, out=None):
    """(dx, dgamma, dbeta); see `reference.batch_norm_grad`."""
    g, x, gamma, beta, mean, variance = map(plain, (g, x, gamma, beta, mean, variance))
    down, tasks = _blocks(x)
    number = x.dtype.type
    dx, dgamma, dbeta = out or (None, None, None)
    dx = result(x.shape, x.dtype, dx)
    dgamma, dbeta = result(gamma.shape, x.dtype, dgamma), result(gamma.shape, x.dtype, dbeta)
    scale = np.empty(gamma.shape, x.dtype)
    sums_h, sums_hx = np.empty((2, down, x.shape[1]), x.dtype)
    BACKWARD.launch(
        x.dtype, g, x, gamma, beta, number(slope), mean, variance, scale, number(eps), dx, dgamma, dbeta, sums_h,
        sums_hx, tasks, threads_for(4 * x.size),
    )  # fmt: skip
    return dx, dgamma, dbeta
