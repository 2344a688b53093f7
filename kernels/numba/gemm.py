"""Matrix product (GEMM) with either operand transposed, and a fused dense layer, on the register tile.

    out = A @ B                                A: (M, K), B: (K, N), either stored transposed
    out = leaky_relu(A @ B + bias)             dense layer: bias and LeakyReLU while the tile is in the cache

2 M N K flops. B is packed once into panels of PANEL columns, (panel, k, PANEL), so that the micro-kernel reads it in
order; a B that is read only a few times is not packed. A is read in place. Each ROWS x PANEL tile of `out` is one unit
of work, summed over k in order by one thread, so the bits do not depend on the number of threads.

Packing a transposed B is slow, because it gathers. In a wide network the transposed operand is the large one, the
weights (dx = g @ w.T). There the product is computed as its transpose, out.T = w @ g.T: the weights become the left
operand, which is read in place; the price is to gather the small gradient and scatter `out`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.aligned import output_array
from minigan_kernels.numba import skinny_gemm
from minigan_kernels.numba.jit import Compiled, inner, leaky_relu, threads_for
from minigan_kernels.numba.memory import row_major, scratch, zeros
from minigan_kernels.numba.microkernel import PANEL_BYTES, ROWS, address, multiply_tile
from minigan_kernels.numba.parallel_for import parallel_for

_FEW_ROWS = 64  # with so few rows of `out`, a panel of B is read too few times for packing to pay
_OWN_CACHE = 1 << 18  # bytes that stay in a core's own cache: a B of this size need not be packed either
_MULTIPLY_ADDS = 8  # so many, in registers, take as long as reading or writing one array element
_TRANSPOSE_BLOCK = 16  # steps of k gathered together: their rows of the panel stay in the first-level cache


@inner
def _pack_steps(b, transposed, packed, first, last):
    """Pack the k-steps numbered first..last-1, counted through one panel after another."""
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
            if height == ROWS:  # a loop of constant length, which the compiler unrolls
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
def _store_bias_act(tile, bias, slope, out, top, left, height, width):
    tile_bias = bias[left : left + width]
    for i in range(height):
        target = out[top + i, left : left + width]
        for j in range(width):
            target[j] = leaky_relu(tile[i, j] + tile_bias[j], slope)


@inner
def _multiply_tiles(a, transposed, b, unpacked, packed, bias, slope, out, out_transposed, first, last):
    """Compute the tiles numbered first..last-1, counted down the rows of one panel after another.

    If `unpacked`, full panels of B are read in place, and only its last, narrower panel is packed.
    """
    _panels, depth, panel_width = packed.shape
    size = a.itemsize
    rows = a.shape[1] if transposed else a.shape[0]
    row_stride, k_stride = (size, a.shape[1] * size) if transposed else (a.shape[1] * size, size)
    columns = out.shape[0] if out_transposed else out.shape[1]
    row_blocks = (rows + ROWS - 1) // ROWS
    offsets = np.empty(ROWS, np.int64)
    one_segment = np.zeros(1, np.int64)
    tile = np.empty((ROWS, panel_width), a.dtype)
    zero = a.dtype.type(0)
    for unit in range(first, last):
        panel = unit // row_blocks
        top = (unit - panel * row_blocks) * ROWS
        height = min(ROWS, rows - top)
        left = panel * panel_width
        width = min(panel_width, columns - left)
        for i in range(ROWS):  # rows past the end repeat the last row: safe to read, never stored
            offsets[i] = (top + min(i, height - 1)) * row_stride
        if unpacked and width == panel_width:
            source, step = address(b) + left * size, b.shape[1] * size
        else:
            source, step = address(packed) + panel * depth * PANEL_BYTES, PANEL_BYTES
        in_place = height == ROWS and width == panel_width and not (bias.size or out_transposed)
        target = address(out) + (top * columns + left) * size if in_place else address(tile)
        target_step = columns * size if in_place else PANEL_BYTES
        multiply_tile(zero, address(a), offsets, one_segment, k_stride, depth, source, step, target, target_step)
        if in_place:
            continue
        if bias.size:
            _store_bias_act(tile, bias, slope, out, top, left, height, width)
        else:
            _store(tile, out, top, left, height, width, out_transposed)


@inner
def _pack_chunk(t, threads, b, transposed, packed):
    steps = packed.shape[0] * packed.shape[1]
    _pack_steps(b, transposed, packed, t * steps // threads, (t + 1) * steps // threads)


@inner
def _multiply_chunk(
    t, threads, a, transposed, b, b_transposed, unpacked, pack_own, packed, bias, slope, out, out_transposed
):
    rows = a.shape[1] if transposed else a.shape[0]
    units = packed.shape[0] * ((rows + ROWS - 1) // ROWS)
    if pack_own:
        _pack_chunk(t, threads, b, b_transposed, packed)
    first, last = t * units // threads, (t + 1) * units // threads
    _multiply_tiles(a, transposed, b, unpacked, packed, bias, slope, out, out_transposed, first, last)


@njit
def _gemm(a, a_transposed, b, b_transposed, unpacked, bias, slope, out, out_transposed, packed, threads):
    # If the panels divide evenly among the threads, each thread multiplies only with panels that it packed itself, and
    # no thread waits for another in between.
    pack_own = packed.shape[0] % threads == 0 and not unpacked
    if unpacked:
        depth = packed.shape[1]
        _pack_steps(b, b_transposed, packed, b.shape[1] // packed.shape[2] * depth, packed.shape[0] * depth)
    elif not pack_own:
        parallel_for(threads, _pack_chunk, (b, b_transposed, packed))
    right = (b, b_transposed, unpacked, pack_own, packed)
    parallel_for(threads, _multiply_chunk, (a, a_transposed, *right, bias, slope, out, out_transposed))


def _signature(dtype):
    matrix, flag = types.Array(dtype, 2, "C"), types.boolean
    vector, panels = types.Array(dtype, 1, "C"), types.Array(dtype, 3, "C")
    return (matrix, flag, matrix, flag, flag, vector, dtype, matrix, flag, panels, types.int64)


GEMM = Compiled("matmul", _gemm, _signature, "out packed")


def matmul(a, b, transpose_a, transpose_b, out=None):
    """op(a) @ op(b) for matrices; see `reference.matmul`."""
    a, b = row_major(a), row_major(b)
    transpose_a, transpose_b = bool(transpose_a), bool(transpose_b)
    rows, depth = a.shape[::-1] if transpose_a else a.shape
    columns = b.shape[0] if transpose_b else b.shape[1]
    out = output_array((rows, columns), a.dtype, out)
    if rows <= skinny_gemm.LIMIT or depth <= skinny_gemm.LIMIT or columns <= skinny_gemm.LIMIT:
        skinny_gemm.matmul(a, b, transpose_a, transpose_b, out)
    elif transpose_b and rows * (depth + columns) < depth * columns:
        _launch(b, False, a, not transpose_a, zeros(0, a.dtype), 1.0, out, True, columns, depth, rows)
    else:
        _launch(a, transpose_a, b, transpose_b, zeros(0, a.dtype), 1.0, out, False, rows, depth, columns)
    return out


def dense(x, w, b, slope, out=None):
    """leaky_relu(x @ w + b); see `reference.dense`."""
    x, w, b = row_major(x), row_major(w), row_major(b)
    out = output_array((x.shape[0], w.shape[1]), x.dtype, out)
    if x.shape[1] <= skinny_gemm.LIMIT or w.shape[1] <= skinny_gemm.LIMIT:
        skinny_gemm.dense(x, w, b, slope, out)
    else:
        _launch(x, False, w, False, b, slope, out, False, x.shape[0], x.shape[1], w.shape[1])
    return out


def _launch(a, a_transposed, b, b_transposed, bias, slope, out, out_transposed, rows, depth, columns):
    """Launch the kernel; a bias of size 0 means the plain product."""
    width = PANEL_BYTES // a.itemsize
    (packed,) = scratch(a.dtype, (-(-columns // width), depth, width))
    threads = threads_for(rows * depth * columns // _MULTIPLY_ADDS)
    unpacked = not b_transposed and (rows <= _FEW_ROWS or b.nbytes <= _OWN_CACHE)
    slope = a.dtype.type(slope)
    GEMM.launch(a.dtype, a, a_transposed, b, b_transposed, unpacked, bias, slope, out, out_transposed, packed, threads)
