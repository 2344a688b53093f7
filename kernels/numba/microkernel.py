"""The register tile that computes every matrix product: a GEMM micro-kernel, written as LLVM IR.

    tile[i, j] = sum over k of A(i, k) * B[k, j]        i < ROWS, j < PANEL

The address of A(i, k) comes from a table of row offsets and a table of segments, so the rows or columns of a matrix, or
the pixels that a convolution gathers, can be the left operand without being copied. B[k, :] is PANEL consecutive
numbers at b + k * b_step. The tile stays in vector registers during the whole loop. Each step of k takes PANEL / lanes
loads of B, ROWS broadcasts of A, and ROWS * PANEL / lanes fused multiply-adds, each of which depends only on its own
accumulator (Goto and van de Geijn, 2008, "Anatomy of High-Performance Matrix Multiplication"). On a CPU with AVX-512
these are 24 multiply-adds and 10 loads: 12 cycles of arithmetic hide 5 cycles of loads.

Plain Numba loops reach a fifth of this speed, because they keep the accumulators in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan_kernels.numba import vector_code
from minigan_kernels.numba.cpu import tile_shape, vector_bytes
from minigan_kernels.numba.vector_code import I64, Vectors, constant, float_type, load

ROWS, PANEL_BYTES = tile_shape()
_VECTOR_BYTES = vector_bytes()
_CACHE_LINE = 64  # bytes


@intrinsic
def address(typingctx, array):
    """The address of an array's first element, as a signed integer.

    Numba's own address is unsigned, and its sum with a signed offset would become a float. Numba frees an array after
    the last use of its name, so use the name again after the last use of the address.
    """

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, I64)

    return types.int64(array), codegen


@intrinsic
def prefetch(typingctx, start, size):
    """Ask the CPU to fetch `size` bytes from the address `start` on into its second-level cache."""

    def codegen(context, builder, signature, args):
        lines = builder.sdiv(args[1], constant(_CACHE_LINE))
        with cgutils.for_range(builder, lines, intp=I64) as loop:
            line = builder.add(args[0], builder.mul(loop.index, constant(_CACHE_LINE)))
            vector_code.prefetch(builder, line, level=2)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def _emit_tile(context: Any, builder: Any, signature: Any, args: Any, finish: Callable) -> Any:
    """Emit the tile of `multiply_tile`; finish(code, sum, row address, offset) gives each vector that is stored."""
    _, a_address, offsets, segment_array, a_stride, count, b_address, b_stride, out_address, out_stride = args[:10]
    offsets = context.make_array(signature.args[2])(context, builder, offsets).data
    segment_array = context.make_array(signature.args[3])(context, builder, segment_array)
    code = Vectors(builder, float_type(signature.args[0].bitwidth))
    columns = range(0, PANEL_BYTES, _VECTOR_BYTES)
    out_rows = [out_address]
    for _ in range(ROWS - 1):
        out_rows.append(builder.add(out_rows[-1], out_stride))
    sums = [[cgutils.alloca_once(builder, code.kind) for _ in columns] for _ in range(ROWS)]
    for total in itertools.chain(*sums):
        builder.store(code.constant(0.0), total)
    rows = [builder.load(builder.gep(offsets, [constant(i)])) for i in range(ROWS)]
    a_cursor = cgutils.alloca_once(builder, I64)
    b_cursor = cgutils.alloca_once_value(builder, b_address)
    with cgutils.for_range(builder, segment_array.nitems, intp=I64) as segment:
        segment_offset = builder.load(builder.gep(segment_array.data, [segment.index]))
        builder.store(builder.add(a_address, segment_offset), a_cursor)
        with cgutils.for_range(builder, count, intp=I64):
            a_at, b_at = builder.load(a_cursor), builder.load(b_cursor)
            right = [code.load(b_at, column) for column in columns]
            for row, row_sums in zip(rows, sums, strict=True):
                left = code.repeat(load(builder, a_at, code.scalar, code.size, row))
                for vector, total in zip(right, row_sums, strict=True):
                    builder.store(code.multiply_add(left, vector, builder.load(total)), total)
            builder.store(builder.add(a_at, a_stride), a_cursor)
            builder.store(builder.add(b_at, b_stride), b_cursor)
    for out_row, row_sums in zip(out_rows, sums, strict=True):
        for column, total in zip(columns, row_sums, strict=True):
            code.store(finish(code, builder.load(total), out_row, column), out_row, column)
    return context.get_dummy_value()


def _tile_types(zero: Any, row_offsets: Any, segments: Any) -> tuple:
    return (zero, types.int64, row_offsets, segments, *(types.int64,) * 6)


@intrinsic
def multiply_tile(typingctx, zero, a, row_offsets, segments, a_step, k, b, b_step, out, out_step):
    """out = A @ B for one tile, in the dtype of `zero`.

    The inner dimension is len(segments) * k. A's element in row i, at step k of segment s, has the address
    a + row_offsets[i] + segments[s] + k * a_step; the rows of B follow each other at a distance of b_step through all
    segments. `a`, `b` and `out` are addresses. All offsets and steps are in bytes; `out_step` is the distance between
    the rows of the tile.
    """

    def codegen(context, builder, signature, args):
        return _emit_tile(context, builder, signature, args, lambda code, total, row, column: total)

    return types.void(*_tile_types(zero, row_offsets, segments)), codegen


@intrinsic
def add_tile(typingctx, zero, a, row_offsets, segments, a_step, k, b, b_step, out, out_step):
    """out += A @ B for one tile; see `multiply_tile`."""

    def finish(code, total, row, column):
        # Added last instead of first: a sum of sums has a smaller rounding error than one long sum.
        return code.add(code.load(row, column), total)

    def codegen(context, builder, signature, args):
        return _emit_tile(context, builder, signature, args, finish)

    return types.void(*_tile_types(zero, row_offsets, segments)), codegen


@intrinsic
def multiply_bias_act_tile(typingctx, zero, a, row_offsets, segments, a_step, k, b, b_step, out, out_step, bias, slope):
    """out = leaky_relu(A @ B + bias) for one tile; `bias` is the address of PANEL numbers. See `multiply_tile`."""

    def codegen(context, builder, signature, args):
        *_, bias, slope = args
        slopes = Vectors(builder, float_type(signature.args[0].bitwidth)).repeat(slope)

        def finish(code, total, row, column):
            return code.leaky_relu(code.add(total, code.load(bias, column)), slopes)

        return _emit_tile(context, builder, signature, args, finish)

    return types.void(*_tile_types(zero, row_offsets, segments), types.int64, zero), codegen
