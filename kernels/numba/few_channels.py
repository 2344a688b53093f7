"""Convolution of images with few channels, such as a discriminator's first layer, and its weight gradient.

The sums are short: 16 terms for 4 x 4 taps and one channel. So whatever is done for each register tile besides its sum
weighs heavily, and none of it is left here:

- An image is copied, with its padding of zeros, in bands of rows that fit the first-level cache. The rows of a band's
  left operand, the windows of the output pixels, lie at the same offsets in every band, so one table serves all.
- One row of pixels follows the other in a register tile, and all outputs of its pixels are computed one after another:
  the result is written once, front to back. Bias and LeakyReLU are applied in registers.

2 * pixels * taps * in * out flops; each image is read once, and the result written once.

Weight gradient: the rows of the left operand are the taps and channels, its columns the pixels of a band, and the right
operand is the cotangent. The bands are divided into at most _PARTS parts, whose number does not depend on the threads.
Each part has sums of its own, which are added in order at the end.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import njit, types

from minigan_kernels import recorded_calls
from minigan_kernels.numba.implicit_gemm import panels_of
from minigan_kernels.numba.jit import MULTIPLY_ADDS, Compiled, clear, inner, threads_for
from minigan_kernels.numba.memory import scratch
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, add_tile, address, multiply_bias_act_tile, prefetch
from minigan_kernels.numba.parallel_for import parallel_for

CHANNELS = 8  # the largest number of input channels for which these kernels are used
_BAND_BYTES = 1 << 14  # of padded image rows: half of a first-level cache
_PARTS = 16
_AHEAD = 3  # register tiles between the fetching of a result's cache lines and the writing


@inner
def _copy_band(image, first, left, band):
    """Copy the rows of `image` from number `first` on to `band`, with zeros for the rows outside the image.

    Both have (row, column * channels); a row of the image begins in column `left` of the band. The columns beside it
    stay as they are.
    """
    for i in range(band.shape[0]):
        row, target = first + i, band[i, left : left + image.shape[1]]
        if row < 0 or row >= image.shape[0]:
            clear(target)
            continue
        source = image[row]
        for j in range(target.size):
            target[j] = source[j]


@inner
def _copy_tile(tile, left, out):
    """Copy the part of `tile` inside `out` (rows, columns) to the columns of `out` from `left` on."""
    for i in range(min(tile.shape[0], out.shape[0])):
        target = out[i, left : min(out.shape[1], left + tile.shape[1])]
        for j in range(target.size):
            target[j] = tile[i, j]


@inner
def _band_rows(unit, bands, rows, band):
    """(image, first output row, last + 1) of the band with number `unit`, of `band` output rows."""
    image = unit // bands
    first = (unit - image * bands) * band
    return image, first, min(rows, first + band)


@inner
def _multiply_band(padded, windows, lines, panels, bias, slope, out):
    """out = leaky_relu(windows of the padded band @ panels + bias) for the pixels of a band."""
    zero = out.dtype.type(0)
    (pixels, outputs), size = out.shape, out.itemsize
    width, depth = panels.shape[2], panels.shape[1] // lines.size
    tile = np.empty((ROWS, width), out.dtype)
    for top in range(0, pixels, ROWS):
        rows = windows[top : top + ROWS]
        prefetch(address(out) + (top + _AHEAD * ROWS) * outputs * size, ROWS * outputs * size)
        for panel in range(panels.shape[0]):
            left = panel * width
            whole = top + ROWS <= pixels and left + width <= outputs
            target = address(out) + (top * outputs + left) * size if whole else address(tile)
            multiply_bias_act_tile(
                zero, address(padded), rows, lines, size, depth, address(panels[panel]), PANEL_BYTES, target,
                outputs * size if whole else PANEL_BYTES, address(bias) + panel * PANEL_BYTES, slope,
            )  # fmt: skip
            if not whole:
                _copy_tile(tile, left, out[top:])


@inner
def _convolve_chunk(t, threads, x, start, down, windows, lines, panels, bias, slope, out, padded, rows, band):
    """The bands of thread t. `rows`: of output pixels in an image."""
    columns, bands = out.shape[1] // rows, (rows + band - 1) // band
    clear(padded[t].reshape(-1))
    for unit in range(t * x.shape[0] * bands // threads, (t + 1) * x.shape[0] * bands // threads):
        image, first, last = _band_rows(unit, bands, rows, band)
        _copy_band(x[image], first * down - start[0], start[1], padded[t, : (last - first - 1) * down + lines.size])
        pixels = out[image, first * columns : last * columns]
        _multiply_band(padded[t], windows, lines, panels, bias, slope, pixels)


@njit
def _convolve(x, start, down, windows, lines, panels, bias, slope, out, padded, rows, band, threads):
    operands = (x, start, down, windows, lines, panels, bias, slope)
    parallel_for(threads, _convolve_chunk, (*operands, out, padded, rows, band))


@inner
def _pack_columns(matrix, left, packed):
    """Copy the columns of `matrix` from `left` on to the rows of `packed`."""
    for i in range(matrix.shape[0]):
        source, target = matrix[i, left:], packed[i]
        for j in range(source.size):
            target[j] = source[j]


@inner
def _add_band(padded, taps, lines, step, g, packed, sums):
    """Add the products of the taps' pixels in a padded band with the cotangent g (pixels, outputs) to the sums."""
    zero = g.dtype.type(0)
    outputs, size, width = g.shape[1], g.itemsize, packed.shape[1]
    columns = g.shape[0] // lines.size
    share = g.shape[0] * outputs * size // (sums.shape[0] * sums.shape[1])
    following = address(g) + g.shape[0] * outputs * size
    for panel in range(sums.shape[0]):
        left = panel * width
        whole = left + width <= outputs
        if not whole:
            _pack_columns(g, left, packed)
        right = address(g) + left * size if whole else address(packed)
        right_step = outputs * size if whole else PANEL_BYTES
        for strip in range(sums.shape[1]):
            rows = taps[strip * ROWS : (strip + 1) * ROWS]
            prefetch(following + (panel * sums.shape[1] + strip) * share, share)
            add_tile(
                zero, address(padded), rows, lines, step * size, columns, right, right_step,
                address(sums[panel, strip]), PANEL_BYTES,
            )  # fmt: skip


@inner
def _gradient_part(part, x, start, stride, taps, lines, g, padded, packed, sums, rows, band):
    """Compute the sums of one part."""
    columns, bands, parts = g.shape[1] // rows, (rows + band - 1) // band, sums.shape[0]
    clear(sums[part].reshape(-1))
    clear(padded.reshape(-1))
    for unit in range(part * x.shape[0] * bands // parts, (part + 1) * x.shape[0] * bands // parts):
        image, first, last = _band_rows(unit, bands, rows, band)
        height = (last - first - 1) * stride[0] + padded.shape[0] - (band - 1) * stride[0]
        _copy_band(x[image], first * stride[0] - start[0], start[1], padded[:height])
        pixels = g[image, first * columns : last * columns]
        _add_band(padded, taps, lines[: last - first], stride[1], pixels, packed, sums[part])


@inner
def _gradient_chunk(t, threads, x, start, stride, taps, lines, g, padded, packed, sums, rows, band):
    """The parts of thread t."""
    parts = sums.shape[0]
    for part in range(t * parts // threads, (t + 1) * parts // threads):
        _gradient_part(part, x, start, stride, taps, lines, g, padded[t], packed[t], sums, rows, band)


@inner
def _add_parts(sums, out):
    """out (taps * channels, outputs) = the sum of all parts, in order."""
    panels, height, width = sums.shape[1], sums.shape[3], sums.shape[4]
    for part in range(sums.shape[0]):
        for panel in range(panels):
            for row in range(out.shape[0]):
                target = out[row, panel * width : min(out.shape[1], (panel + 1) * width)]
                source = sums[part, panel, row // height, row - row // height * height]
                if part == 0:
                    clear(target)
                for j in range(target.size):
                    target[j] += source[j]


@njit
def _weight_grad(x, start, stride, taps, lines, g, out, padded, packed, sums, rows, band, threads):
    parallel_for(threads, _gradient_chunk, (x, start, stride, taps, lines, g, padded, packed, sums, rows, band))
    _add_parts(sums, out)


_PAIR = types.UniTuple(types.int64, 2)
_INTEGERS = (types.int64, types.int64, types.int64)


def _arrays(dtype):
    """The types of a vector, a matrix, ... up to 5 dimensions."""
    return (types.Array(dtype, n, "C") for n in (1, 2, 3, 4, 5))


def _convolve_signature(dtype):
    vector, _, stack, _, _ = _arrays(dtype)
    table = types.Array(types.int64, 1, "C")
    return (stack, _PAIR, types.int64, table, table, stack, vector, dtype, stack, stack, *_INTEGERS)


def _weight_grad_signature(dtype):
    _, matrix, stack, _, sums = _arrays(dtype)
    table = types.Array(types.int64, 1, "C")
    return (stack, _PAIR, _PAIR, table, table, stack, matrix, stack, stack, sums, *_INTEGERS)


CONVOLVE = Compiled("convolution of few channels", _convolve, _convolve_signature, "out padded")
WEIGHT_GRAD = Compiled(
    "weight gradient for few channels", _weight_grad, _weight_grad_signature, "out padded packed sums"
)


@lru_cache
def _band_of(geometry, pixel_bytes):
    """(output rows in a band, (rows, columns) of the padded band)."""
    (rows, _), (kernel, _), (down, _), (_, width) = geometry.out, geometry.kernel, geometry.stride, geometry.padded
    band = min(rows, max(1, (_BAND_BYTES // (width * pixel_bytes) - kernel) // down + 1))
    return band, ((band - 1) * down + kernel, width)


def _repeated_last(offsets: np.ndarray) -> np.ndarray:
    """`offsets` as a vector whose length is a multiple of ROWS; the additional entries repeat the last one."""
    return np.pad(offsets.reshape(-1), (0, -offsets.size % ROWS), "edge").astype(np.int64)


@lru_cache
def _tables(geometry, pixel_bytes):
    """Offsets in a padded band, in bytes: of the windows of its output pixels, the kernel's rows, and output rows."""
    band, (_, width) = _band_of(geometry, pixel_bytes)
    line = width * pixel_bytes
    (down, across), (kernel, _) = geometry.stride, geometry.kernel
    windows = np.arange(band)[:, None] * (down * line) + np.arange(geometry.out[1]) * (across * pixel_bytes)
    return _repeated_last(windows), np.arange(kernel) * line, np.arange(band) * (down * line)


@lru_cache
def _tap_offsets(geometry, channels, size):
    """The offset of each tap and channel from the corner of a window, in bytes."""
    rows, columns = geometry.kernel
    line = geometry.padded[1] * channels * size
    return _repeated_last(np.arange(rows)[:, None] * line + np.arange(columns * channels) * size)


def conv2d(x, w, bias, slope, geometry, packed, out):
    """out = leaky_relu(conv2d(x, w) + bias) for few input channels."""
    n, height, width, channels = x.shape
    band, padded_shape = _band_of(geometry, channels * x.itemsize)
    windows, kernel_rows, _ = _tables(geometry, channels * x.itemsize)
    panels = panels_of(w, packed, "panels")
    threads = threads_for(out.size * w.size // (w.shape[3] * MULTIPLY_ADDS))
    padded, panel_bias = scratch(
        x.dtype, (threads, padded_shape[0], padded_shape[1] * channels), (panels.shape[0] * panels.shape[2],)
    )
    recorded_calls.call(np.copyto, panel_bias[: bias.size], bias)
    images, results = x.reshape(n, height, width * channels), out.reshape(n, -1, w.shape[3])
    CONVOLVE.launch(
        x.dtype, images, _start(geometry, channels), geometry.stride[0], windows, kernel_rows, panels, panel_bias,
        x.dtype.type(slope), results, padded, geometry.out[0], band, threads,
    )  # fmt: skip


def weight_grad(x, g, geometry, out):
    """out = conv2d_weight_grad(x, g) for few input channels."""
    n, height, width, channels = x.shape
    outputs, panel_width = g.shape[3], PANEL_BYTES // x.itemsize
    band, padded_shape = _band_of(geometry, channels * x.itemsize)
    _, _, lines = _tables(geometry, channels * x.itemsize)
    taps = _tap_offsets(geometry, channels, x.itemsize)
    parts = min(_PARTS, n * -(-geometry.out[0] // band))
    threads = min(parts, threads_for(g.size * math.prod(out.shape[:3]) // MULTIPLY_ADDS))
    padded, packed, sums = scratch(
        x.dtype,
        (threads, padded_shape[0], padded_shape[1] * channels),
        (threads, band * geometry.out[1], panel_width),
        (parts, -(-outputs // panel_width), taps.size // ROWS, ROWS, panel_width),
    )
    stride = geometry.stride[0], geometry.stride[1] * channels
    WEIGHT_GRAD.launch(
        x.dtype, x.reshape(n, height, width * channels), _start(geometry, channels), stride, taps, lines,
        g.reshape(n, -1, outputs), out.reshape(-1, outputs), padded, packed, sums, geometry.out[0], band, threads,
    )  # fmt: skip


def _start(geometry, channels):
    """The rows of zeros above an image, and the numbers of zeros in front of each row."""
    return geometry.padding[0][0], geometry.padding[1][0] * channels
