"""The weight gradient of Winograd's convolution: G^T [ sum over tiles of (A Y' A^T) * (B^T X B) ] G.

The names are those of winograd.py, whose algorithm this is the adjoint of. Each point is a matrix product of (phases *
in, tiles) with (tiles, out). The images are divided into chunks whose points fit the budget _CHUNK_BYTES, and each
chunk takes two steps, which the threads begin together:

1. The points of all its tiles are computed, each once: those of the images row by row, as the left operand, those of
   the cotangent in panels.
2. The sums are divided into rectangles that stay in the second-level cache. A thread adds the chunk's products to a
   rectangle, one point after another. After the last chunk it transforms the sums into the gradient.

With a single chunk no sums but those of the threads' present rectangles are in memory. Each sum is taken over the tiles
in order, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, types

from minigan_kernels.numba.jit import Compiled, clear, inner, threads_for
from minigan_kernels.numba.memory import scratch
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, add_tile, address
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.winograd import (
    CACHE_LINE,
    TILE_COLUMNS,
    TILE_ROWS,
    TILES_ACROSS,
    TILES_DOWN,
    family_of,
    pixel_addresses,
    regions_of,
    strided_addresses,
    tile_position,
)
from minigan_kernels.numba.winograd_transforms import transform_cotangent, transform_input, transform_weight_grad

# Of the points of a chunk. On an AMD Zen 4, on two threads, 4 MiB was the fastest on the whole of 1, 2, 4 and 16 MiB.
_CHUNK_BYTES = 1 << 22
_DEPTH = min(192, (24 << 10) // PANEL_BYTES)  # tiles whose points are multiplied at once; a panel fills 24 KiB at most
# A rectangle of sums: the rows and columns for one point.
_RECTANGLE_STRIPS, _RECTANGLE_COLUMNS = 16, 128


@inner
def _tiles_in(region, images):
    return region[TILES_DOWN] * region[TILES_ACROSS] * images


@inner
def _input_points(scheme, x, zeros, points, first_row, step, region, tile):
    """Transform a tile of the image into the rows first_row, first_row + step, ... of `points`, one for each point."""
    count = (len(scheme[1]) + 1) * (len(scheme[2]) + 1)
    zero = x.dtype.type(0)
    channels, rows, columns = x.shape[3], region[TILE_ROWS], region[TILE_COLUMNS]
    image, i, j = tile_position(tile, region)
    pixels, point_rows = np.empty(count, np.int64), np.empty(count, np.int64)
    row_bytes = points.shape[1] * x.itemsize
    strided_addresses(address(points) + first_row * row_bytes, step * row_bytes, point_rows)
    for phase in range(4):
        top, left = 2 * i - 1 + phase // 2, 2 * j - 1 + phase - phase // 2 * 2
        pixel_addresses(x, image, top, left, 2, rows + 1, columns + 1, rows < columns, address(zeros), pixels)
        transform_input(zero, scheme, pixels, 0, point_rows, phase * channels * x.itemsize, channels)


@inner
def _cotangent_points(scheme, g, zeros, cotangents, first_row, step, tiles, region, tile):
    """Transform a tile of the cotangent into the rows first_row, first_row + step, ... of the first panel of points.

    The panels follow each other at a distance of `tiles` rows.
    """
    long, short = len(scheme[1]), len(scheme[2])
    zero = g.dtype.type(0)
    rows, columns = region[TILE_ROWS], region[TILE_COLUMNS]
    image, i, j = tile_position(tile, region)
    pixels, point_rows = np.empty(long * short, np.int64), np.empty((long + 1) * (short + 1), np.int64)
    pixel_addresses(g, image, i, j, 1, rows, columns, rows < columns, address(zeros), pixels)
    strided_addresses(address(cotangents) + first_row * PANEL_BYTES, step * PANEL_BYTES, point_rows)
    width = cotangents.shape[1]
    for left in range(0, g.shape[3], width):
        target = left // width * tiles * PANEL_BYTES
        transform_cotangent(zero, scheme, pixels, left * g.itemsize, point_rows, target, min(width, g.shape[3] - left))


@inner
def _transform_tiles(scheme, x, g, zeros, points, cotangents, region, first_image, images, before, first, last):
    """Transform the tiles numbered first..last-1 of a chunk in a region; `before`: the rows of points before them."""
    tiles = _tiles_in(region, images)
    panels = cotangents.shape[0] // points.shape[0]
    for row in range(first, last):
        tile = _tiles_in(region, first_image) + row
        _input_points(scheme, x, zeros, points, before + row, tiles, region, tile)
        _cotangent_points(scheme, g, zeros, cotangents, before * panels + row, tiles * panels, tiles, region, tile)


@inner
def _transform_chunk(t, threads, large, small, x, g, points, cotangents, regions, first_image, images):
    """Step 1 of thread t."""
    zeros = np.zeros(max(x.shape[3], g.shape[3]), x.dtype)
    before = 0
    for r in range(regions.shape[0]):
        region = regions[r]
        tiles = _tiles_in(region, images)
        chunk = (region, first_image, images, before, t * tiles // threads, (t + 1) * tiles // threads)
        if region[TILE_ROWS] != region[TILE_COLUMNS]:
            _transform_tiles((large, large, small), x, g, zeros, points, cotangents, *chunk)
        elif region[TILE_ROWS] == len(large):
            _transform_tiles((large, large, large), x, g, zeros, points, cotangents, *chunk)
        else:
            _transform_tiles((large, small, small), x, g, zeros, points, cotangents, *chunk)
        before += (region[TILE_ROWS] + 1) * (region[TILE_COLUMNS] + 1) * tiles
    zeros[0] = 0  # using the name here keeps Numba from freeing the array before the last use of its address


@inner
def _own_coordinate(i, extent, max_tile):
    """The row or column in a tile with `extent` outputs of the points in row or column i of the largest tile, or -1."""
    if i == max_tile:
        return extent  # the point at infinity is the last one in every tile
    return i if i < extent else -1


@inner
def _own_point(point, region, max_tile):
    """The number of `point`, one of (max_tile + 1) ** 2, in a tile of the region; -1 if the tile lacks it.

    A tile with fewer rows than columns has its points in transposed order.
    """
    rows, columns = region[TILE_ROWS], region[TILE_COLUMNS]
    i = point // (max_tile + 1)
    i, j = _own_coordinate(i, rows, max_tile), _own_coordinate(point - i * (max_tile + 1), columns, max_tile)
    if i < 0 or j < 0:
        return -1
    return j * (rows + 1) + i if rows < columns else i * (columns + 1) + j


@inner
def _add_products(points, cotangents, first_row, tiles, part, sums):
    """Add points^T @ cotangents of one point to a rectangle of the sums (panel, row, PANEL)."""
    zero = points.dtype.type(0)
    first_strip, strips, first_panel, panels = part
    size, row_bytes = points.itemsize, points.shape[1] * points.itemsize
    one_segment, offsets = np.zeros(1, np.int64), np.arange(ROWS) * size
    for first in range(0, tiles, _DEPTH):
        count = min(_DEPTH, tiles - first)
        left = address(points) + (first_row + first) * row_bytes + first_strip * ROWS * size
        for panel in range(panels):
            row = first_row * (cotangents.shape[0] // points.shape[0]) + (first_panel + panel) * tiles + first
            right, out = address(cotangents) + row * PANEL_BYTES, address(sums[panel])
            for strip in range(strips):
                add_tile(
                    zero, left + strip * ROWS * size, offsets, one_segment, row_bytes, count, right, PANEL_BYTES,
                    out + strip * ROWS * PANEL_BYTES, PANEL_BYTES,
                )  # fmt: skip


@inner
def _add_point(point, max_tile, points, cotangents, regions, images, part, sums):
    """Add the products of the tiles in all regions that have this point."""
    before = 0
    for r in range(regions.shape[0]):
        region = regions[r]
        tiles, own = _tiles_in(region, images), _own_point(point, region, max_tile)
        if own >= 0:
            _add_products(points, cotangents, before + own * tiles, tiles, part, sums)
        before += (region[TILE_ROWS] + 1) * (region[TILE_COLUMNS] + 1) * tiles


@inner
def _taps(scheme, sums, row, out, gradient_row, first_panel, panels):
    """Transform one row of the sums, of one channel in one phase, into the gradient of its 2 x 2 taps."""
    zero = out.dtype.type(0)
    _, _, channels, outputs = out.shape
    phase = gradient_row // channels
    channel = gradient_row - phase * channels
    point_rows, taps = np.empty(sums.shape[0], np.int64), np.empty(4, np.int64)
    strided_addresses(address(sums) + row * PANEL_BYTES, sums.strides[0], point_rows)
    for tap in range(4):
        u, v = phase // 2 + tap // 2 * 2, phase - phase // 2 * 2 + (tap - tap // 2 * 2) * 2
        taps[tap] = address(out[u, v, channel])
    width = sums.shape[3]
    for panel in range(first_panel, first_panel + panels):
        columns = min(width, outputs - panel * width)
        source = (panel - first_panel) * sums.strides[1]
        transform_weight_grad(zero, scheme, point_rows, source, taps, panel * PANEL_BYTES, columns)


@inner
def _multiply_chunk(
    t, threads, large, small, max_tile, points, cotangents, sums, out, regions, images, parts, is_first, is_last
):
    """Step 2 of thread t, for its share of the parts[0] x parts[1] rectangles."""
    rows, width = 4 * out.shape[2], sums.shape[4]
    strips, panels = (rows + ROWS - 1) // ROWS, (out.shape[3] + width - 1) // width
    units = parts[0] * parts[1]
    for unit in range(t * units // threads, (t + 1) * units // threads):
        across = unit // parts[0]
        down = unit - across * parts[0]
        top, bottom = down * strips // parts[0], (down + 1) * strips // parts[0]
        left, right = across * panels // parts[1], (across + 1) * panels // parts[1]
        own = sums[unit] if sums.shape[0] == units else sums[t]
        for point in range(own.shape[0]):
            if is_first:
                clear(own[point].reshape(-1))
            part = (top, bottom - top, left, right - left)
            _add_point(point, max_tile, points, cotangents, regions, images, part, own[point])
        if not is_last:
            continue
        for row in range(top * ROWS, min(rows, bottom * ROWS)):
            if max_tile == len(large):
                _taps((large, large, large), own, row - top * ROWS, out, row, left, right - left)
            else:
                _taps((large, small, small), own, row - top * ROWS, out, row, left, right - left)


@njit
def _weight_grad(large, small, max_tile, x, g, out, points, cotangents, sums, regions, chunks, parts, threads):
    for chunk in range(chunks):
        first, last = chunk * x.shape[0] // chunks, (chunk + 1) * x.shape[0] // chunks
        images = last - first
        buffers = (points, cotangents)
        parallel_for(threads, _transform_chunk, (large, small, x, g, *buffers, regions, first, images))
        ends = (chunk == 0, chunk == chunks - 1)
        parallel_for(
            threads, _multiply_chunk, (large, small, max_tile, *buffers, sums, out, regions, images, parts, *ends)
        )


def _signature(largest):
    integer = types.int64

    def signature(dtype):
        images, matrix, sums = (types.Array(dtype, n, "C") for n in (4, 2, 5))
        extents = (types.UniTuple(integer, largest), types.UniTuple(integer, largest - 1), integer)
        regions, pair = types.Array(integer, 2, "C"), types.UniTuple(integer, 2)
        return (*extents, images, images, images, matrix, matrix, sums, regions, integer, pair, integer)

    return signature


_KERNELS = {
    largest: Compiled(
        f"winograd F({largest} x {largest}, 2 x 2) weight gradient", _weight_grad, _signature(largest),
        "out points cotangents sums",
    )
    for largest in (3, 4)
}  # fmt: skip


@lru_cache
def _rectangles(threads, strips, panels, width):
    """(parts down, parts across) of the sums: rectangles of a limited size, as many for each thread."""
    across = -(-panels // max(1, _RECTANGLE_COLUMNS // width))
    down = -(-strips // _RECTANGLE_STRIPS)
    while down * across % threads and down < strips:
        down += 1
    return down, across


def weight_grad(x, g, geometry, out):
    """out = conv2d_weight_grad(x, g)."""
    family = family_of(geometry, x.shape[0])
    n, channels, outputs = x.shape[0], x.shape[3], g.shape[3]
    regions = regions_of(family.largest, n, *geometry.out, n, 1)
    max_tile = int(regions[:, [TILE_ROWS, TILE_COLUMNS]].max())
    width = PANEL_BYTES // x.itemsize
    panels, strips = -(-outputs // width), -(-4 * channels // ROWS)
    threads = threads_for(g.size * channels)
    parts = _rectangles(threads, strips, panels, width)
    row = 4 * channels + CACHE_LINE // x.itemsize  # the last strip reads past the end of its row
    tile_points = np.prod(regions[:, [TILE_ROWS, TILE_COLUMNS]] + 1, axis=1)
    image_points = int(tile_points @ np.prod(regions[:, [TILES_DOWN, TILES_ACROSS]], axis=1))
    image_bytes = image_points * (row + panels * width) * x.itemsize
    chunks = -(-n // max(1, _CHUNK_BYTES // image_bytes))
    rows = image_points * -(-n // chunks)
    slots = parts[0] * parts[1] if chunks > 1 else threads
    rectangle = (-(-panels // parts[1]), -(-strips // parts[0]) * ROWS)
    points, cotangents, sums = scratch(
        x.dtype, (rows, row), (rows * panels, width), (slots, (max_tile + 1) ** 2, *rectangle, width)
    )
    _KERNELS[family.largest].launch(
        x.dtype, *family.extents, max_tile, x, g, out, points, cotangents, sums, regions, chunks, parts, threads
    )
