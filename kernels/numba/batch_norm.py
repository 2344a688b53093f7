"""Batch normalisation fused with LeakyReLU (Ioffe and Szegedy, 2015) on a (rows, channels) matrix, and its VJP.

    y  = leaky_relu(gamma * xhat + beta)        xhat = (x - mean) / sqrt(variance + eps), moments over the rows
    h  = g where gamma * xhat + beta > 0, slope * g elsewhere
    dx = gamma / sqrt(variance + eps) * (h - mean(h) - xhat * mean(h * xhat))
    dgamma = sum(h * xhat)                      dbeta = sum(h)

Memory-bound: the forward pass reads x twice and writes y; the backward pass reads g and x twice and writes dx. The
matrix is divided into blocks that fit into the second-level cache. The mean of a block and the sum of squared
deviations from it are computed while the block is in the cache, and the moments of the blocks are merged with the
formula of Chan, Golub and LeVeque (1983): E[x^2] - E[x]^2 would lose all digits when the mean is large. Blocks are
merged in a fixed order, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import output_array
from minigan_kernels.numba.jit import Compiled, clear, inner, leaky_relu, leaky_relu_grad, threads_for
from minigan_kernels.numba.memory import row_major
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.sums import GROUP, add_rows

_BLOCK_COLUMNS = 512
_BLOCK_ELEMENTS = 16384  # 64 KiB of float32
_MAX_BLOCK_ROWS = 512  # the rows of a block are added one after another, so the rounding error grows with their number


@inner
def _block(x, row_blocks, task):
    """(row block, first row, end row, first column, end column) of block number `task`.

    A strip of `_BLOCK_COLUMNS` columns is divided into `row_blocks` blocks, which are numbered strip by strip.
    """
    rows, columns = x.shape
    strip = task // row_blocks
    row_block = task - strip * row_blocks
    top, bottom = row_block * rows // row_blocks, (row_block + 1) * rows // row_blocks
    left = strip * _BLOCK_COLUMNS
    return row_block, top, bottom, left, min(columns, left + _BLOCK_COLUMNS)


@inner
def _moments_of_block(x, means, squares, task):
    """The mean of each column of a block, and the sum of squared deviations from it."""
    row_block, top, bottom, left, right = _block(x, means.shape[0], task)
    block_mean, block_squares = means[row_block, left:right], squares[row_block, left:right]
    clear(block_mean)
    clear(block_squares)
    # Subtracting the first row keeps the summands near 0: their sum loses no digits, however large the mean is.
    origin = x[top, left:right]
    for i in range(top + 1, bottom):
        row = x[i, left:right]
        for j in range(row.size):
            block_mean[j] += row[j] - origin[j]
    count = x.dtype.type(bottom - top)
    for j in range(block_mean.size):
        block_mean[j] = origin[j] + block_mean[j] / count
    for i in range(top, bottom):
        row = x[i, left:right]
        for j in range(row.size):
            distance = row[j] - block_mean[j]
            block_squares[j] += distance * distance


@inner
def _merge(rows, means, squares, mean, variance):
    """The moments of all rows from those of the row blocks, which divide the rows evenly; these are overwritten.

    Blocks are merged in groups, groups of groups and so on: adding single blocks to a mean over very many rows would
    lose their digits.
    """
    blocks = count = means.shape[0]
    width = 1  # blocks in each of the `count` entries
    while count > 1:
        groups = (count + GROUP - 1) // GROUP
        for group in range(groups):
            first, last = group * GROUP, min(count, (group + 1) * GROUP)
            _merge_group(rows, blocks, width, means, squares, group, first, last)
        count, width = groups, width * GROUP
    cast = mean.dtype.type
    for j in range(mean.size):
        mean[j], variance[j] = means[0, j], squares[0, j] / cast(rows)


@inner
def _merge_group(rows, blocks, width, means, squares, group, first, last):
    """Merge entries first..last-1, each of `width` blocks, into entry `group`."""
    cast = means.dtype.type
    mean, square = means[group], squares[group]
    if group:
        for j in range(mean.size):
            mean[j], square[j] = means[first, j], squares[first, j]
    start = first * width * rows // blocks
    for entry in range(first + 1, last):
        before = entry * width * rows // blocks - start
        after = min(blocks, (entry + 1) * width) * rows // blocks - start
        fraction = cast((after - before) / after)
        weight = cast(before) * fraction
        for j in range(mean.size):
            distance = means[entry, j] - mean[j]
            mean[j] += distance * fraction
            square[j] += squares[entry, j] + distance * distance * weight


@inner
def _inverse_standard_deviation(variance, eps, out):
    one = variance.dtype.type(1)
    for j in range(out.size):
        out[j] = one / np.sqrt(variance[j] + eps)


@inner
def _normalise_block(x, gamma, beta, slope, mean, inverse_std, y, row_blocks, task):
    _, top, bottom, left, right = _block(x, row_blocks, task)
    block_mean, block_inverse_std = mean[left:right], inverse_std[left:right]
    block_gamma, block_beta = gamma[left:right], beta[left:right]
    for i in range(top, bottom):
        row, out = x[i, left:right], y[i, left:right]
        for j in range(row.size):
            value = (row[j] - block_mean[j]) * block_inverse_std[j] * block_gamma[j] + block_beta[j]
            out[j] = leaky_relu(value, slope)


@inner
def _moments_chunk(t, threads, x, means, squares, tasks):
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        _moments_of_block(x, means, squares, task)


@inner
def _normalise_chunk(t, threads, x, gamma, beta, slope, mean, inverse_std, y, row_blocks, tasks):
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        _normalise_block(x, gamma, beta, slope, mean, inverse_std, y, row_blocks, task)


@njit
def _forward(x, gamma, beta, eps, slope, y, mean, variance, inverse_std, means, squares, tasks, threads):
    parallel_for(threads, _moments_chunk, (x, means, squares, tasks))
    _merge(x.shape[0], means, squares, mean, variance)
    _inverse_standard_deviation(variance, eps, inverse_std)
    parallel_for(threads, _normalise_chunk, (x, gamma, beta, slope, mean, inverse_std, y, means.shape[0], tasks))


@inner
def _gradient_sums_of_block(g, x, gamma, beta, slope, mean, inverse_std, sums_h, sums_hx, task):
    row_block, top, bottom, left, right = _block(x, sums_h.shape[0], task)
    total_h, total_hx = sums_h[row_block, left:right], sums_hx[row_block, left:right]
    block_mean, block_inverse_std = mean[left:right], inverse_std[left:right]
    block_gamma, block_beta = gamma[left:right], beta[left:right]
    clear(total_h)
    clear(total_hx)
    for i in range(top, bottom):
        g_row, x_row = g[i, left:right], x[i, left:right]
        for j in range(x_row.size):
            xhat = (x_row[j] - block_mean[j]) * block_inverse_std[j]
            h = leaky_relu_grad(xhat * block_gamma[j] + block_beta[j], g_row[j], slope)
            total_h[j] += h
            total_hx[j] += h * xhat


@inner
def _gradient_of_block(g, x, gamma, beta, slope, mean, inverse_std, dgamma, dbeta, dx, row_blocks, task):
    rows = x.dtype.type(x.shape[0])
    _, top, bottom, left, right = _block(x, row_blocks, task)
    block_mean, block_inverse_std = mean[left:right], inverse_std[left:right]
    block_gamma, block_beta = gamma[left:right], beta[left:right]
    block_dgamma, block_dbeta = dgamma[left:right], dbeta[left:right]
    for i in range(top, bottom):
        g_row, x_row, out = g[i, left:right], x[i, left:right], dx[i, left:right]
        for j in range(x_row.size):
            xhat = (x_row[j] - block_mean[j]) * block_inverse_std[j]
            h = leaky_relu_grad(xhat * block_gamma[j] + block_beta[j], g_row[j], slope)
            centred = h - block_dbeta[j] / rows - xhat * (block_dgamma[j] / rows)
            out[j] = block_gamma[j] * block_inverse_std[j] * centred


@inner
def _gradient_sums_chunk(t, threads, g, x, gamma, beta, slope, mean, inverse_std, sums_h, sums_hx, tasks):
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        _gradient_sums_of_block(g, x, gamma, beta, slope, mean, inverse_std, sums_h, sums_hx, task)


@inner
def _gradient_chunk(t, threads, g, x, gamma, beta, slope, mean, inverse_std, dgamma, dbeta, dx, row_blocks, tasks):
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        _gradient_of_block(g, x, gamma, beta, slope, mean, inverse_std, dgamma, dbeta, dx, row_blocks, task)


@njit
def _backward(
    g, x, gamma, beta, slope, mean, variance, inverse_std, eps, dx, dgamma, dbeta, sums_h, sums_hx, tasks, threads
):
    _inverse_standard_deviation(variance, eps, inverse_std)
    inputs = (g, x, gamma, beta, slope, mean, inverse_std)
    parallel_for(threads, _gradient_sums_chunk, (*inputs, sums_h, sums_hx, tasks))
    blocks = sums_h.shape[0]
    add_rows(sums_h, dbeta)
    add_rows(sums_hx, dgamma)
    parallel_for(threads, _gradient_chunk, (*inputs, dgamma, dbeta, dx, blocks, tasks))


def _forward_signature(dtype):
    matrix, vector = types.Array(dtype, 2, "C"), types.Array(dtype, 1, "C")
    integers = (types.int64,) * 2
    moments = (vector, vector, vector, matrix, matrix)
    return (matrix, vector, vector, dtype, dtype, matrix, *moments, *integers)


def _backward_signature(dtype):
    matrix, vector = types.Array(dtype, 2, "C"), types.Array(dtype, 1, "C")
    sums = (matrix, vector, vector, matrix, matrix)
    moments = (vector, vector, vector)
    return (matrix, matrix, vector, vector, dtype, *moments, dtype, *sums, types.int64, types.int64)


FORWARD = Compiled("batch_norm", _forward, _forward_signature, "y mean variance inverse_std means squares")
BACKWARD = Compiled("batch_norm_grad", _backward, _backward_signature, "inverse_std dx dgamma dbeta sums_h sums_hx")


def _blocks(x) -> tuple[int, int]:
    """(number of row blocks, number of blocks in all)."""
    rows, columns = x.shape
    row_blocks = max(1, rows * min(columns, _BLOCK_COLUMNS) // _BLOCK_ELEMENTS, -(-rows // _MAX_BLOCK_ROWS))
    return row_blocks, row_blocks * -(-columns // _BLOCK_COLUMNS)


def batch_norm(x, gamma, beta, eps, slope, out=None):
    """(y, mean, variance); see `reference.batch_norm`."""
    x, gamma, beta = row_major(x), row_major(gamma), row_major(beta)
    row_blocks, tasks = _blocks(x)
    cast = x.dtype.type
    y, mean, variance = out or (None, None, None)
    y = output_array(x.shape, x.dtype, y)
    mean, variance = output_array(gamma.shape, x.dtype, mean), output_array(gamma.shape, x.dtype, variance)
    inverse_std = np.empty(gamma.shape, x.dtype)
    means, squares = np.empty((2, row_blocks, x.shape[1]), x.dtype)
    FORWARD.launch(
        x.dtype, x, gamma, beta, cast(eps), cast(slope), y, mean, variance, inverse_std, means, squares, tasks,
        threads_for(4 * x.size),
    )  # fmt: skip
    return y, mean, variance


def batch_norm_grad(g, x, gamma, beta, mean, variance, eps, slope, out=None):
    """(dx, dgamma, dbeta); see `reference.batch_norm_grad`."""
    g, x, gamma, beta, mean, variance = map(row_major, (g, x, gamma, beta, mean, variance))
    row_blocks, tasks = _blocks(x)
    cast = x.dtype.type
    dx, dgamma, dbeta = out or (None, None, None)
    dx = output_array(x.shape, x.dtype, dx)
    dgamma, dbeta = output_array(gamma.shape, x.dtype, dgamma), output_array(gamma.shape, x.dtype, dbeta)
    inverse_std = np.empty(gamma.shape, x.dtype)
    sums_h, sums_hx = np.empty((2, row_blocks, x.shape[1]), x.dtype)
    BACKWARD.launch(
        x.dtype, g, x, gamma, beta, cast(slope), mean, variance, inverse_std, cast(eps), dx, dgamma, dbeta, sums_h,
        sums_hx, tasks, threads_for(4 * x.size),
    )  # fmt: skip
    return dx, dgamma, dbeta
