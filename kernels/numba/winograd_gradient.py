"""The weight gradient of Winograd's convolution: G^T [ sum over tiles of (A Y' A^T) * (B^T X B) ] G.

The names are those of winograd.py, whose algorithm this is the adjoint of. Each point is a matrix product of (phases *
in, tiles) with (tiles, out). The images are divided into chunks whose points fit the budget _CHUNK_BYTES, and each
chunk takes two steps, which the threads begin together:

1. The points of all its tiles are computed, each once, in the order in which they are multiplied: those of the images
   in groups of GROUP channels, (point, group, tile, GROUP), those of the cotangent in panels.
2. The sums are divided into rectangles that stay in the second-level cache. A thread adds the chunk's products to a
   rectangle, one point after another. After the last chunk it transforms the sums into the gradient.

With a single chunk no sums but those of the threads' present rectangles are in memory. Each sum is taken over the tiles
in order, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, types

from minigan_kernels.numba import gemm_functions as index
from minigan_kernels.numba.cpu import vector_bytes
from minigan_kernels.numba.gemm_functions import COUNT, gemm_functions
from minigan_kernels.numba.jit import Compiled, clear, inner, threads_for
from minigan_kernels.numba.memory import scratch
from minigan_kernels.numba.microkernel import address
from minigan_kernels.numba.packed_microkernel import PANEL_BYTES, TALL
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.vector_code import call_native
from minigan_kernels.numba.winograd import (
    CACHE_LINE,
    TILE_COLUMNS,
    TILE_ROWS,
    TILES_ACROSS,
    TILES_DOWN,
    family_of,
    panel_ahead,
    pixel_addresses,
    prefetch_tile,
    regions_of,
    strided_addresses,
    tile_position,
)
from minigan_kernels.numba.winograd_transforms import (
    GROUP,
    transform_cotangent,
    transform_input_in_groups,
    transform_weight_grad,
)

# Of the points of a chunk. On an AMD Zen 4, on two threads, 4 MiB was the fastest on the whole of 1, 2, 4 and 16 MiB.
_CHUNK_BYTES = 1 << 22
_DEPTH = 96 if vector_bytes() == 64 else 192  # tiles whose points are multiplied at once: a panel of 12 KiB
# A rectangle of sums: the rows, in strips of TALL, and the columns for one point.
_RECTANGLE_STRIPS, _RECTANGLE_COLUMNS = 96 // TALL, 128
_GROUP_STRIPS = GROUP // TALL


@inner
def _tiles_in(region, images):
    return region[TILES_DOWN] * region[TILES_ACROSS] * images


@inner
def _input_points(scheme, x, zeros, points, first_row, step, tiles, region, tile):
    """Transform a tile of the image into the rows first_row, first_row + step, ... of the first group of points.

    The groups follow each other at a distance of `tiles` rows.
    """
    count = (len(scheme[1]) + 1) * (len(scheme[2]) + 1)
    zero = x.dtype.type(0)
    channels, rows, columns = x.shape[3], region[TILE_ROWS], region[TILE_COLUMNS]
    image, i, j = tile_position(tile, region)
    pixels, point_rows = np.empty(count, np.int64), np.empty(count, np.int64)
    row_bytes = GROUP * x.itemsize
    strided_addresses(address(points) + first_row * row_bytes, step * row_bytes, point_rows)
    for phase in range(4):
        top, left = 2 * i - 1 + phase // 2, 2 * j - 1 + phase - phase // 2 * 2
        pixel_addresses(x, image, top, left, 2, rows + 1, columns + 1, rows < columns, address(zeros), pixels)
        transform_input_in_groups(zero, scheme, pixels, point_rows, phase * channels, tiles * row_bytes, channels)


@inner
def _cotangent_points(scheme, g, zeros, cotangents, first_row, step, tiles, region, tile):
    """The same for a tile of the cotangent and its panels of points."""
    long, short = len(scheme[1]), len(scheme[2])
    zero = g.dtype.type(0)
    rows, columns = region[TILE_ROWS], region[TILE_COLUMNS]
    image, i, j = tile_position(tile, region)
    pixels, point_rows = np.empty(long * short, np.int64), np.empty((long + 1) * (short + 1), np.int64)
    pixel_addresses(g, image, i, j, 1, rows, columns, rows < columns, address(zeros), pixels)
    strided_addresses(address(cotangents) + first_row * PANEL_BYTES, step * PANEL_BYTES, point_rows)
    transform_cotangent(zero, scheme, pixels, point_rows, 0, tiles * PANEL_BYTES, g.shape[3])


@inner
def _transform_tiles(scheme, x, g, zeros, points, cotangents, region, first_image, images, before, first, last):
    """Transform the tiles numbered first..last-1 of a chunk in a region; `before`: the rows of points before them."""
    tiles = _tiles_in(region, images)
    groups, panels = points.shape[1], cotangents.shape[1]
    for row in range(first, last):
        tile = _tiles_in(region, first_image) + row
        if row + 1 < last:
            prefetch_tile(x, False, tile + 1, region)
        _input_points(scheme, x, zeros, points, before * groups + row, tiles * groups, tiles, region, tile)
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
def _add_products(functions, points, cotangents, first_row, tiles, part, sums, adds):
    """Add points^T @ cotangents of one point to a rectangle of the sums (panel, row, PANEL); store them unless `adds`.

    The point has the rows first_row .. first_row + tiles - 1 of every group and panel.
    """
    zero, size = points.dtype.type(0), points.itemsize
    first_strip, strips, first_panel, panels = part
    for first in range(0, tiles, _DEPTH):
        depth = min(_DEPTH, tiles - first)
        for panel in range(panels):
            row = first_row * cotangents.shape[1] + (first_panel + panel) * tiles + first
            right = address(cotangents) + row * PANEL_BYTES
            ahead = panel_ahead(right + tiles * PANEL_BYTES, depth, PANEL_BYTES)
            done = 0
            while done < strips:
                group, strip = divmod(first_strip + done, _GROUP_STRIPS)
                count = min(strips - done, _GROUP_STRIPS - strip)
                row = first_row * points.shape[1] + group * tiles + first
                left = (address(points) + (row * GROUP + strip * TALL) * size, depth, count, done)
                out = address(sums[panel]) + done * TALL * PANEL_BYTES
                target = (out, PANEL_BYTES, count * TALL, 0, min(adds + first, 1), 0)
                call_native(functions[index.COLUMNS], zero, (left, (right, 0, 0), target, ahead, GROUP * size))
                done += count


@inner
def _add_point(functions, point, max_tile, points, cotangents, regions, images, part, sums, adds):
    """Add the products of the tiles in all regions that have this point to the sums; replace them unless `adds`."""
    before = 0
    for r in range(regions.shape[0]):
        region = regions[r]
        tiles, own = _tiles_in(region, images), _own_point(point, region, max_tile)
        if own >= 0:
            _add_products(functions, points, cotangents, before + own * tiles, tiles, part, sums, adds)
            adds = 1
        before += (region[TILE_ROWS] + 1) * (region[TILE_COLUMNS] + 1) * tiles
    if adds == 0:
        clear(sums.reshape(-1))


@inner
def _taps(scheme, sums, row, out, gradient_row, first_panel, panels):
    """Transform one row of the sums, of one channel in one phase, into the gradient of its 2 x 2 taps."""
    zero = out.dtype.type(0)
    _, _, channels, outputs = out.shape
    phase = gradient_row // channels
    channel = gradient_row - phase * channels
    point_rows, taps = np.empty(sums.shape[0], np.int64), np.empty(4, np.int64)
    strided_addresses(address(sums) + row * PANEL_BYTES, sums.strides[0], point_rows)
    left = first_panel * sums.shape[3]
    columns = min(panels * sums.shape[3], outputs - left)
    for tap in range(4):
        u, v = phase // 2 + tap // 2 * 2, phase - phase // 2 * 2 + (tap - tap // 2 * 2) * 2
        taps[tap] = address(out[u, v, channel, left:])
    transform_weight_grad(zero, scheme, point_rows, taps, 0, sums.strides[1], columns)


@inner
def _multiply_chunk(
    t, threads, functions, large, small, max_tile, points, cotangents, sums, out, regions, images, parts, is_first,
    is_last,
):  # fmt: skip
    """Step 2 of thread t, for its share of the parts[0] x parts[1] rectangles."""
    rows, width = 4 * out.shape[2], sums.shape[4]
    strips, panels = (rows + TALL - 1) // TALL, (out.shape[3] + width - 1) // width
    units = parts[0] * parts[1]
    for unit in range(t * units // threads, (t + 1) * units // threads):
        across = unit // parts[0]
        down = unit - across * parts[0]
        top, bottom = down * strips // parts[0], (down + 1) * strips // parts[0]
        left, right = across * panels // parts[1], (across + 1) * panels // parts[1]
        own = sums[unit] if sums.shape[0] == units else sums[t]
        for point in range(own.shape[0]):
            part, adds = (top, bottom - top, left, right - left), 0 if is_first else 1
            _add_point(functions, point, max_tile, points, cotangents, regions, images, part, own[point], adds)
        if not is_last:
            continue
        for row in range(top * TALL, min(rows, bottom * TALL)):
            if max_tile == len(large):
                _taps((large, large, large), own, row - top * TALL, out, row, left, right - left)
            else:
                _taps((large, small, small), own, row - top * TALL, out, row, left, right - left)


@njit
def _weight_grad(
    functions, large, small, max_tile, x, g, out, points, cotangents, sums, regions, chunks, parts, threads
):
    for chunk in range(chunks):
        first, last = chunk * x.shape[0] // chunks, (chunk + 1) * x.shape[0] // chunks
        images = last - first
        buffers, ends = (points, cotangents), (chunk == 0, chunk == chunks - 1)
        parallel_for(threads, _transform_chunk, (large, small, x, g, *buffers, regions, first, images))
        arguments = (functions, large, small, max_tile, *buffers, sums, out, regions, images, parts, *ends)
        parallel_for(threads, _multiply_chunk, arguments)


def _signature(largest):
    integer = types.int64

    def signature(dtype):
        images, stack, sums = (types.Array(dtype, n, "C") for n in (4, 3, 5))
        extents = (types.UniTuple(integer, largest), types.UniTuple(integer, largest - 1), integer)
        regions, pair = types.Array(integer, 2, "C"), types.UniTuple(integer, 2)
        functions = types.UniTuple(integer, COUNT)
        return (functions, *extents, images, images, images, stack, stack, sums, regions, integer, pair, integer)

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
    panels, strips, groups = -(-outputs // width), -(-4 * channels // TALL), -(-4 * channels // GROUP)
    threads = threads_for(g.size * channels)
    parts = _rectangles(threads, strips, panels, width)
    tile_points = np.prod(regions[:, [TILE_ROWS, TILE_COLUMNS]] + 1, axis=1)
    image_points = int(tile_points @ np.prod(regions[:, [TILES_DOWN, TILES_ACROSS]], axis=1))
    image_bytes = image_points * (4 * channels + CACHE_LINE // x.itemsize + panels * width) * x.itemsize
    chunks = -(-n // max(1, _CHUNK_BYTES // image_bytes))
    rows = image_points * -(-n // chunks)
    slots = parts[0] * parts[1] if chunks > 1 else threads
    rectangle = (-(-panels // parts[1]), -(-strips // parts[0]) * TALL)
    points, cotangents, sums = scratch(
        x.dtype, (rows, groups, GROUP), (rows, panels, width), (slots, (max_tile + 1) ** 2, *rectangle, width)
    )
    _KERNELS[family.largest].launch(
        x.dtype, gemm_functions(x.dtype), *family.extents, max_tile, x, g, out, points, cotangents, sums, regions,
        chunks, parts, threads,
    )  # fmt: skip
