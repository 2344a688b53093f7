"""Batch normalisation fused with LeakyReLU (Ioffe and Szegedy, 2015) on a (rows, channels) matrix, and its VJP.

    y  = leaky_relu(gamma * xhat + beta)        xhat = (x - mean) / sqrt(variance + eps), moments over the rows
    h  = g where gamma * xhat + beta > 0, slope * g elsewhere
    dx = gamma / sqrt(variance + eps) * (h - mean(h) - xhat * mean(h * xhat))
    dgamma = sum(h * xhat)                      dbeta = sum(h)

Memory-bound: the forward pass reads x twice and writes y; the backward pass reads g and x twice and writes dx. Each
thread makes its second pass in reverse order, so that it begins with what the first has left in the caches. All that
is the same in a column is computed once: an element takes four operations in the forward's second pass, six and the
comparison in the backward's.

The matrix is divided into blocks. The moments of a block are computed in one pass, four rows at a time: their own
moments are merged with those of the rows before (Welford, 1962; Chan, Golub and LeVeque, 1983, for groups). The moments
of the blocks are merged from the same formula: E[x^2] - E[x]^2 would lose all digits when the mean is large. The blocks
and their order depend on the matrix alone, so the bits do not depend on the number of threads. A matrix of few columns
is treated as one of fewer rows and more columns (see `column_loops.fold`): each column then has several moments, which
are merged like those of blocks.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import output_array
from minigan_kernels.numba.column_loops import WIDTH, add_columns, column_loop, copy_columns, folded
from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import row_major
from minigan_kernels.numba.microkernel import address
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.sums import add_rows

_BLOCK_ELEMENTS = 1 << 15
_MAX_BLOCK_ROWS = 512  # the rows of a block are added one after another, so the rounding error grows with their number
_MULTIPLE = 16  # columns of a strip: a cache line of float32, so that no two threads write to one
_MIN_STRIP = 64  # columns of a block, at least: four cache lines of float32 in a row


# The arithmetic for one vector of columns. Moments are those of the distances from the first row: the summands are near
# 0, so that their sum loses no digits, however large the mean is.


def _four_rows(code, read, settings):
    """Merge four rows into the moments of the rows before; see `_moments_of_block`."""
    *rows, origin, mean, squares = read
    fraction, weight = settings
    distances = [code.subtract(row, origin) for row in rows]
    pairs = code.add(*distances[:2]), code.add(*distances[2:])
    own_mean = code.multiply(code.add(*pairs), code.constant(0.25))
    own_squares = squares
    for distance in distances:
        deviation = code.subtract(distance, own_mean)
        own_squares = code.multiply_add(deviation, deviation, own_squares)
    return _merged(code, mean, own_squares, own_mean, fraction, weight)


def _one_row(code, read, settings):
    row, origin, mean, squares = read
    return _merged(code, mean, squares, code.subtract(row, origin), *settings)


def _merged(code, mean, squares, added_mean, fraction, weight):
    distance = code.subtract(added_mean, mean)
    total = code.multiply_add(code.multiply(distance, distance), weight, squares)
    return [code.multiply_add(distance, fraction, mean), total]


def _normalise(code, read, settings):
    x, mean, scale, beta = read
    value = code.multiply_add(code.subtract(x, mean), scale, beta)
    return [code.leaky_relu(value, *settings)]


def _gated(code, g, x, mean, scale, beta, slope):
    """(x - mean, h). The value is computed as in `_normalise`, so that both take the same side of the kink."""
    centred = code.subtract(x, mean)
    return centred, code.slope_gate(code.multiply_add(centred, scale, beta), g, slope)


def _gradient_sums(code, read, settings):
    *row, sum_h, sum_hx = read
    centred, h = _gated(code, *row, *settings)
    return [code.add(sum_h, h), code.multiply_add(h, centred, sum_hx)]


def _gradient(code, read, settings):
    g, x, mean, scale, beta, mean_h, minus_slope_of_x = read
    centred, h = _gated(code, g, x, mean, scale, beta, *settings)
    return [code.multiply(code.multiply_add(centred, minus_slope_of_x, code.subtract(h, mean_h)), scale)]


def _zeros(code, read, zero):
    return [*zero, *zero]


def _divided(code, read, count):
    return [code.divide(*read, *count)]


def _multiplied(code, read, count):
    return [code.multiply(*read, *count)]


def _with_weighted_square(code, read, count):
    distance, squares = code.subtract(*read[:2]), read[2]
    return [code.multiply_add(code.multiply(distance, distance), *count, squares)]


def _scale(code, read, settings):
    """gamma / sqrt(variance + eps)."""
    gamma, variance = read
    return [code.divide(gamma, code.square_root(code.add(variance, *settings)))]


def _gradients_of_vectors(code, read, settings):
    """(dgamma, mean of h, minus the slope of dx / scale in x - mean) from the sums of h and of h * (x - mean)."""
    sum_h, sum_hx, variance = read
    eps, rows = settings
    deviation = code.square_root(code.add(variance, eps))
    dgamma = code.divide(sum_hx, deviation)
    slope = code.divide(code.divide(dgamma, deviation), rows)
    return [dgamma, code.divide(sum_h, rows), code.subtract(code.constant(-0.0), slope)]


_merge_four_rows, _merge_one_row = column_loop(_four_rows), column_loop(_one_row)
_normalise_row, _add_gradients, _gradient_row = map(column_loop, (_normalise, _gradient_sums, _gradient))
_clear_pair, _divide, _multiply, _add_weighted_square = map(
    column_loop, (_zeros, _divided, _multiplied, _with_weighted_square)
)
_scale_columns, _finish_gradients = column_loop(_scale), column_loop(_gradients_of_vectors)


# Numba compiles functions of numbers in a fraction of the time that functions of arrays take. So the functions below
# get the addresses of arrays; `shape` is that of the folded matrix: (rows, columns, bytes of a number).


@inner
def _block(shape, division, task):
    """(row block, first row, end row, first column, columns) of block number `task`, counted strip by strip."""
    rows, columns, _ = shape
    row_blocks, strip_width, _ = division
    strip = task // row_blocks
    block, left = task - strip * row_blocks, strip * strip_width
    width = columns - left if columns - left < strip_width else strip_width
    return block, block * rows // row_blocks, (block + 1) * rows // row_blocks, left, width


@inner
def _moments_chunk(t, threads, zero, x, origins, means, squares, shape, division):
    """For the blocks of thread t: each column's mean, as its distance from `origins`, and its squared deviations."""
    step, tasks = shape[1] * shape[2], division[2]
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        block, top, bottom, left, width = _block(shape, division, task)
        at = left * shape[2]
        origin, moments = origins + at, (means + block * step + at, squares + block * step + at)
        _clear_pair(zero, width, (), moments, (0.0,))
        whole = bottom - (bottom - top) % 4
        for i in range(top, whole, 4):
            row, before = x + i * step + at, float(i - top)
            four = (row, row + step, row + 2 * step, row + 3 * step)
            share = 4 / (before + 4)
            _merge_four_rows(zero, width, (*four, origin, *moments), moments, (share, before * share))
        for i in range(whole, bottom):
            share = 1 / (i - top + 1.0)
            _merge_one_row(zero, width, (x + i * step + at, origin, *moments), moments, (share, (i - top) * share))


@inner
def _merge(zero, origins, means, squares, weighted, entries, columns, size, rows, row_blocks, mean, variance):
    """The moments of all rows of x from those of `entries` parts of them, of which each row block has the same number.

    origins: see `_moments_chunk`. rows: those that the row blocks divide evenly. `squares` and `weighted` are
    overwritten.
    """
    each, step = entries // row_blocks, columns * size
    total = (float(rows * each),)
    for entry in range(entries):
        block, at = entry // each, entry * step
        count = (float((block + 1) * rows // row_blocks - block * rows // row_blocks),)
        _multiply(zero, columns, (means + at,), (weighted + at,), count)
    add_rows(zero, weighted, entries, columns, step, mean)
    _divide(zero, columns, (mean,), (mean,), total)
    for entry in range(entries):
        block, at = entry // each, entry * step
        count = (float((block + 1) * rows // row_blocks - block * rows // row_blocks),)
        _add_weighted_square(zero, columns, (means + at, mean, squares + at), (squares + at,), count)
    add_rows(zero, squares, entries, columns, step, variance)
    _divide(zero, columns, (variance,), (variance,), total)
    add_columns(zero, columns, (origins, mean), (mean,), ())


@inner
def _repeat(zero, source, count, target, columns, size):
    """Write the `count` numbers at the address `source` to `target`, as often as they fit into `columns` numbers."""
    for start in range(0, columns, count):
        copy_columns(zero, count, (source,), (target + start * size,), ())


@inner
def _normalise_chunk(t, threads, zero, x, table, slope, y, shape, division):
    step, tasks = shape[1] * shape[2], division[2]
    for task in range((t + 1) * tasks // threads - 1, t * tasks // threads - 1, -1):
        _, top, bottom, left, width = _block(shape, division, task)
        at = left * shape[2]
        vectors = (table + at, table + step + at, table + 2 * step + at)
        for i in range(top, bottom):
            _normalise_row(zero, width, (x + i * step + at, *vectors), (y + i * step + at,), (slope,))


@njit
def _forward(
    x, gamma, beta, eps, slope, y, mean, variance, table, scale, means, squares, weighted, row_blocks, strip_width,
    tasks, threads
):  # fmt: skip
    if not mean.size:
        return
    zero, count, size = x.dtype.type(0), mean.size, x.itemsize
    shape, division, step = (x.shape[0], x.shape[1], size), (row_blocks, strip_width, tasks), x.shape[1] * size
    at_x, at_table, at_mean, at_variance = address(x), address(table), address(mean), address(variance)
    at_means, at_squares = address(means), address(squares)
    if x.size:  # without rows the moments are NaN
        _repeat(zero, at_x, count, at_table, x.shape[1], size)
    parallel_for(threads, _moments_chunk, (zero, at_x, at_table, at_means, at_squares, shape, division))
    _merge(
        zero, at_table, at_means, at_squares, address(weighted), means.shape[0], count, size, x.shape[0], row_blocks,
        at_mean, at_variance,
    )  # fmt: skip
    _scale_columns(zero, count, (address(gamma), at_variance), (address(scale),), (eps,))
    _repeat(zero, at_mean, count, at_table, x.shape[1], size)
    _repeat(zero, address(scale), count, at_table + step, x.shape[1], size)
    _repeat(zero, address(beta), count, at_table + 2 * step, x.shape[1], size)
    parallel_for(threads, _normalise_chunk, (zero, at_x, at_table, slope, address(y), shape, division))


@inner
def _gradient_sums_chunk(t, threads, zero, g, x, table, slope, sums_h, sums_hx, shape, division):
    step, tasks = shape[1] * shape[2], division[2]
    for task in range(t * tasks // threads, (t + 1) * tasks // threads):
        block, top, bottom, left, width = _block(shape, division, task)
        at = left * shape[2]
        vectors = (table + at, table + step + at, table + 2 * step + at)
        sums = (sums_h + block * step + at, sums_hx + block * step + at)
        _clear_pair(zero, width, (), sums, (0.0,))
        for i in range(top, bottom):
            _add_gradients(zero, width, (g + i * step + at, x + i * step + at, *vectors, *sums), sums, (slope,))


@inner
def _gradient_chunk(t, threads, zero, g, x, table, slope, dx, shape, division):
    step, tasks = shape[1] * shape[2], division[2]
    for task in range((t + 1) * tasks // threads - 1, t * tasks // threads - 1, -1):
        _, top, bottom, left, width = _block(shape, division, task)
        first = table + left * shape[2]
        vectors = (first, first + step, first + 2 * step, first + 3 * step, first + 4 * step)
        for i in range(top, bottom):
            at = i * step + left * shape[2]
            _gradient_row(zero, width, (g + at, x + at, *vectors), (dx + at,), (slope,))


@njit
def _backward(
    g, x, gamma, beta, slope, mean, variance, eps, dx, dgamma, dbeta, table, vectors, sums_h, sums_hx, row_blocks,
    strip_width, tasks, threads
):  # fmt: skip
    if not mean.size:
        return
    zero, count, size, columns = x.dtype.type(0), mean.size, x.itemsize, x.shape[1]
    shape, division, step = (x.shape[0], columns, size), (row_blocks, strip_width, tasks), columns * size
    at_g, at_x, at_table, at_variance = address(g), address(x), address(table), address(variance)
    at_scale, at_sums_h, at_sums_hx = address(vectors), address(sums_h), address(sums_hx)
    at_dgamma, at_dbeta, at_mean_h, at_slope = (
        address(dgamma), address(dbeta), at_scale + count * size, at_scale + 2 * count * size
    )  # fmt: skip
    _scale_columns(zero, count, (address(gamma), at_variance), (at_scale,), (eps,))
    _repeat(zero, address(mean), count, at_table, columns, size)
    _repeat(zero, at_scale, count, at_table + step, columns, size)
    _repeat(zero, address(beta), count, at_table + 2 * step, columns, size)
    inputs = (zero, at_g, at_x, at_table, slope)
    parallel_for(threads, _gradient_sums_chunk, (*inputs, at_sums_h, at_sums_hx, shape, division))
    add_rows(zero, at_sums_h, sums_h.shape[0], count, count * size, at_dbeta)
    add_rows(zero, at_sums_hx, sums_h.shape[0], count, count * size, at_dgamma)
    settings = (eps, float(x.size // count))
    sources, targets = (at_dbeta, at_dgamma, at_variance), (at_dgamma, at_mean_h, at_slope)
    _finish_gradients(zero, count, sources, targets, settings)
    _repeat(zero, at_mean_h, count, at_table + 3 * step, columns, size)
    _repeat(zero, at_slope, count, at_table + 4 * step, columns, size)
    parallel_for(threads, _gradient_chunk, (*inputs, address(dx), shape, division))


def _forward_signature(dtype):
    matrix, vector = types.Array(dtype, 2, "C"), types.Array(dtype, 1, "C")
    moments = (vector, vector, matrix, vector, matrix, matrix, matrix)
    return (matrix, vector, vector, dtype, dtype, matrix, *moments, *(types.int64,) * 4)


def _backward_signature(dtype):
    matrix, vector = types.Array(dtype, 2, "C"), types.Array(dtype, 1, "C")
    results = (matrix, vector, vector, *(matrix,) * 4)
    return (matrix, matrix, vector, vector, dtype, vector, vector, dtype, *results, *(types.int64,) * 4)


FORWARD = Compiled("batch_norm", _forward, _forward_signature, "y mean variance table scale means squares weighted")
BACKWARD = Compiled("batch_norm_grad", _backward, _backward_signature, "dx dgamma dbeta table vectors sums_h sums_hx")


def _division(shape: tuple[int, int], threads: int) -> tuple[int, int, int]:
    """(row blocks, columns of a strip, blocks in all) of a folded matrix; of these only the first affects the bits."""
    rows, columns = shape
    row_blocks = max(1, rows * min(columns, WIDTH) // _BLOCK_ELEMENTS, -(-rows // _MAX_BLOCK_ROWS))
    strips = max(1, -(-columns // WIDTH))
    if row_blocks % threads and columns >= threads * _MIN_STRIP:
        strips = -(-strips // threads) * threads
    strip_width = -(-columns // strips // _MULTIPLE) * _MULTIPLE
    return row_blocks, strip_width, row_blocks * -(-columns // max(strip_width, 1))


def batch_norm(x, gamma, beta, eps, slope, out=None):
    """(y, mean, variance); see `reference.batch_norm`."""
    x, gamma, beta = row_major(x), row_major(gamma), row_major(beta)
    wide, columns, cast = folded(x), x.shape[1], x.dtype.type
    threads = threads_for(4 * x.size)
    division = _division(wide.shape, threads)
    y, mean, variance = out or (None, None, None)
    y = output_array(x.shape, x.dtype, y)
    wide_y = y.reshape(wide.shape)
    mean, variance = output_array(gamma.shape, x.dtype, mean), output_array(gamma.shape, x.dtype, variance)
    table, scale = np.empty((3, wide.shape[1]), x.dtype), np.empty(gamma.shape, x.dtype)
    moments = np.empty((3, division[0] * wide.shape[1] // max(columns, 1), columns), x.dtype)
    FORWARD.launch(
        x.dtype, wide, gamma, beta, cast(eps), cast(slope), wide_y, mean, variance, table, scale, *moments, *division,
        threads,
    )  # fmt: skip
    return y, mean, variance


def batch_norm_grad(g, x, gamma, beta, mean, variance, eps, slope, out=None):
    """(dx, dgamma, dbeta); see `reference.batch_norm_grad`."""
    g, x, gamma, beta, mean, variance = map(row_major, (g, x, gamma, beta, mean, variance))
    wide, columns, cast = folded(x), x.shape[1], x.dtype.type
    threads = threads_for(4 * x.size)
    division = _division(wide.shape, threads)
    dx, dgamma, dbeta = out or (None, None, None)
    dx = output_array(x.shape, x.dtype, dx)
    dgamma, dbeta = output_array(gamma.shape, x.dtype, dgamma), output_array(gamma.shape, x.dtype, dbeta)
    table, vectors = np.empty((5, wide.shape[1]), x.dtype), np.empty((3, columns), x.dtype)
    sums_h, sums_hx = np.empty((2, division[0] * wide.shape[1] // max(columns, 1), columns), x.dtype)
    wide_g, wide_dx = g.reshape(wide.shape), dx.reshape(wide.shape)
    BACKWARD.launch(
        x.dtype, wide_g, wide, gamma, beta, cast(slope), mean, variance, cast(eps), wide_dx, dgamma, dbeta, table,
        vectors, sums_h, sums_hx, *division, threads,
    )  # fmt: skip
    return dx, dgamma, dbeta
