"""Convolution with a 4 x 4 kernel, stride 2 and padding 1, and both its gradients, by Winograd's algorithm.

A stride of 2 splits the picture by the parity of row and column into four phases, and the kernel with it: the sum of
four convolutions with 2 x 2 taps and stride 1. For each of these, F(m, 2) in both directions computes m x m outputs
from n x n pixels, n = m + 1, with n * n multiplications instead of 4 m * m (Lavin and Gray, 2016):

    Y = A^T [ (G W G^T) * (B^T X B) ] A        summed over phases and channels before the last map

so 9 instead of 16 for m = 2, and 16 instead of 36 for m = 3. Each of the n * n points is a matrix product of
(tiles, phases * in) with (phases * in, out), which the register tile computes. The transposed convolution, the input
gradient, is the same turned around: its output falls into four phases, each a convolution with 2 x 2 taps. The weight
gradient is the adjoint: G^T [ sum over tiles of (A Y' A^T) * (B^T X B) ] G.

A picture is divided into tiles of two sizes, so that few outputs are computed in vain: 7 rows are 3 + 2 + 2, with 10
multiplications in each column instead of the 12 of four tiles of 2. That makes four regions, of (large or small) by
(large or small) tiles; the points of a small tile are among those of a large one, so all share the same weights.

The compiler must know the sizes of a tile. So they are given as tuples of ones, of which only the length matters:
`large` and `small`, and in `scheme` the family (the largest size), the rows and the columns. `most` is the larger of
the sizes that a picture is really divided into: its points, (most + 1) ** 2, are those of the weights.

Tiles are worked off in blocks whose points stay in the second-level cache. Each thread computes tiles of its own or,
for the weight gradient, a rectangle of the sums, for which it makes the points it needs itself: nobody waits for
anybody, and the sums over tiles are taken in order, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import aligned_zeros
from minigan_kernels.numba.jit import Compiled, clear, inner, threads_for
from minigan_kernels.numba.memory import scratch
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, add_tile, address, multiply_tile
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.transform import (
    CHANNELS,
    transform_cotangent,
    transform_input,
    transform_output,
    transform_weight_grad,
    transform_weights,
)
from minigan_kernels.numba.transpose import transpose_last_axes
from minigan_kernels.packed_weights import get_packed

_BLOCK = 72  # tiles whose points are multiplied together
_GRADIENT_BLOCK = 96  # the same for the weight gradient
# A region of tiles is an array of: the rows and columns of a tile, the region's first row and column, how many tiles it
# has down, across and in all pictures, and into how many blocks those are divided.
_TALL, _WIDE, _TOP, _LEFT, _DOWN, _ACROSS, _TILES, _BLOCKS = range(8)
_LINE = 64  # bytes: rows of points are set off by one, so that they do not all fall into the same set of the cache


@inner
def _window(pictures, image, top, left, step, rows, columns, turned, outside, table):
    """Enter the addresses of rows x columns pixels, `step` apart; of their transpose if `turned`.

    The address `outside` stands for those beyond the picture.
    """
    _, height, width, channels = pictures.shape
    row_bytes, pixel_bytes = width * channels * pictures.itemsize, channels * pictures.itemsize
    base = address(pictures) + image * height * row_bytes
    for i in range(rows):
        for j in range(columns):
            row, column = top + i * step, left + j * step
            inside = row >= 0 and row < height and column >= 0 and column < width
            entry = j * rows + i if turned else i * columns + j
            table[entry] = base + row * row_bytes + column * pixel_bytes if inside else outside


@inner
def _ladder(base, step, table):
    for i in range(table.size):
        table[i] = base + i * step


@inner
def _tile_place(number, region):
    """(picture, first output row, first output column) of tile `number` of a region."""
    down, across = region[_DOWN], region[_ACROSS]
    image = number // (down * across)
    rest = number - image * (down * across)
    row = rest // across
    return image, region[_TOP] + row * region[_TALL], region[_LEFT] + (rest - row * across) * region[_WIDE]


@inner
def _shared_point(p, tall, wide, turned, most):
    """The number, among the points of a tile of most x most outputs, of point p of a tile of tall x wide.

    A point at infinity comes last in its direction.
    """
    i = p // (wide + 1)
    j = p - i * (wide + 1)
    i, j = i if i < tall else most, j if j < wide else most
    return j * (most + 1) + i if turned else i * (most + 1) + j


@inner
def _multiply_points(tall, wide, turned, most, points, weights, products, count):
    """products[p, panel, tile, :] = points[p, tile] @ weights[point, panel] for every point and `count` tiles.

    Points are numbered as in a tile of tall x wide outputs; in `weights` as in one of most x most.
    """
    number = points.dtype.type(0)
    row_bytes = points.shape[2] * points.itemsize
    depth = weights.shape[2]
    whole, offsets = np.zeros(1, np.int64), np.arange(ROWS) * row_bytes
    for p in range((tall + 1) * (wide + 1)):
        point = _shared_point(p, tall, wide, turned, most)
        for panel in range(weights.shape[1]):
            right = address(weights[point, panel])
            for tile in range(0, count, ROWS):
                left, out = address(points[p]) + tile * row_bytes, address(products[p, panel]) + tile * PANEL_BYTES
                multiply_tile(
                    number, left, offsets, whole, points.itemsize, depth, right, PANEL_BYTES, out, PANEL_BYTES
                )


@inner
def _convolve_block(scheme, most, source, weights, bias, slope, out, up, points, products, region, first, last):
    """Compute the tiles numbered first..last-1 of a region, in each phase of the output.

    Wide tiles are computed as tall ones that are turned: their pixels, points and outputs transposed.
    """
    tall, wide = len(scheme[1]), len(scheme[2])
    rows, columns = region[_TALL], region[_WIDE]
    turned = rows < columns
    number = source.dtype.type(0)
    size, channels = source.itemsize, source.shape[3]
    count = (tall + 1) * (wide + 1)
    window, ladder, pixels = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(tall * wide, np.int64)
    zeros, waste = np.zeros(channels, source.dtype), np.empty(out.shape[3], out.dtype)
    panel_width = PANEL_BYTES // size
    for group in range(weights.shape[0]):
        down, across = group // 2, group - group // 2 * 2
        for tile in range(first, last):
            image, i, j = _tile_place(tile, region)
            _ladder(address(points) + (tile - first) * points.strides[1], points.strides[0], ladder)
            for phase in range(1 if up else 4):
                if up:
                    top, left, step = i + down - 1, j + across - 1, 1
                else:
                    top, left, step = 2 * i - 1 + phase // 2, 2 * j - 1 + phase - phase // 2 * 2, 2
                _window(source, image, top, left, step, rows + 1, columns + 1, turned, address(zeros), window)
                transform_input(number, scheme, window, 0, ladder, phase * channels * size, channels)
        _multiply_points(tall, wide, turned, most, points, weights[group], products, last - first)
        for tile in range(first, last):
            image, i, j = _tile_place(tile, region)
            if up:
                top, left, step = 2 * i + down, 2 * j + across, 2
            else:
                top, left, step = i, j, 1
            _window(out, image, top, left, step, rows, columns, turned, address(waste), pixels)
            _ladder(address(products) + (tile - first) * PANEL_BYTES, products.strides[0], ladder)
            for panel in range(products.shape[1]):
                start = panel * PANEL_BYTES
                width = min(panel_width, out.shape[3] - panel * panel_width)
                shift = address(bias) + start
                transform_output(
                    number, scheme, ladder, panel * products.strides[1], pixels, start, width, shift, slope
                )


@inner
def _convolve_share(t, threads, large, small, most, source, weights, bias, slope, out, up, points, products, regions):
    job = (most, source, weights, bias, slope, out, up, points[t], products[t])
    for r in range(regions.shape[0]):
        region = regions[r]
        tiles, blocks = region[_TILES], region[_BLOCKS]
        for b in range(t * blocks // threads, (t + 1) * blocks // threads):
            first, last = b * tiles // blocks, (b + 1) * tiles // blocks
            if region[_TALL] != region[_WIDE]:
                _convolve_block((large, large, small), *job, region, first, last)
            elif region[_TALL] == len(large):
                _convolve_block((large, large, large), *job, region, first, last)
            else:
                _convolve_block((large, small, small), *job, region, first, last)


@njit
def _convolve(large, small, most, source, weights, bias, slope, out, up, points, products, regions, threads):
    job = (source, weights, bias, slope, out, up, points, products, regions)
    parallel_for(threads, _convolve_share, (large, small, most, *job))


@inner
def _cotangent_points(scheme, g, zeros, cotangents, region, tile, at, first_panel, last_panel):
    """The points of tile number `tile` of the cotangent, panels first_panel..last_panel-1, in row `at` of a block."""
    tall, wide = len(scheme[1]), len(scheme[2])
    number = g.dtype.type(0)
    rows, columns = region[_TALL], region[_WIDE]
    image, i, j = _tile_place(tile, region)
    pixels, ladder = np.empty(tall * wide, np.int64), np.empty((tall + 1) * (wide + 1), np.int64)
    _window(g, image, i, j, 1, rows, columns, rows < columns, address(zeros), pixels)
    _ladder(address(cotangents) + at * PANEL_BYTES, cotangents.strides[0], ladder)
    panel_width = PANEL_BYTES // g.itemsize
    for panel in range(first_panel, last_panel):
        width = min(panel_width, g.shape[3] - panel * panel_width)
        place = (panel - first_panel) * cotangents.strides[1]
        transform_cotangent(number, scheme, pixels, panel * PANEL_BYTES, ladder, place, width)


@inner
def _picture_points(scheme, x, zeros, points, region, tile, at, first_row, last_row):
    """The points of tile number `tile` of the picture, for some rows of the sums, in row `at` of a block.

    Row phase * channels + c of the sums belongs to channel c in that phase.
    """
    count = (len(scheme[1]) + 1) * (len(scheme[2]) + 1)
    number = x.dtype.type(0)
    channels, rows, columns = x.shape[3], region[_TALL], region[_WIDE]
    image, i, j = _tile_place(tile, region)
    window, ladder = np.empty(count, np.int64), np.empty(count, np.int64)
    _ladder(address(points) + at * points.strides[1], points.strides[0], ladder)
    for phase in range(first_row // channels, (last_row - 1) // channels + 1):
        start, stop = max(first_row, phase * channels), min(last_row, (phase + 1) * channels)
        top, left = 2 * i - 1 + phase // 2, 2 * j - 1 + phase - phase // 2 * 2
        _window(x, image, top, left, 2, rows + 1, columns + 1, rows < columns, address(zeros), window)
        source, place = (start - phase * channels) * x.itemsize, (start - first_row) * x.itemsize
        transform_input(number, scheme, window, source, ladder, place, stop - start)


@inner
def _add_products(tall, wide, turned, most, points, skipped, cotangents, sums, count, part):
    """Add the products points^T @ cotangents of a block of `count` tiles to their `part` of the sums.

    Its first strip begins after `skipped` columns of the points.
    """
    first_strip, strips, first_panel, panels = part
    number = points.dtype.type(0)
    size, step = points.itemsize, points.strides[1]
    whole, offsets = np.zeros(1, np.int64), np.arange(ROWS) * size
    for p in range((tall + 1) * (wide + 1)):
        point = _shared_point(p, tall, wide, turned, most)
        for panel in range(panels):
            right = address(cotangents[p, panel])
            for strip in range(strips):
                left = address(points[p]) + (skipped + strip * ROWS) * size
                out = address(sums[point, first_panel + panel]) + (first_strip + strip) * ROWS * PANEL_BYTES
                add_tile(number, left, offsets, whole, step, count, right, PANEL_BYTES, out, PANEL_BYTES)


@inner
def _gradient_taps(scheme, sums, out, row, first, last):
    """The taps of one channel of one phase, from panels first..last-1."""
    number = out.dtype.type(0)
    _, _, channels, outputs = out.shape
    phase = row // channels
    channel = row - phase * channels
    ladder, taps = np.empty(sums.shape[0], np.int64), np.empty(4, np.int64)
    _ladder(address(sums) + row * PANEL_BYTES, sums.strides[0], ladder)
    for tap in range(4):
        u, v = phase // 2 + tap // 2 * 2, phase - phase // 2 * 2 + (tap - tap // 2 * 2) * 2
        taps[tap] = address(out[u, v, channel])
    panel_width = PANEL_BYTES // out.itemsize
    for panel in range(first, last):
        width = min(panel_width, outputs - panel * panel_width)
        transform_weight_grad(number, scheme, ladder, panel * sums.strides[1], taps, panel * PANEL_BYTES, width)


@inner
def _add_region(scheme, most, x, g, points, cotangents, sums, region, part):
    """Add what the tiles of a region contribute to a part of the sums."""
    tall, wide = len(scheme[1]), len(scheme[2])
    first_strip, strips, first_panel, panels = part
    first, last = first_strip * ROWS, min(4 * x.shape[3], (first_strip + strips) * ROWS)
    first_row, last_row = first // CHANNELS * CHANNELS, (last + CHANNELS - 1) // CHANNELS * CHANNELS
    zeros = np.zeros(max(x.shape[3], g.shape[3]), x.dtype)
    tiles, blocks, turned = region[_TILES], region[_BLOCKS], region[_TALL] < region[_WIDE]
    for block in range(blocks):
        start = block * tiles // blocks
        count = (block + 1) * tiles // blocks - start
        for at in range(count):
            _picture_points(scheme, x, zeros, points, region, start + at, at, first_row, last_row)
            _cotangent_points(scheme, g, zeros, cotangents, region, start + at, at, first_panel, first_panel + panels)
        _add_products(tall, wide, turned, most, points, first - first_row, cotangents, sums, count, part)
    zeros[0] = 0  # named after the last use of its address: until here the memory is ours


@inner
def _gradient_part(large, small, most, x, g, out, points, cotangents, sums, regions, part):
    """All of the weight gradient that comes from a part of the sums: nothing is shared or awaited.

    part: the first strip of ROWS rows and their number, the first panel and their number.
    """
    first_strip, strips, first_panel, panels = part
    for point in range(sums.shape[0]):
        for panel in range(first_panel, first_panel + panels):
            for row in range(first_strip * ROWS, (first_strip + strips) * ROWS):
                clear(sums[point, panel, row])
    for r in range(regions.shape[0]):
        region = regions[r]
        if region[_TALL] != region[_WIDE]:
            _add_region((large, large, small), most, x, g, points, cotangents, sums, region, part)
        elif region[_TALL] == len(large):
            _add_region((large, large, large), most, x, g, points, cotangents, sums, region, part)
        else:
            _add_region((large, small, small), most, x, g, points, cotangents, sums, region, part)
    for row in range(first_strip * ROWS, min(4 * x.shape[3], (first_strip + strips) * ROWS)):
        if most == len(large):
            _gradient_taps((large, large, large), sums, out, row, first_panel, first_panel + panels)
        else:
            _gradient_taps((large, small, small), sums, out, row, first_panel, first_panel + panels)


@inner
def _gradient_share(t, threads, large, small, most, x, g, out, points, cotangents, sums, regions, shares_across):
    strips, panels, shares_down = sums.shape[2] // ROWS, sums.shape[1], threads // shares_across
    i = t // shares_across
    j = t - i * shares_across
    top, bottom = i * strips // shares_down, (i + 1) * strips // shares_down
    left, right = j * panels // shares_across, (j + 1) * panels // shares_across
    if bottom > top and right > left:
        part = (top, bottom - top, left, right - left)
        _gradient_part(large, small, most, x, g, out, points[t], cotangents[t], sums, regions, part)


@njit
def _weight_grad(large, small, most, x, g, out, points, cotangents, sums, regions, shares_across, threads):
    job = (x, g, out, points, cotangents, sums, regions, shares_across)
    parallel_for(threads, _gradient_share, (large, small, most, *job))


@inner
def _weight_points(scheme, taps, up, weights, row):
    """The points of the taps from one channel in one phase, into their row of the panels."""
    number = taps.dtype.type(0)
    _, _, depth, columns = taps.shape
    phase = row // depth
    k = row - phase * depth
    i, j = phase // 2, phase - phase // 2 * 2
    places, ladder = np.empty(4, np.int64), np.empty(weights.shape[1], np.int64)
    for tap in range(4):
        a, b = tap // 2 * 2, (tap - tap // 2 * 2) * 2
        places[tap] = address(taps[3 - i - a, 3 - j - b, k]) if up else address(taps[i + a, j + b, k])
    panel_width = PANEL_BYTES // taps.itemsize
    group, place = (phase, k) if up else (0, row)
    _ladder(address(weights[group]) + place * PANEL_BYTES, weights.strides[1], ladder)
    for panel in range(weights.shape[2]):
        width = min(panel_width, columns - panel * panel_width)
        transform_weights(number, scheme, places, panel * PANEL_BYTES, ladder, panel * weights.strides[2], width)


@inner
def _transform_share(t, threads, large, small, most, taps, up, weights):
    rows = 4 * taps.shape[2]
    for row in range(t * rows // threads, (t + 1) * rows // threads):
        if most == len(large):
            _weight_points((large, large, large), taps, up, weights, row)
        else:
            _weight_points((large, small, small), taps, up, weights, row)


@njit
def _transform(large, small, most, taps, up, weights, threads):
    parallel_for(threads, _transform_share, (large, small, most, taps, up, weights))


def _signatures(largest):
    """The signatures of the three kernels of a family; see `_Family`."""
    integer, flag = types.int64, types.boolean

    def size(outputs):
        return types.UniTuple(integer, outputs)

    def array(number, dimensions):
        return types.Array(number, dimensions, "C")

    sizes = (size(largest), size(largest - 1), integer)

    def convolve(number):
        pictures = array(number, 4)
        job = (pictures, array(number, 5), array(number, 1), number, pictures, flag)
        return (*sizes, *job, array(number, 4), array(number, 5), array(integer, 2), integer)

    def weight_grad(number):
        buffers = (array(number, 4), array(number, 5), array(number, 4))
        return (*sizes, *(array(number, 4),) * 3, *buffers, array(integer, 2), integer, integer)

    def transform(number):
        return (*sizes, array(number, 4), flag, array(number, 5), integer)

    return convolve, weight_grad, transform


class _Family:
    """The kernels that divide pictures into tiles of `largest` outputs and of one less, in either direction."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.sizes = (1,) * largest, (1,) * (largest - 1)
        name = f"winograd F({largest} x {largest}, 2 x 2)"
        convolve, weight_grad, transform = _signatures(largest)
        self.convolve = Compiled(name, _convolve, convolve, "out points products")
        self.weight_grad = Compiled(f"{name} weight gradient", _weight_grad, weight_grad, "out points cotangents sums")
        self.transform = Compiled(f"{name} of weights", _transform, transform, "weights")


_EXACT, _FAST = _Family(3), _Family(4)


# Transforming the weights takes as long as so many output pixels save. They are many for the fast family's 25 points.
FEWEST_PIXELS = {"exact": 256, "fast": 4096}


def _family(geometry, images) -> _Family:
    few = images * geometry.out[0] * geometry.out[1] < FEWEST_PIXELS["fast"]
    return _EXACT if geometry.precision == "exact" or few else _FAST


@lru_cache
def _division(extent: int, largest: int) -> tuple[int, int]:
    """How many tiles of `largest` outputs and how many of one less cover `extent` with the fewest multiplications."""
    small = largest - 1
    choices = [(n, max(0, -(-(extent - n * largest) // small))) for n in range(-(-extent // largest) + 1)]
    return min(choices, key=lambda choice: choice[0] * (largest + 1) + choice[1] * largest)


@lru_cache
def _regions(largest: int, images: int, rows: int, columns: int, block: int, threads: int) -> np.ndarray:
    """The regions, a line each, of tiles of one shape; in blocks of about `block`, as many for each of the threads."""
    found, top = [], 0
    for tall, down in zip((largest, largest - 1), _division(rows, largest), strict=True):
        left = 0
        for wide, across in zip((largest, largest - 1), _division(columns, largest), strict=True):
            if tiles := images * down * across:
                blocks = -(-tiles // (block * threads)) * threads
                found.append((tall, wide, top, left, down, across, tiles, blocks))
            left += wide * across
        top += tall * down
    return np.array(found, np.int64)


def pays(geometry, images, channels, outputs) -> bool:
    """Whether these kernels can compute such a convolution, and are worth the work of transforming the weights."""
    if channels % CHANNELS or outputs % CHANNELS:
        return False
    if images * geometry.out[0] * geometry.out[1] < FEWEST_PIXELS["exact"]:
        return False
    return (geometry.kernel, geometry.stride, geometry.padding) == ((4, 4), (2, 2), ((1, 1), (1, 1)))


def convolve(x, w, bias, slope, geometry, packed, out, *, up):
    """out = leaky(conv2d(x, w) + bias), or, `up`, leaky(conv2d_input_grad(x, w) + bias)."""
    family = _family(geometry, x.shape[0])
    rows, columns = ((n + 1) // 2 for n in geometry.size) if up else geometry.out
    threads = threads_for(out.size * w.shape[3 if up else 2])
    regions = _regions(family.largest, x.shape[0], rows, columns, _BLOCK, threads)
    most = int(regions[:, [_TALL, _WIDE]].max())
    weights = _weights(family, most, w, packed, up)
    points, products = scratch(
        x.dtype,
        (threads, weights.shape[1], _BLOCK, weights.shape[3] + _LINE // x.itemsize),
        (threads, weights.shape[1], weights.shape[2], _BLOCK, weights.shape[4]),
    )
    slope = x.dtype.type(slope)
    family.convolve.launch(
        x.dtype, *family.sizes, most, x, weights, bias, slope, out, up, points, products, regions, threads
    )


def weight_grad(x, g, geometry, out):
    """out = conv2d_weight_grad(x, g)."""
    family = _family(geometry, x.shape[0])
    channels, outputs = x.shape[3], g.shape[3]
    regions = _regions(family.largest, x.shape[0], *geometry.out, _GRADIENT_BLOCK, 1)
    most = int(regions[:, [_TALL, _WIDE]].max())
    block = int((-(-regions[:, _TILES] // regions[:, _BLOCKS])).max())
    width = PANEL_BYTES // x.itemsize
    panels, strips = -(-outputs // width), -(-4 * channels // ROWS)
    down, across = _shares(threads_for(g.size * channels), strips * ROWS, panels * width)
    count = (most + 1) ** 2
    points, cotangents, sums = scratch(
        x.dtype,
        (down * across, count, block, -(-strips // down) * ROWS + 2 * CHANNELS + _LINE // x.itemsize),
        (down * across, count, -(-panels // across), block, width),
        (count, panels, strips * ROWS, width),
    )
    family.weight_grad.launch(
        x.dtype, *family.sizes, most, x, g, out, points, cotangents, sums, regions, across, down * across
    )


def _shares(threads, rows, columns):
    """(down, across), whose product is `threads`: the division of the sums that needs the fewest points in all."""
    divisors = [n for n in range(1, threads + 1) if threads % n == 0]
    return min(((n, threads // n) for n in divisors), key=lambda share: rows / share[0] + columns / share[1])


def _weights(family, most, w, packed, up):
    """The points of w in panels (groups, points, panels, depth, PANEL), made again when w has changed."""
    width = PANEL_BYTES // w.itemsize
    _, _, channels, outputs = w.shape
    columns, groups, depth = (channels, 4, outputs) if up else (outputs, 1, 4 * channels)

    def allocate():
        return aligned_zeros((groups, (most + 1) ** 2, -(-columns // width), depth, width), w.dtype)

    def fill(weights):
        taps = transpose_last_axes(w) if up else w
        family.transform.launch(w.dtype, *family.sizes, most, taps, up, weights, threads_for(w.size))

    return get_packed(packed, ("winograd", family.largest, most, up), allocate, fill)
