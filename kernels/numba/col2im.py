"""The transposed convolution to few channels: a generator's last layer, a gradient with respect to a picture.

    1. products[pixel, (tap, channel)] = g[pixel] @ w[tap, channel]      one small matrix product for each band of rows
    2. out[row, column, channel] = leaky(sum of the products that land there + bias)

A register tile is PANEL columns wide. Taps times channels fill it, where the channels alone would leave it empty: 48 of
64 columns for 4 x 4 taps and 3 channels. The products of one band of a picture stay in the second-level cache; each
output row gathers its own, so the order of the sum is fixed, whoever computes it.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.implicit_gemm import panels_of
from minigan_kernels.numba.jit import Compiled, clear, gated, inner, threads_for
from minigan_kernels.numba.memory import repeated, scratch
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, address, multiply_tile
from minigan_kernels.numba.parallel_for import parallel_for

_PRODUCTS = 1 << 17  # numbers: 512 KiB of float32
CHANNELS = 8  # up to so many this pays


@inner
def _multiply_picture(g, panels, products):
    """products[pixel, panel, :] for the pixels of one picture; `products` has room for a full last tile."""
    number = g.dtype.type(0)
    pixels, depth = g.shape
    row_bytes, product_bytes = depth * g.itemsize, products.shape[1] * PANEL_BYTES
    offsets, whole = np.empty(ROWS, np.int64), np.zeros(1, np.int64)
    for panel in range(panels.shape[0]):
        for top in range(0, pixels, ROWS):
            for i in range(ROWS):
                offsets[i] = min(top + i, pixels - 1) * row_bytes
            out = address(products) + top * product_bytes + panel * PANEL_BYTES
            multiply_tile(
                number, address(g), offsets, whole, g.itemsize, depth, address(panels[panel]), PANEL_BYTES, out,
                product_bytes,
            )  # fmt: skip


@inner
def _gather_row(products, first_row, row, size, kernel, stride, channels, line):
    """Sum up what lands on a row of the surrounded picture, `line`, from the products of rows first_row and on.

    The taps of one kernel row lie side by side.
    """
    clear(line)
    run, step = kernel[1] * channels, stride[1] * channels
    for u in range(row - row // stride[0] * stride[0], kernel[0], stride[0]):
        i = (row - u) // stride[0]
        if i < 0 or i >= size[0]:
            continue
        for j in range(size[1]):
            pixel = (i - first_row) * size[1] + j
            landing, place = products[pixel, u * run : u * run + run], line[j * step : j * step + run]
            for q in range(run):
                place[q] += landing[q]


@inner
def _spread_band(g, panels, size, kernel, stride, start, shift, slope, out, products, line, top, bottom):
    """Output rows top..bottom-1 of one picture; `shift` is the bias of each number of a row."""
    rows, columns, channels = out.shape
    first = max(0, (top + start[0] - kernel[0]) // stride[0] + 1)
    last = min(size[0], (bottom - 1 + start[0]) // stride[0] + 1)
    _multiply_picture(g[first * size[1] : max(first, last) * size[1]], panels, products)
    flat = products.reshape(products.shape[0], products.shape[1] * products.shape[2])
    pixels = out.reshape(rows, columns * channels)
    inside = line[start[1] * channels : (start[1] + columns) * channels]
    for row in range(top, bottom):
        _gather_row(flat, first, row + start[0], size, kernel, stride, channels, line)
        target = pixels[row]
        for q in range(target.size):
            total = inside[q] + shift[q]
            target[q] = gated(total, total, slope)


@inner
def _spread_share(t, threads, g, panels, size, kernel, stride, start, shift, slope, out, products, lines, band):
    rows = out.shape[1]
    bands = (rows + band - 1) // band
    for unit in range(t * g.shape[0] * bands // threads, (t + 1) * g.shape[0] * bands // threads):
        image = unit // bands
        top = (unit - image * bands) * band
        _spread_band(
            g[image], panels, size, kernel, stride, start, shift, slope, out[image], products[t], lines[t], top,
            min(rows, top + band),
        )  # fmt: skip


@njit
def _spread(g, panels, size, kernel, stride, start, shift, slope, out, products, lines, band, threads):
    parallel_for(
        threads, _spread_share, (g, panels, size, kernel, stride, start, shift, slope, out, products, lines, band)
    )


_PAIR = types.UniTuple(types.int64, 2)


def _signature(number):
    vector, matrix, stack, pictures = (types.Array(number, n, "C") for n in (1, 2, 3, 4))
    integers = (types.int64, types.int64)
    return (stack, stack, _PAIR, _PAIR, _PAIR, _PAIR, vector, number, pictures, pictures, matrix, *integers)


SPREAD = Compiled("convolution to few channels", _spread, _signature, "out products lines")


def input_grad(g, w, bias, slope, geometry, packed, out):
    """out = leaky(conv2d_input_grad(g, w) + bias) for few input channels."""
    pixels = geometry.out[0] * geometry.out[1]
    panels = panels_of(w.reshape(-1, w.shape[3]).T, packed, "spread panels")
    threads = threads_for(g.size * panels.shape[0])
    # A band of output rows needs the products of at most so many rows of g.
    meets = geometry.kernel[0] // geometry.stride[0] + 1
    rows = max(1, _PRODUCTS // (geometry.out[1] * panels.shape[0] * panels.shape[2]) - meets)
    band = min(geometry.size[0], rows * geometry.stride[0])
    pixels_at_once = min(geometry.out[0], rows + meets) * geometry.out[1]
    products, lines = scratch(
        g.dtype,
        (threads, -(-pixels_at_once // ROWS) * ROWS, panels.shape[0], panels.shape[2]),
        (threads, geometry.padded[1] * w.shape[2]),
    )
    start = geometry.padding[0][0], geometry.padding[1][0]
    SPREAD.launch(
        g.dtype, g.reshape(g.shape[0], pixels, g.shape[3]), panels, geometry.out, geometry.kernel, geometry.stride,
        start, repeated(bias, geometry.size[1]), g.dtype.type(slope), out, products, lines, band, threads,
    )  # fmt: skip
