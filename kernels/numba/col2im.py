"""Transposed convolution to few channels as GEMM and col2im: a generator's last layer, the gradient of an image.

    1. products[pixel, (tap, channel)] = g[pixel] @ w[tap, channel]      GEMM, for one band of rows at a time
    2. out[row, column, channel] = leaky_relu(sum of the products for this pixel + bias)          col2im

2 * pixels * taps * in * out flops. A register tile is PANEL columns wide. The taps times the channels fill it, while
the channels alone would leave most of it empty: 48 of 64 columns for 4 x 4 taps and 3 channels. The products for one
band of rows of an image stay in the second-level cache. Each output row gathers its own products, so the order of the
sum is fixed, whichever thread computes it.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.implicit_gemm import panels_of
from minigan_kernels.numba.jit import Compiled, clear, inner, leaky_relu, threads_for
from minigan_kernels.numba.memory import repeated, scratch
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, address, multiply_tile
from minigan_kernels.numba.parallel_for import parallel_for

_BAND_PRODUCTS = 1 << 17  # array elements in the products for one band: 512 KiB of float32
CHANNELS = 8  # the largest number of output channels for which this kernel is used


@inner
def _multiply_pixels(g, panels, products):
    """products[pixel, panel, :] for the pixels `g`; `products` has enough rows for a full last tile."""
    zero = g.dtype.type(0)
    pixels, depth = g.shape
    row_bytes, product_bytes = depth * g.itemsize, products.shape[1] * PANEL_BYTES
    offsets, one_segment = np.empty(ROWS, np.int64), np.zeros(1, np.int64)
    for panel in range(panels.shape[0]):
        for top in range(0, pixels, ROWS):
            for i in range(ROWS):
                offsets[i] = min(top + i, pixels - 1) * row_bytes
            out = address(products) + top * product_bytes + panel * PANEL_BYTES
            multiply_tile(
                zero, address(g), offsets, one_segment, g.itemsize, depth, address(panels[panel]), PANEL_BYTES, out,
                product_bytes,
            )  # fmt: skip


@inner
def _gather_row(products, first_row, row, size, kernel, stride, channels, line):
    """Add up row `row` of the padded image in `line`; `products` begin at row first_row of g.

    The products for the taps of one kernel row are contiguous, so they are added together.
    """
    clear(line)
    length, step = kernel[1] * channels, stride[1] * channels
    for u in range(row - row // stride[0] * stride[0], kernel[0], stride[0]):
        i = (row - u) // stride[0]
        if i < 0 or i >= size[0]:
            continue
        for j in range(size[1]):
            pixel = (i - first_row) * size[1] + j
            source, target = products[pixel, u * length : u * length + length], line[j * step : j * step + length]
            for q in range(length):
                target[q] += source[q]


@inner
def _col2im_band(g, panels, size, kernel, stride, start, row_bias, slope, out, products, line, top, bottom):
    """Output rows top..bottom-1 of one image; `row_bias` holds the bias for every element of a row."""
    rows, columns, channels = out.shape
    first = max(0, (top + start[0] - kernel[0]) // stride[0] + 1)
    last = min(size[0], (bottom - 1 + start[0]) // stride[0] + 1)
    _multiply_pixels(g[first * size[1] : max(first, last) * size[1]], panels, products)
    flat = products.reshape(products.shape[0], products.shape[1] * products.shape[2])
    pixels = out.reshape(rows, columns * channels)
    inside = line[start[1] * channels : (start[1] + columns) * channels]
    for row in range(top, bottom):
        _gather_row(flat, first, row + start[0], size, kernel, stride, channels, line)
        target = pixels[row]
        for q in range(target.size):
            target[q] = leaky_relu(inside[q] + row_bias[q], slope)


@inner
def _col2im_chunk(t, threads, g, panels, size, kernel, stride, start, row_bias, slope, out, products, lines, band):
    """The bands of thread t, in all images."""
    rows = out.shape[1]
    bands = (rows + band - 1) // band
    for unit in range(t * g.shape[0] * bands // threads, (t + 1) * g.shape[0] * bands // threads):
        image = unit // bands
        top = (unit - image * bands) * band
        _col2im_band(
            g[image], panels, size, kernel, stride, start, row_bias, slope, out[image], products[t], lines[t], top,
            min(rows, top + band),
        )  # fmt: skip


@njit
def _col2im(g, panels, size, kernel, stride, start, row_bias, slope, out, products, lines, band, threads):
    layout = (size, kernel, stride, start)
    parallel_for(threads, _col2im_chunk, (g, panels, *layout, row_bias, slope, out, products, lines, band))


_PAIR = types.UniTuple(types.int64, 2)


def _signature(dtype):
    vector, matrix, stack, images = (types.Array(dtype, n, "C") for n in (1, 2, 3, 4))
    integers = (types.int64, types.int64)
    return (stack, stack, _PAIR, _PAIR, _PAIR, _PAIR, vector, dtype, images, images, matrix, *integers)


COL2IM = Compiled("convolution to few channels", _col2im, _signature, "out products lines")


def input_grad(g, w, bias, slope, geometry, packed, out):
    """out = leaky_relu(conv2d_input_grad(g, w) + bias) for few input channels."""
    pixels = geometry.out[0] * geometry.out[1]
    panels = panels_of(w.reshape(-1, w.shape[3]).T, packed, "col2im panels")
    threads = threads_for(g.size * panels.shape[0])
    # Each output row needs the products for at most this many rows of g.
    rows_per_output = geometry.kernel[0] // geometry.stride[0] + 1
    rows = max(1, _BAND_PRODUCTS // (geometry.out[1] * panels.shape[0] * panels.shape[2]) - rows_per_output)
    band = min(geometry.size[0], rows * geometry.stride[0])
    band_pixels = min(geometry.out[0], rows + rows_per_output) * geometry.out[1]
    products, lines = scratch(
        g.dtype,
        (threads, -(-band_pixels // ROWS) * ROWS, panels.shape[0], panels.shape[2]),
        (threads, geometry.padded[1] * w.shape[2]),
    )
    start = geometry.padding[0][0], geometry.padding[1][0]
    COL2IM.launch(
        g.dtype, g.reshape(g.shape[0], pixels, g.shape[3]), panels, geometry.out, geometry.kernel, geometry.stride,
        start, repeated(bias, geometry.size[1]), g.dtype.type(slope), out, products, lines, band, threads,
    )  # fmt: skip
