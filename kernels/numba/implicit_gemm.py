"""Convolution of any geometry as an implicit GEMM: a matrix product whose left operand is never built in memory.

    out[pixel, :] = leaky_relu(sum over taps and channels of image[window of the pixel] @ w + bias)

The image is padded with zeros once. Then the pixels under one row of the kernel are contiguous: taps * channels numbers
from an address that depends on the output pixel. The register tile takes several such pixels as the rows of its left
operand and the kernel's rows as its segments. 2 * pixels * taps * in * out flops; each weight is read once for every
few hundred pixels.

Input gradient: all output pixels whose row and column have the same remainders modulo the stride use the same taps. So
each of the down * across classes of pixels is a convolution with stride 1 of the cotangent with these taps, flipped.

Weight gradient: the left operand is the transpose of the padded image's windows, read in place; the right operand is
the cotangent. The pixels are the inner dimension; one thread sums them in order for each tile of the result.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numba import njit, types

from minigan_kernels import recorded_calls
from minigan_kernels.aligned import aligned_zeros
from minigan_kernels.numba.jit import MULTIPLY_ADDS, Compiled, inner, leaky_relu, threads_for
from minigan_kernels.numba.memory import scratch
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, add_tile, address, multiply_tile
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.packed_weights import get_packed

_BLOCK = 32 * ROWS  # output pixels for which a panel of weights is read once
_GRADIENT_BLOCK = 1024  # pixels of the cotangent that stay in the second-level cache
_OVERREAD = 64  # elements that the last tile may read past the end of the padded image


@inner
def _pixel(number, count):
    """(image, row, column) of pixel `number` of images of `count` (rows, columns)."""
    image = number // (count[0] * count[1])
    rest = number - image * (count[0] * count[1])
    row = rest // count[1]
    return image, row, rest - row * count[1]


@inner
def _correlate_block(source, start, step, taps, panels, bias, slope, out, out_start, out_step, count, first, last):
    """Compute the pixels numbered first..last-1 of this class of output pixels."""
    _, height, width, channels = source.shape
    size = source.itemsize
    zero = source.dtype.type(0)
    panel_width = panels.shape[2]
    offsets, segments = np.empty(ROWS, np.int64), np.empty(taps[0], np.int64)
    tile = np.empty((ROWS, panel_width), source.dtype)
    for tap in range(taps[0]):
        segments[tap] = tap * width * channels * size
    for panel in range(panels.shape[0]):
        left = panel * panel_width
        filled = min(panel_width, out.shape[3] - left)
        panel_bias = bias[left : left + filled]
        for top in range(first, last, ROWS):
            for i in range(ROWS):  # rows past the end repeat the last row: safe to read, never stored
                image, row, column = _pixel(min(top + i, last - 1), count)
                position = (image * height + start[0] + row * step[0]) * width + start[1] + column * step[1]
                offsets[i] = position * channels * size
            multiply_tile(
                zero, address(source), offsets, segments, size, taps[1] * channels,
                address(panels[panel]), PANEL_BYTES, address(tile), PANEL_BYTES,
            )  # fmt: skip
            for i in range(min(ROWS, last - top)):
                image, row, column = _pixel(top + i, count)
                target = out[image, out_start[0] + row * out_step[0], out_start[1] + column * out_step[1]]
                target = target[left : left + filled]
                for j in range(filled):
                    target[j] = leaky_relu(tile[i, j] + panel_bias[j], slope)


@inner
def _correlate_chunk(t, threads, source, start, step, taps, panels, bias, slope, out, out_start, out_step, count):
    """The blocks of output pixels of thread t."""
    pixels = out.shape[0] * count[0] * count[1]
    blocks = (pixels + _BLOCK - 1) // _BLOCK
    for b in range(t * blocks // threads, (t + 1) * blocks // threads):
        last = min(pixels, (b + 1) * _BLOCK)
        _correlate_block(
            source, start, step, taps, panels, bias, slope, out, out_start, out_step, count, b * _BLOCK, last
        )


@njit
def _correlate(source, start, step, taps, panels, bias, slope, out, out_start, out_step, count, threads):
    target = (out, out_start, out_step, count)
    parallel_for(threads, _correlate_chunk, (source, start, step, taps, panels, bias, slope, *target))


@inner
def _pack_columns(g, first, last, left, packed):
    """Copy the columns from `left` on of rows first..last-1 of g into the rows of `packed`."""
    filled = g.shape[1] - left
    for k in range(first, last):
        source, target = g[k, left:], packed[k - first]
        for j in range(filled):
            target[j] = source[j]


@inner
def _gradient_units(source, step, taps, g, out, packed, sums, count, first, last):
    """Compute the units first..last-1 of the weight gradient: tiles of ROWS x PANEL elements, panel after panel."""
    _, height, width, channels = source.shape
    size = source.itemsize
    zero = source.dtype.type(0)
    panel_width = packed.shape[1]
    columns, outputs = taps[1] * channels, g.shape[1]
    strips = (columns + ROWS - 1) // ROWS
    lines = g.shape[0] // count[1]  # rows of pixels, of all images
    block_lines = max(1, _GRADIENT_BLOCK // count[1])
    offsets = np.arange(ROWS) * size
    segments = np.empty(block_lines, np.int64)
    for start in range(0, lines, block_lines):
        stop = min(lines, start + block_lines)
        for line in range(start, stop):
            image = line // count[0]
            segments[line - start] = (image * height + (line - image * count[0]) * step[0]) * width * channels * size
        packed_panel = -1
        for unit in range(first, last):
            panel = unit // (taps[0] * strips)
            rest = unit - panel * (taps[0] * strips)
            tap, strip = rest // strips, rest - rest // strips * strips
            left = panel * panel_width
            if left + panel_width <= outputs:
                right, right_step = address(g) + (start * count[1] * outputs + left) * size, outputs * size
            else:
                if packed_panel != panel:
                    _pack_columns(g, start * count[1], stop * count[1], left, packed)
                    packed_panel = panel
                right, right_step = address(packed), PANEL_BYTES
            window = address(source) + (tap * width * channels + strip * ROWS) * size
            block, pixel_step, total = segments[: stop - start], step[1] * channels * size, address(sums[unit])
            if start == 0:
                multiply_tile(zero, window, offsets, block, pixel_step, count[1], right, right_step, total, PANEL_BYTES)
            else:
                add_tile(zero, window, offsets, block, pixel_step, count[1], right, right_step, total, PANEL_BYTES)
    for unit in range(first, last):
        panel = unit // (taps[0] * strips)
        rest = unit - panel * (taps[0] * strips)
        tap, strip = rest // strips, rest - rest // strips * strips
        left, top = panel * panel_width, strip * ROWS
        for i in range(min(ROWS, columns - top)):
            target = out[tap * columns + top + i, left : min(outputs, left + panel_width)]
            for j in range(target.size):
                target[j] = sums[unit, i, j]


@inner
def _gradient_chunk(t, threads, source, step, taps, g, out, packed, sums, count):
    """The units of thread t."""
    first, last = t * sums.shape[0] // threads, (t + 1) * sums.shape[0] // threads
    if first < last:
        _gradient_units(source, step, taps, g, out, packed[t], sums, count, first, last)


@njit
def _weight_grad(source, step, taps, g, out, packed, sums, count, threads):
    parallel_for(threads, _gradient_chunk, (source, step, taps, g, out, packed, sums, count))


_PAIR = types.UniTuple(types.int64, 2)


def _correlate_signature(dtype):
    images, vector = types.Array(dtype, 4, "C"), types.Array(dtype, 1, "C")
    panels = types.Array(dtype, 3, "C")
    return (images, _PAIR, _PAIR, _PAIR, panels, vector, dtype, images, _PAIR, _PAIR, _PAIR, types.int64)


def _weight_grad_signature(dtype):
    images, matrix, stack = (types.Array(dtype, n, "C") for n in (4, 2, 3))
    return (images, _PAIR, _PAIR, matrix, matrix, stack, stack, _PAIR, types.int64)


CORRELATE = Compiled("convolution", _correlate, _correlate_signature, "out")
WEIGHT_GRAD = Compiled("convolution's weight gradient", _weight_grad, _weight_grad_signature, "out packed sums")


def conv2d(x, w, bias, slope, geometry, packed, out):
    """out = leaky_relu(conv2d(x, w) + bias)."""
    (source,) = _padded(x, geometry.padding)
    panels = panels_of(w, packed, "panels")
    _launch(source, (0, 0), geometry.stride, geometry.kernel, panels, bias, slope, out, (0, 0), (1, 1), geometry.out)


def input_grad(g, w, bias, slope, geometry, packed, out):
    """out = leaky_relu(conv2d_input_grad(g, w) + bias), one class of output pixels after another."""
    axes = [
        _pixel_classes(size, kernel, stride, before)
        for size, kernel, stride, (before, _) in zip(*geometry[:4], strict=True)
    ]
    left = [max(max(c.taps for c in axis), 1) - 1 for axis in axes]
    right = [max(c.first + c.count - n for c in axis) for axis, n in zip(axes, g.shape[1:3], strict=True)]
    (source,) = _padded(g, [(a, max(b, 0)) for a, b in zip(left, right, strict=True)])
    for pair in itertools.product(*axes):
        class_taps = w[tuple(slice(c.remainder, None, stride) for c, stride in zip(pair, geometry.stride, strict=True))]
        flipped = class_taps[::-1, ::-1].swapaxes(2, 3)
        panels = panels_of(flipped, packed, ("flipped panels", geometry.stride, *(c.remainder for c in pair)))
        start = tuple(a - (c.taps - 1) + c.first for a, c in zip(left, pair, strict=True))
        taps, count = (pair[0].taps, pair[1].taps), (pair[0].count, pair[1].count)
        position = pair[0].position, pair[1].position
        _launch(source, start, (1, 1), taps, panels, bias, slope, out, position, geometry.stride, count)


def weight_grad(x, g, geometry, out):
    """out = conv2d_weight_grad(x, g)."""
    columns = geometry.kernel[1] * x.shape[3]
    strips = -(-columns // ROWS)
    width = PANEL_BYTES // x.itemsize
    units = -(-g.shape[3] // width) * geometry.kernel[0] * strips
    threads = threads_for(g.size * geometry.kernel[0] * columns // MULTIPLY_ADDS)
    lines = max(1, _GRADIENT_BLOCK // geometry.out[1])
    source, packed, sums = _padded(
        x, geometry.padding, (threads, lines * geometry.out[1], width), (units, ROWS, width), always=True
    )
    WEIGHT_GRAD.launch(
        x.dtype, source, geometry.stride, geometry.kernel, g.reshape(-1, g.shape[3]), out.reshape(-1, g.shape[3]),
        packed, sums, geometry.out, threads,
    )  # fmt: skip


class _PixelClass(NamedTuple):
    """Along one axis, the output pixels of an input gradient that use the same taps.

    Their coordinates in the padded image have the same `remainder` modulo the stride; the quotients number them. `taps`
    taps contribute to each. `count` of these pixels, from number `first` on, are inside the image; `position` is the
    coordinate of the first of them in the image.
    """

    remainder: int
    taps: int
    first: int
    count: int
    position: int


def _pixel_classes(size: int, kernel: int, stride: int, before: int) -> list[_PixelClass]:
    """The classes that contain a pixel, along an axis with `size` pixels and `before` zeros before them."""
    classes = []
    for remainder in range(stride):
        first = max(0, -(-(before - remainder) // stride))
        last = (before + size - 1 - remainder) // stride
        taps = max(0, -(-(kernel - remainder) // stride))
        if last >= first:
            classes.append(_PixelClass(remainder, taps, first, last + 1 - first, remainder + stride * first - before))
    return classes


def _padded(x, padding, *more, always=False):
    """[x padded with zeros, in scratch memory; x itself without padding] and scratch arrays of the shapes `more`.

    With `always` the first array lies in scratch memory in any case, because the kernel may read past its end.
    """
    (top, bottom), (left, right) = padding
    n, height, width, channels = x.shape
    shape = (n, height + top + bottom, width + left + right, channels)
    if shape == x.shape and not always:
        return [x, *scratch(x.dtype, *more)]
    source, _, *others = scratch(x.dtype, shape, (_OVERREAD,), *more)
    inside = source[:, top : top + height]
    for border in (source[:, :top], source[:, top + height :], inside[:, :, :left], inside[:, :, left + width :]):
        if border.size:
            recorded_calls.call(np.ndarray.fill, border, 0)
    recorded_calls.call(np.copyto, inside[:, :, left : left + width], x)
    return [source, *others]


def panels_of(weights, packed, form):
    """`weights` (..., columns) as panels (panel, row, PANEL), from the cache `packed` under the name `form`.

    All axes but the last together are the rows of the matrix.
    """
    width = PANEL_BYTES // weights.itemsize
    *rows, columns = weights.shape

    def allocate():
        return aligned_zeros((-(-columns // width), math.prod(rows), width), weights.dtype)

    def fill(panels):
        for panel, left in zip(panels, range(0, columns, width), strict=True):
            part = weights[..., left : left + width]
            recorded_calls.call(np.copyto, panel.reshape(*rows, width)[..., : part.shape[-1]], part)

    return get_packed(packed, form, allocate, fill)


def _launch(source, start, step, taps, panels, bias, slope, out, out_start, out_step, count):
    """Compute a grid of `count` (rows, columns) output pixels: the first at `out_start`, with distances of `out_step`.

    In `source` the window of the first pixel begins at `start`, and windows have distances of `step`; `taps` is (rows,
    columns) of the kernel.
    """
    work = out.shape[0] * count[0] * count[1] * panels.size // MULTIPLY_ADDS
    CORRELATE.launch(
        out.dtype, source, start, step, taps, panels, bias, out.dtype.type(slope), out, out_start, out_step, count,
        threads_for(work),
    )  # fmt: skip
