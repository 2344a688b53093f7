"""Convolution of any geometry as one matrix product whose left side is never built: an implicit GEMM.

    out[pixel, :] = leaky(sum over taps and channels of picture[pixel's window] @ w + bias)

The picture is surrounded by its zeros once. Then the taps of one kernel row are one run of consecutive numbers,
taps * channels long, at an address that depends on the pixel: the register tile takes several such pixels for the rows
of its left side and the kernel's rows for its segments. 2 * pixels * taps * in * out flops, each weight read once for
every few hundred pixels.

The input gradient is the same after sorting: output pixels whose row and column have the same remainder by the stride
meet the same taps, so each of the down * across classes is a convolution of the cotangent with its part of the kernel,
turned around, and stride 1. The weight gradient has the columns of the surrounded picture on the left, read where they
lie, and the cotangent on the right; pixels are its inner dimension, summed in order by one thread for each tile of
the result.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numba import njit, types

from minigan_kernels import recorded_calls
from minigan_kernels.aligned import aligned_zeros
from minigan_kernels.numba.jit import Compiled, gated, inner, threads_for
from minigan_kernels.numba.memory import scratch
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, add_tile, address, multiply_tile
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.packed_weights import get_packed

_BLOCK = 32 * ROWS  # pixels for which a panel of weights is read once
_GRADIENT_BLOCK = 1024  # pixels of the cotangent that stay in the second-level cache
_MULTIPLY_ADDS = 8  # in registers take as long as touching one number in memory
_SLACK = 64  # numbers that the last tile may read past the picture's end


@inner
def _pixel(number, count):
    """(picture, row, column) of pixel `number` of pictures of `count` (rows, columns)."""
    image = number // (count[0] * count[1])
    rest = number - image * (count[0] * count[1])
    row = rest // count[1]
    return image, row, rest - row * count[1]


@inner
def _correlate_block(source, start, step, taps, panels, bias, slope, out, out_start, out_step, count, first, last):
    """Pixels first..last-1 of those that this class of the output has."""
    _, height, width, channels = source.shape
    size = source.itemsize
    number = source.dtype.type(0)
    panel_width = panels.shape[2]
    offsets, segments = np.empty(ROWS, np.int64), np.empty(taps[0], np.int64)
    tile = np.empty((ROWS, panel_width), source.dtype)
    for tap in range(taps[0]):
        segments[tap] = tap * width * channels * size
    for panel in range(panels.shape[0]):
        left = panel * panel_width
        filled = min(panel_width, out.shape[3] - left)
        shift = bias[left : left + filled]
        for top in range(first, last, ROWS):
            for i in range(ROWS):  # rows past the end repeat the last one: read safely, never stored
                image, row, column = _pixel(min(top + i, last - 1), count)
                place = (image * height + start[0] + row * step[0]) * width + start[1] + column * step[1]
                offsets[i] = place * channels * size
            multiply_tile(
                number, address(source), offsets, segments, size, taps[1] * channels,
                address(panels[panel]), PANEL_BYTES, address(tile), PANEL_BYTES,
            )  # fmt: skip
            for i in range(min(ROWS, last - top)):
                image, row, column = _pixel(top + i, count)
                target = out[image, out_start[0] + row * out_step[0], out_start[1] + column * out_step[1]]
                target = target[left : left + filled]
                for j in range(filled):
                    total = tile[i, j] + shift[j]
                    target[j] = gated(total, total, slope)


@inner
def _correlate_share(t, threads, source, start, step, taps, panels, bias, slope, out, out_start, out_step, count):
    pixels = out.shape[0] * count[0] * count[1]
    blocks = (pixels + _BLOCK - 1) // _BLOCK
    for b in range(t * blocks // threads, (t + 1) * blocks // threads):
        last = min(pixels, (b + 1) * _BLOCK)
        _correlate_block(
            source, start, step, taps, panels, bias, slope, out, out_start, out_step, count, b * _BLOCK, last
        )


@njit
def _correlate(source, start, step, taps, panels, bias, slope, out, out_start, out_step, count, threads):
    parallel_for(
        threads, _correlate_share, (source, start, step, taps, panels, bias, slope, out, out_start, out_step, count)
    )


@inner
def _pack_columns(g, first, last, left, packed):
    """The columns from `left` on of rows first..last-1, one below the other."""
    filled = g.shape[1] - left
    for k in range(first, last):
        source, target = g[k, left:], packed[k - first]
        for j in range(filled):
            target[j] = source[j]


@inner
def _gradient_part(source, step, taps, g, out, packed, sums, count, first, last):
    """Units first..last-1 of the weight gradient: tiles of ROWS x PANEL numbers, panel after panel."""
    _, height, width, channels = source.shape
    size = source.itemsize
    number = source.dtype.type(0)
    panel_width = packed.shape[1]
    columns, outputs = taps[1] * channels, g.shape[1]
    strips = (columns + ROWS - 1) // ROWS
    lines = g.shape[0] // count[1]  # rows of pixels, of all pictures
    at_once = max(1, _GRADIENT_BLOCK // count[1])
    offsets = np.arange(ROWS) * size
    segments = np.empty(at_once, np.int64)
    for start in range(0, lines, at_once):
        stop = min(lines, start + at_once)
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
            place = address(source) + (tap * width * channels + strip * ROWS) * size
            run, along, total = segments[: stop - start], step[1] * channels * size, address(sums[unit])
            if start == 0:
                multiply_tile(number, place, offsets, run, along, count[1], right, right_step, total, PANEL_BYTES)
            else:
                add_tile(number, place, offsets, run, along, count[1], right, right_step, total, PANEL_BYTES)
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
def _gradient_share(t, threads, source, step, taps, g, out, packed, sums, count):
    first, last = t * sums.shape[0] // threads, (t + 1) * sums.shape[0] // threads
    if first < last:
        _gradient_part(source, step, taps, g, out, packed[t], sums, count, first, last)


@njit
def _weight_grad(source, step, taps, g, out, packed, sums, count, threads):
    parallel_for(threads, _gradient_share, (source, step, taps, g, out, packed, sums, count))


_PAIR = types.UniTuple(types.int64, 2)


def _correlate_signature(number):
    pictures, vector = types.Array(number, 4, "C"), types.Array(number, 1, "C")
    panels = types.Array(number, 3, "C")
    return (pictures, _PAIR, _PAIR, _PAIR, panels, vector, number, pictures, _PAIR, _PAIR, _PAIR, types.int64)


def _weight_grad_signature(number):
    pictures, matrix, stack = (types.Array(number, n, "C") for n in (4, 2, 3))
    return (pictures, _PAIR, _PAIR, matrix, matrix, stack, stack, _PAIR, types.int64)


CORRELATE = Compiled("convolution", _correlate, _correlate_signature, "out")
WEIGHT_GRAD = Compiled("convolution's weight gradient", _weight_grad, _weight_grad_signature, "out packed sums")


def conv2d(x, w, bias, slope, geometry, packed, out):
    """out = leaky(conv2d(x, w) + bias)."""
    (source,) = _surrounded(x, geometry.padding)
    panels = panels_of(w, packed, "panels")
    _run(source, (0, 0), geometry.stride, geometry.kernel, panels, bias, slope, out, (0, 0), (1, 1), geometry.out)


def input_grad(g, w, bias, slope, geometry, packed, out):
    """out = leaky(conv2d_input_grad(g, w) + bias), one class of pixels after another."""
    axes = [
        _classes(size, kernel, stride, before) for size, kernel, stride, (before, _) in zip(*geometry[:4], strict=True)
    ]
    left = [max(max(c.taps for c in axis), 1) - 1 for axis in axes]
    right = [max(c.first + c.count - n for c in axis) for axis, n in zip(axes, g.shape[1:3], strict=True)]
    (source,) = _surrounded(g, [(a, max(b, 0)) for a, b in zip(left, right, strict=True)])
    for pair in itertools.product(*axes):
        part = w[tuple(slice(c.remainder, None, stride) for c, stride in zip(pair, geometry.stride, strict=True))]
        turned = part[::-1, ::-1].swapaxes(2, 3)
        panels = panels_of(turned, packed, ("turned panels", geometry.stride, *(c.remainder for c in pair)))
        start = tuple(a - (c.taps - 1) + c.first for a, c in zip(left, pair, strict=True))
        taps, count = (pair[0].taps, pair[1].taps), (pair[0].count, pair[1].count)
        place = pair[0].place, pair[1].place
        _run(source, start, (1, 1), taps, panels, bias, slope, out, place, geometry.stride, count)


def weight_grad(x, g, geometry, out):
    """out = conv2d_weight_grad(x, g)."""
    columns = geometry.kernel[1] * x.shape[3]
    strips = -(-columns // ROWS)
    width = PANEL_BYTES // x.itemsize
    units = -(-g.shape[3] // width) * geometry.kernel[0] * strips
    threads = threads_for(g.size * geometry.kernel[0] * columns // _MULTIPLY_ADDS)
    lines = max(1, _GRADIENT_BLOCK // geometry.out[1])
    source, packed, sums = _surrounded(
        x, geometry.padding, (threads, lines * geometry.out[1], width), (units, ROWS, width), always=True
    )
    WEIGHT_GRAD.launch(
        x.dtype, source, geometry.stride, geometry.kernel, g.reshape(-1, g.shape[3]), out.reshape(-1, g.shape[3]),
        packed, sums, geometry.out, threads,
    )  # fmt: skip


class _Class(NamedTuple):
    """Output pixels of an input gradient along one axis whose place in the surrounded picture leaves `remainder`.

    `taps` of the kernel meet them. They are numbered by the quotient: `count` of them from `first` on lie in the
    picture, the first of them at `place`.
    """

    remainder: int
    taps: int
    first: int
    count: int
    place: int


def _classes(size: int, kernel: int, stride: int, before: int) -> list[_Class]:
    found = []
    for remainder in range(stride):
        first = max(0, -(-(before - remainder) // stride))
        last = (before + size - 1 - remainder) // stride
        taps = max(0, -(-(kernel - remainder) // stride))
        if last >= first:
            found.append(_Class(remainder, taps, first, last + 1 - first, remainder + stride * first - before))
    return found


def _surrounded(x, padding, *more, always=False):
    """x within its zeros, in scratch memory unless there are none, and more scratch arrays of the shapes `more`.

    `always` in scratch: something may read a little past the end.
    """
    (top, bottom), (left, right) = padding
    n, height, width, channels = x.shape
    shape = (n, height + top + bottom, width + left + right, channels)
    if shape == x.shape and not always:
        return [x, *scratch(x.dtype, *more)]
    source, _, *others = scratch(x.dtype, shape, (_SLACK,), *more)
    inside = source[:, top : top + height]
    for border in (source[:, :top], source[:, top + height :], inside[:, :, :left], inside[:, :, left + width :]):
        if border.size:
            recorded_calls.call(np.ndarray.fill, border, 0)
    recorded_calls.call(np.copyto, inside[:, :, left : left + width], x)
    return [source, *others]


def panels_of(weights, packed, form):
    """`weights` (..., columns), a matrix whose rows have several axes, as (panels, rows, PANEL)."""
    width = PANEL_BYTES // weights.itemsize
    *rows, columns = weights.shape

    def fill(panels):
        for panel, left in zip(panels, range(0, columns, width), strict=True):
            part = weights[..., left : left + width]
            recorded_calls.call(np.copyto, panel.reshape(*rows, width)[..., : part.shape[-1]], part)

    return get_packed(
        packed, form, lambda: aligned_zeros((-(-columns // width), math.prod(rows), width), weights.dtype), fill
    )


def _run(source, start, step, taps, panels, bias, slope, out, out_start, out_step, count):
    work = out.shape[0] * count[0] * count[1] * panels.size // _MULTIPLY_ADDS
    CORRELATE.launch(
        out.dtype, source, start, step, taps, panels, bias, out.dtype.type(slope), out, out_start, out_step, count,
        threads_for(work),
    )  # fmt: skip
