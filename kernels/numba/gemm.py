"""Matrix product with any operand transposed, and a dense layer in one pass, on the register tile.

    out = A @ B                                A: (M, K), B: (K, N), either stored transposed
    out = leaky(A @ B + bias)                  the dense layer: bias and LeakyReLU while the tile is in cache

2 M N K flops. B is packed once into panels of PANEL columns, (panel, k, PANEL), so that the micro-kernel reads
it in order, unless it is read only a few times; A is read where it lies. Each ROWS x PANEL tile of `out` is one
unit of work, summed over k in order by one thread: the bits do not depend on the number of threads.

Packing a transposed B is slow (it gathers), and in a wide network the transposed operand is the large one, the
weights (dx = g @ w.T). Where that is so, the product is computed as its transpose, out.T = w @ g.T: the weights
become the left side, which is read where it lies; the price is to gather the small gradient and scatter `out`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import result
from minigan_kernels.numba import skinny_gemm
from minigan_kernels.numba.jit import Compiled, gated, inner, threads_for
from minigan_kernels.numba.memory import plain, scratch, zeros
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, address, multiply_tile
from minigan_kernels.numba.parallel_for import parallel_for

_FEW_ROWS = 64  # of the result: then a panel is read so few times that packing it first does not pay
_NEAR = 1 << 18  # bytes that stay in a core's own cache: there packing does not pay either
_MULTIPLY_ADDS = 8  # in registers take as long as touching one number in memory
_TRANSPOSE_BLOCK = 16  # steps of k gathered together: their panel rows stay in the first-level cache


@inner
def _pack_part(b, transposed, packed, first, last):
    """Pack the k-steps numbered first..last-1, counting panel after panel."""
    _panels, depth, width = packed.shape
    columns = b.shape[0] if transposed else b.shape[1]
    step = first
    while step < last:
        panel = step // depth
        k0 = step - panel * depth
        k1 = min(depth, k0 + (last - step))
        left = panel * width
        filled = min(width, columns - left)
        if transposed:
            for block in range(k0, k1, _TRANSPOSE_BLOCK):
                end = min(k1, block + _TRANSPOSE_BLOCK)
                for j in range(filled):
                    for k in range(block, end):
                        packed[panel, k, j] = b[left + j, k]
        else:
            for k in range(k0, k1):
                source, target = b[k, left : left + filled], packed[panel, k]
                for j in range(filled):
                    target[j] = source[j]
        step += k1 - k0


@inner
def _store(tile, out, top, left, height, width, transposed):
    if transposed:
        for j in range(width):
            target = out[left + j, top : top + height]
            if height == ROWS:  # a loop of known length, which the compiler unrolls
                for i in range(ROWS):
                    target[i] = tile[i, j]
            else:
                for i in range(height):
                    target[i] = tile[i, j]
    else:
        for i in range(height):
            target = out[top + i, left : left + width]
            for j in range(width):
                target[j] = tile[i, j]


@inner
def _store_bent(tile, bias, slope, out, top, left, height, width):
    shift = bias[left : left + width]
    for i in range(height):
        target = out[top + i, left : left + width]
        for j in range(width):
            total = tile[i, j] + shift[j]
            target[j] = gated(total, total, slope)


@inner
def _multiply_part(a, transposed, b, direct, packed, bias, slope, out, out_transposed, first, last):
    """Compute the tiles numbered first..last-1, counting down the rows of one panel after another.

    Where `direct`, full panels of B are read where they lie, and only its last, narrower one is packed.
    """
    _panels, depth, panel_width = packed.shape
    size = a.itemsize
    rows = a.shape[1] if transposed else a.shape[0]
    row_stride, k_stride = (size, a.shape[1] * size) if transposed else (a.shape[1] * size, size)
    columns = out.shape[0] if out_transposed else out.shape[1]
    blocks = (rows + ROWS - 1) // ROWS
    offsets = np.empty(ROWS, np.int64)
    whole = np.zeros(1, np.int64)
    tile = np.empty((ROWS, panel_width), a.dtype)
    number = a.dtype.type(0)
    for unit in range(first, last):
        panel = unit // blocks
        top = (unit - panel * blocks) * ROWS
        height = min(ROWS, rows - top)
        left = panel * panel_width
        width = min(panel_width, columns - left)
        for i in range(ROWS):  # rows past the end repeat the last one: read safely, never stored
            offsets[i] = (top + min(i, height - 1)) * row_stride
        if direct and width == panel_width:
            source, step = address(b) + left * size, b.shape[1] * size
        else:
            source, step = address(packed) + panel * depth * PANEL_BYTES, PANEL_BYTES
        straight = height == ROWS and width == panel_width and not (bias.size or out_transposed)
        place = address(out) + (top * columns + left) * size if straight else address(tile)
        place_step = columns * size if straight else PANEL_BYTES
        multiply_tile(number, address(a), offsets, whole, k_stride, depth, source, step, place, place_step)
        if straight:
            continue
        if bias.size:
            _store_bent(tile, bias, slope, out, top, left, height, width)
        else:
            _store(tile, out, top, left, height, width, out_transposed)


@inner
def _pack_share(t, threads, b, transposed, packed):
    steps = packed.shape[0] * packed.shape[1]
    _pack_part(b, transposed, packed, t * steps // threads, (t + 1) * steps // threads)


@inner
def _multiply_share(
    t, threads, a, transposed, b, b_transposed, direct, apart, packed, bias, slope, out, out_transposed
):
    rows = a.shape[1] if transposed else a.shape[0]
    units = packed.shape[0] * ((rows + ROWS - 1) // ROWS)
    if apart:
        _pack_share(t, threads, b, b_transposed, packed)
    first, last = t * units // threads, (t + 1) * units // threads
    _multiply_part(a, transposed, b, direct, packed, bias, slope, out, out_transposed, first, last)


@njit
def _gemm(a, a_transposed, b, b_transposed, direct, bias, slope, out, out_transposed, packed, threads):
    # Where panels divide evenly, each thread computes from just the panels it packs: nobody waits in between.
    apart = packed.shape[0] % threads == 0 and not direct
    if direct:
        depth = packed.shape[1]
        _pack_part(b, b_transposed, packed, b.shape[1] // packed.shape[2] * depth, packed.shape[0] * depth)
    elif not apart:
        parallel_for(threads, _pack_share, (b, b_transposed, packed))
    right = (b, b_transposed, direct, apart, packed)
    parallel_for(threads, _multiply_share, (a, a_transposed, *right, bias, slope, out, out_transposed))


def _signature(number):
    matrix, flag = types.Array(number, 2, "C"), types.boolean
    vector, panels = types.Array(number, 1, "C"), types.Array(number, 3, "C")
    return (matrix, flag, matrix, flag, flag, vector, number, matrix, flag, panels, types.int64)


GEMM = Compiled("matmul", _gemm, _signature, "out packed")


def matmul(a, b, transpose_a, transpose_b, out=None):
    """op(a) @ op(b) for matrices; see `reference.matmul`."""
    a, b = plain(a), plain(b)
    transpose_a, transpose_b = bool(transpose_a), bool(transpose_b)
    rows, depth = a.shape[::-1] if transpose_a else a.shape
    columns = b.shape[0] if transpose_b else b.shape[1]
    out = result((rows, columns), a.dtype, out)
    if rows <= skinny_gemm.LIMIT or depth <= skinny_gemm.LIMIT or columns <= skinny_gemm.LIMIT:
        skinny_gemm.matmul(a, b, transpose_a, transpose_b, out)
    elif transpose_b and rows * (depth + columns) < depth * columns:
        _run(b, False, a, not transpose_a, zeros(0, a.dtype), 1.0, out, True, columns, depth, rows)
    else:
        _run(a, transpose_a, b, transpose_b, zeros(0, a.dtype), 1.0, out, False, rows, depth, columns)
    return out


def dense(x, w, b, slope, out=None):
    """leaky(x @ w + b); see `reference.dense`."""
    x, w, b = plain(x), plain(w), plain(b)
    out = result((x.shape[0], w.shape[1]), x.dtype, out)
    if x.shape[1] <= skinny_gemm.LIMIT or w.shape[1] <= skinny_gemm.LIMIT:
        skinny_gemm.dense(x, w, b, slope, out)
    else:
        _run(x, False, w, False, b, slope, out, False, x.shape[0], x.shape[1], w.shape[1])
    return out


def _run(a, a_transposed, b, b_transposed, bias, slope, out, out_transposed, rows, depth, columns):
    width = PANEL_BYTES // a.itemsize
    (packed,) = scratch(a.dtype, (-(-columns // width), depth, width))
    threads = threads_for(rows * depth * columns // _MULTIPLY_ADDS)
    direct = not b_transposed and (rows <= _FEW_ROWS or b.nbytes <= _NEAR)
    slope = a.dtype.type(slope)
    GEMM.launch(a.dtype, a, a_transposed, b, b_transposed, direct, bias, slope, out, out_transposed, packed, threads)
