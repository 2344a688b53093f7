"""Winograd's algorithm for convolutions with a 4 x 4 kernel, stride 2 and padding 1, and for both their gradients.

A stride of 2 splits the image by the parity of row and column into four phases, and the kernel with it: the convolution
is the sum of four convolutions with 2 x 2 taps and stride 1. For each of these, F(m, 2) in both directions computes
m x m outputs from n x n pixels, n = m + 1, with n * n multiplications instead of 4 m * m (Lavin and Gray, 2016):

    Y = A^T [ (G W G^T) * (B^T X B) ] A        summed over phases and channels before the last map

so 9 instead of 16 for m = 2, and 16 instead of 36 for m = 3. The n * n elements of a transformed tile are called its
points, after the interpolation points of cook_toom.py. Each point is a matrix product of (tiles, phases * in) with
(phases * in, out), which the register tile computes. The input gradient, a transposed convolution, works the other way
round: its output falls into four phases, and each is a convolution with 2 x 2 taps. The weight gradient is the adjoint:
G^T [ sum over tiles of (A Y' A^T) * (B^T X B) ] G.

An image is divided into tiles of two sizes, so that few outputs are computed in vain: 7 rows are 3 + 2 + 2, with 10
multiplications in each column instead of the 12 for four tiles of 2. This makes four regions, with large or small tiles
down and across. The points of a small tile are among those of a large one, so all regions share the transformed
weights.

The compiler must know the extents of a tile. So they are passed as tuples of ones, of which only the length matters:
`large` and `small`, and in `scheme` the family (its largest extent), the rows and the columns of the tile. `max_tile`
is the larger extent that the division of the image really uses; the transformed weights have (max_tile + 1) ** 2
points.

Tiles are processed in blocks whose points stay in the second-level cache. For the convolution, each thread computes its
own tiles. So no thread waits for another, and the bits do not depend on the number of threads. The weight gradient is
in winograd_gradient.py.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import aligned_zeros
from minigan_kernels.numba import gemm_functions as index
from minigan_kernels.numba.gemm_functions import COUNT, gemm_functions
from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import scratch
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, address, prefetch
from minigan_kernels.numba.parallel_for import parallel_for
from minigan_kernels.numba.transpose import transpose_last_axes
from minigan_kernels.numba.vector_code import call_native
from minigan_kernels.numba.winograd_transforms import (
    CHANNELS,
    transform_input,
    transform_output,
    transform_weights,
)
from minigan_kernels.packed_weights import get_packed

_BLOCK = 72  # tiles in a block, whose points are multiplied together
CACHE_LINE = 64  # bytes added to each row of points, so that the rows do not all map to the same set of the cache
# The fewest output pixels for which these kernels are used. Transforming the weights takes as long as the algorithm
# saves with so many pixels; the fast family has more points (25) to transform.
FEWEST_PIXELS = {"exact": 256, "fast": 4096}
# With so many output pixels, transforming weights takes an eighth of a convolution's time or less. Then those of the
# input gradient are transformed into the memory of the convolution's, and the other way round.
_SHARING_PIXELS = 1024

# The columns of an array of regions, one region in each row: the extents of its tiles, its first output row and column,
# its number of tiles down, across and in all images, and the number of blocks into which these are divided.
TILE_ROWS, TILE_COLUMNS, TOP, LEFT, TILES_DOWN, TILES_ACROSS, TILES, BLOCKS = range(8)


@inner
def pixel_addresses(images, image, top, left, step, rows, columns, transposed, outside, table):
    """Write the addresses of rows x columns pixels, `step` apart, to `table`; of their transpose if `transposed`.

    For pixels outside the image the table gets the address `outside`.
    """
    _, height, width, channels = images.shape
    row_bytes, pixel_bytes = width * channels * images.itemsize, channels * images.itemsize
    base = address(images) + image * height * row_bytes
    for i in range(rows):
        for j in range(columns):
            row, column = top + i * step, left + j * step
            inside = row >= 0 and row < height and column >= 0 and column < width
            entry = j * rows + i if transposed else i * columns + j
            table[entry] = base + row * row_bytes + column * pixel_bytes if inside else outside


@inner
def prefetch_pixels(images, image, top, left, rows, columns):
    """Prefetch those of rows x columns adjacent pixels that are inside the image."""
    _, height, width, channels = images.shape
    first, last, pixel_bytes = max(left, 0), min(left + columns, width), channels * images.itemsize
    for row in range(max(top, 0), min(top + rows, height)):
        prefetch(address(images) + ((image * height + row) * width + first) * pixel_bytes, (last - first) * pixel_bytes)


@inner
def strided_addresses(base, step, table):
    """Fill `table` with base, base + step, base + 2 * step, ..."""
    for i in range(table.size):
        table[i] = base + i * step


@inner
def tile_position(number, region):
    """(image, first output row, first output column) of tile `number` of a region."""
    down, across = region[TILES_DOWN], region[TILES_ACROSS]
    image = number // (down * across)
    rest = number - image * (down * across)
    row = rest // across
    column = rest - row * across
    return image, region[TOP] + row * region[TILE_ROWS], region[LEFT] + column * region[TILE_COLUMNS]


@inner
def _shared_point(p, rows, columns, transposed, max_tile):
    """The number that point p of a tile of rows x columns outputs has in a tile of max_tile x max_tile.

    The point at infinity is the last one in its direction.
    """
    i = p // (columns + 1)
    j = p - i * (columns + 1)
    i, j = i if i < rows else max_tile, j if j < columns else max_tile
    return j * (max_tile + 1) + i if transposed else i * (max_tile + 1) + j


@inner
def _multiply_points(functions, rows, columns, transposed, max_tile, points, weights, products, count):
    """products[p, panel, tile, :] = points[p, tile] @ weights[point, panel] for every point and `count` tiles.

    Points are numbered as in a tile of rows x columns outputs; in `weights` as in one of max_tile x max_tile.
    """
    zero = points.dtype.type(0)
    depth, row_bytes = weights.shape[2], points.shape[2] * points.itemsize
    blocks = (count + ROWS - 1) // ROWS
    for p in range((rows + 1) * (columns + 1)):
        left = (address(points[p]), depth, blocks, 0)
        point = _shared_point(p, rows, columns, transposed, max_tile)
        for panel in range(weights.shape[1]):
            right = address(weights[point, panel])
            ahead = panel_ahead(right + depth * PANEL_BYTES, depth, PANEL_BYTES)
            target = (address(products[p, panel]), PANEL_BYTES, blocks * ROWS, 0, 0, 0)
            call_native(functions[index.ROWS], zero, (left, (right, 0, 0), target, ahead, row_bytes))


@inner
def panel_ahead(panel, depth, row_bytes):
    """What to prefetch for the packed panel at the address `panel`; see MULTIPLY_TALL."""
    return panel, row_bytes, 4 * row_bytes, depth // 4 * row_bytes, CACHE_LINE


@inner
def _convolve_block(
    functions, scheme, max_tile, source, weights, bias, slope, out, is_input_grad, points, products, region, first, last
):
    """Compute the tiles numbered first..last-1 of a region, in each phase of the output.

    A tile with fewer rows than columns is computed as its transpose: its pixels, points and outputs are transposed.
    """
    long, short = len(scheme[1]), len(scheme[2])  # the extents of the tile, the larger first
    rows, columns = region[TILE_ROWS], region[TILE_COLUMNS]
    transposed = rows < columns
    zero = source.dtype.type(0)
    channels = source.shape[3]
    count = (long + 1) * (short + 1)
    inputs, outputs = np.empty(count, np.int64), np.empty(long * short, np.int64)
    point_rows = np.empty(count, np.int64)
    zeros, discarded = np.zeros(channels, source.dtype), np.empty(out.shape[3], out.dtype)
    for group in range(weights.shape[0]):
        down, across = group // 2, group - group // 2 * 2
        for tile in range(first, last):
            image, i, j = tile_position(tile, region)
            strided_addresses(address(points) + (tile - first) * points.strides[1], points.strides[0], point_rows)
            if group == 0 and tile + 1 < last:
                prefetch_tile(source, is_input_grad, tile + 1, region)
            for phase in range(1 if is_input_grad else 4):
                if is_input_grad:
                    top, left, step = i + down - 1, j + across - 1, 1
                else:
                    top, left, step = 2 * i - 1 + phase // 2, 2 * j - 1 + phase - phase // 2 * 2, 2
                pixel_addresses(
                    source, image, top, left, step, rows + 1, columns + 1, transposed, address(zeros), inputs
                )
                transform_input(zero, scheme, inputs, point_rows, phase * channels, 0, channels)
        _multiply_points(functions, long, short, transposed, max_tile, points, weights[group], products, last - first)
        for tile in range(first, last):
            image, i, j = tile_position(tile, region)
            if is_input_grad:
                top, left, step = 2 * i + down, 2 * j + across, 2
            else:
                top, left, step = i, j, 1
            pixel_addresses(out, image, top, left, step, rows, columns, transposed, address(discarded), outputs)
            strided_addresses(address(products) + (tile - first) * PANEL_BYTES, products.strides[0], point_rows)
            transform_output(
                zero, scheme, point_rows, outputs, 0, products.strides[1], out.shape[3], address(bias), slope
            )


@inner
def prefetch_tile(source, is_input_grad, tile, region):
    """Prefetch the pixels of a tile, but for those that it shares with the tile on its left."""
    image, i, j = tile_position(tile, region)
    rows, columns, shared = region[TILE_ROWS], region[TILE_COLUMNS], min(j, 1)
    if is_input_grad:
        prefetch_pixels(source, image, i - 1, j - 1 + shared, rows + 2, columns + 2 - shared)
    else:
        top, left = 2 * i - 1, 2 * (j + shared) - 1
        prefetch_pixels(source, image, top, left, 2 * rows + 2, 2 * columns + 2 - 2 * shared)


@inner
def _convolve_chunk(
    t, threads, functions, large, small, max_tile, source, weights, bias, slope, out, is_input_grad, points, products,
    regions,
):  # fmt: skip
    """The blocks of thread t, in all regions."""
    arguments = (max_tile, source, weights, bias, slope, out, is_input_grad, points[t], products[t])
    for r in range(regions.shape[0]):
        region = regions[r]
        tiles, blocks = region[TILES], region[BLOCKS]
        for b in range(t * blocks // threads, (t + 1) * blocks // threads):
            first, last = b * tiles // blocks, (b + 1) * tiles // blocks
            if region[TILE_ROWS] != region[TILE_COLUMNS]:
                _convolve_block(functions, (large, large, small), *arguments, region, first, last)
            elif region[TILE_ROWS] == len(large):
                _convolve_block(functions, (large, large, large), *arguments, region, first, last)
            else:
                _convolve_block(functions, (large, small, small), *arguments, region, first, last)


@njit
def _convolve(
    functions, large, small, max_tile, source, weights, bias, slope, out, is_input_grad, points, products, regions,
    threads,
):  # fmt: skip
    arguments = (source, weights, bias, slope, out, is_input_grad, points, products, regions)
    parallel_for(threads, _convolve_chunk, (functions, large, small, max_tile, *arguments))


@inner
def _transform_row(scheme, taps, is_input_grad, weights, row):
    """Transform the taps of one channel in one phase into their row of the panels."""
    zero = taps.dtype.type(0)
    _, _, depth, columns = taps.shape
    phase = row // depth
    k = row - phase * depth
    i, j = phase // 2, phase - phase // 2 * 2
    tap_addresses, point_rows = np.empty(4, np.int64), np.empty(weights.shape[1], np.int64)
    for tap in range(4):
        a, b = tap // 2 * 2, (tap - tap // 2 * 2) * 2
        tap_addresses[tap] = address(taps[3 - i - a, 3 - j - b, k]) if is_input_grad else address(taps[i + a, j + b, k])
    group, panel_row = (phase, k) if is_input_grad else (0, row)
    strided_addresses(address(weights[group]) + panel_row * PANEL_BYTES, weights.strides[1], point_rows)
    transform_weights(zero, scheme, tap_addresses, point_rows, 0, weights.strides[2], columns)


@inner
def _transform_chunk(t, threads, large, small, max_tile, taps, is_input_grad, weights):
    """The rows of thread t."""
    rows = 4 * taps.shape[2]
    for row in range(t * rows // threads, (t + 1) * rows // threads):
        if max_tile == len(large):
            _transform_row((large, large, large), taps, is_input_grad, weights, row)
        else:
            _transform_row((large, small, small), taps, is_input_grad, weights, row)


@njit
def _transform(large, small, max_tile, taps, is_input_grad, weights, threads):
    parallel_for(threads, _transform_chunk, (large, small, max_tile, taps, is_input_grad, weights))


def _signatures(largest):
    """The signatures of the two kernels of a family; see `_Family`."""
    integer, flag = types.int64, types.boolean

    def extent(outputs):
        return types.UniTuple(integer, outputs)

    def array(dtype, dimensions):
        return types.Array(dtype, dimensions, "C")

    functions = types.UniTuple(integer, COUNT)
    extents = (extent(largest), extent(largest - 1), integer)

    def convolve(dtype):
        images = array(dtype, 4)
        operands = (images, array(dtype, 5), array(dtype, 1), dtype, images, flag)
        return (functions, *extents, *operands, array(dtype, 4), array(dtype, 5), array(integer, 2), integer)

    def transform(dtype):
        return (*extents, array(dtype, 4), flag, array(dtype, 5), integer)

    return convolve, transform


class _Family:
    """The kernels that divide images into tiles with extents of `largest` and `largest` - 1 outputs."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.extents = (1,) * largest, (1,) * (largest - 1)
        name = f"winograd F({largest} x {largest}, 2 x 2)"
        convolve, transform = _signatures(largest)
        self.convolve = Compiled(name, _convolve, convolve, "out points products")
        self.transform = Compiled(f"{name} of weights", _transform, transform, "weights")


_EXACT, _FAST = _Family(3), _Family(4)


def family_of(geometry, images) -> _Family:
    """The kernels for a convolution of so many images."""
    few = images * geometry.out[0] * geometry.out[1] < FEWEST_PIXELS["fast"]
    return _EXACT if geometry.precision == "exact" or few else _FAST


@lru_cache
def _division(extent: int, largest: int) -> tuple[int, int]:
    """(tiles of `largest` outputs, tiles of `largest` - 1 outputs) that cover `extent` in fewest multiplications."""
    small = largest - 1
    choices = [(n, max(0, -(-(extent - n * largest) // small))) for n in range(-(-extent // largest) + 1)]
    return min(choices, key=lambda choice: choice[0] * (largest + 1) + choice[1] * largest)


@lru_cache
def regions_of(largest: int, images: int, rows: int, columns: int, block: int, threads: int) -> np.ndarray:
    """The array of regions, each with tiles of one shape.

    Each region has about `block` tiles in a block, and a number of blocks that is divisible by `threads`.
    """
    regions, top = [], 0
    for tile_rows, down in zip((largest, largest - 1), _division(rows, largest), strict=True):
        left = 0
        for tile_columns, across in zip((largest, largest - 1), _division(columns, largest), strict=True):
            if tiles := images * down * across:
                blocks = -(-tiles // (block * threads)) * threads
                regions.append((tile_rows, tile_columns, top, left, down, across, tiles, blocks))
            left += tile_columns * across
        top += tile_rows * down
    return np.array(regions, np.int64)


def applies(geometry, images, channels, outputs) -> bool:
    """Whether these kernels can compute the convolution, and save more time than transforming the weights takes."""
    if channels % CHANNELS or outputs % CHANNELS:
        return False
    if images * geometry.out[0] * geometry.out[1] < FEWEST_PIXELS["exact"]:
        return False
    return (geometry.kernel, geometry.stride, geometry.padding) == ((4, 4), (2, 2), ((1, 1), (1, 1)))


def convolve(x, w, bias, slope, geometry, packed, out, *, is_input_grad):
    """out = leaky_relu(conv2d(x, w) + bias), or leaky_relu(conv2d_input_grad(x, w) + bias) if `is_input_grad`."""
    family = family_of(geometry, x.shape[0])
    rows, columns = ((n + 1) // 2 for n in geometry.size) if is_input_grad else geometry.out
    threads = threads_for(out.size * w.shape[3 if is_input_grad else 2])
    regions = regions_of(family.largest, x.shape[0], rows, columns, _BLOCK, threads)
    max_tile = int(regions[:, [TILE_ROWS, TILE_COLUMNS]].max())
    weights = _transformed_weights(family, max_tile, w, packed, is_input_grad, x.shape[0] * math.prod(geometry.out))
    points, products = scratch(
        x.dtype,
        (threads, weights.shape[1], _BLOCK, weights.shape[3] + CACHE_LINE // x.itemsize),
        (threads, weights.shape[1], weights.shape[2], _BLOCK, weights.shape[4]),
    )
    slope = x.dtype.type(slope)
    family.convolve.launch(
        x.dtype, gemm_functions(x.dtype), *family.extents, max_tile, x, weights, bias, slope, out, is_input_grad,
        points, products, regions, threads,
    )  # fmt: skip


def _transformed_weights(family, max_tile, w, packed, is_input_grad, pixels):
    """The points of w in panels (groups, points, panels, depth, PANEL), from the cache `packed`.

    The convolution and the input gradient of many output pixels share their memory.
    """
    width = PANEL_BYTES // w.itemsize
    _, _, channels, outputs = w.shape
    columns, groups, depth = (channels, 4, outputs) if is_input_grad else (outputs, 1, 4 * channels)
    shape = (groups, (max_tile + 1) ** 2, -(-columns // width), depth, width)

    def allocate():
        return aligned_zeros((math.prod(shape),), w.dtype)

    def fill(weights):
        taps = transpose_last_axes(w) if is_input_grad else w
        panels, threads = weights.reshape(shape), threads_for(w.size)
        family.transform.launch(w.dtype, *family.extents, max_tile, taps, is_input_grad, panels, threads)

    name = ("winograd", family.largest, max_tile, math.prod(shape))
    other = (*name, not is_input_grad) if pixels >= _SHARING_PIXELS else None
    return get_packed(packed, (*name, is_input_grad), allocate, fill, other).reshape(shape)
