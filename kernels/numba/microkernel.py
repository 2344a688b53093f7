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

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan_kernels.numba.cpu import tile_shape, vector_bytes

ROWS, PANEL_BYTES = tile_shape()
_VECTOR_BYTES = vector_bytes()
_I64 = ir.IntType(64)
_I32 = ir.IntType(32)


@intrinsic
def address(typingctx, array):
    """The address of an array's first element, as a signed integer.

    Numba's own address is unsigned, and its sum with a signed offset would become a float. Numba frees an array after
    the last use of its name, so use the name again after the last use of the address.
    """

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, _I64)

    return types.int64(array), codegen


def _micro_kernel(*, accumulate: bool) -> Callable:
    """The intrinsic (zero, a, row_offsets, segments, a_step, k, b, b_step, out, out_step); see `multiply_tile`."""

    @intrinsic
    def multiply(typingctx, zero, a, row_offsets, segments, a_step, k, b, b_step, out, out_step):
        signature = types.void(zero, types.int64, row_offsets, segments, *(types.int64,) * 6)
        scalar = ir.FloatType() if zero == types.float32 else ir.DoubleType()
        size = zero.bitwidth // 8
        lanes = _VECTOR_BYTES // size
        vectors = PANEL_BYTES // _VECTOR_BYTES
        vector = ir.VectorType(scalar, lanes)

        def codegen(context, builder, signature, args):
            _, a_address, offsets, segment_array, a_stride, count, b_address, b_stride, out_address, out_stride = args
            offsets = context.make_array(signature.args[2])(context, builder, offsets).data
            segment_array = context.make_array(signature.args[3])(context, builder, segment_array)
            # llvm.fmuladd is one fused instruction if the CPU has it, else a multiplication and an addition.
            multiply_add = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector, vector, vector]),
                f"llvm.fmuladd.v{lanes}f{size * 8}",
            )

            def at(base, offset, type_):
                return builder.inttoptr(builder.add(base, offset), type_.as_pointer())

            def vector_at(row_address, j):
                return at(row_address, ir.Constant(_I64, _VECTOR_BYTES * j), vector)

            def broadcast(value):
                undefined = ir.Constant(vector, ir.Undefined)
                one = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
                return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))

            out_rows = [out_address]
            for _ in range(ROWS - 1):
                out_rows.append(builder.add(out_rows[-1], out_stride))
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(ROWS)]
            zero_vector = ir.Constant(vector, [0.0] * lanes)
            for i, j in itertools.product(range(ROWS), range(vectors)):
                builder.store(zero_vector, sums[i][j])
            rows = [builder.load(builder.gep(offsets, [ir.Constant(_I64, i)])) for i in range(ROWS)]
            a_cursor = cgutils.alloca_once(builder, _I64)
            b_cursor = cgutils.alloca_once_value(builder, b_address)
            with cgutils.for_range(builder, segment_array.nitems, intp=_I64) as segment:
                segment_offset = builder.load(builder.gep(segment_array.data, [segment.index]))
                builder.store(builder.add(a_address, segment_offset), a_cursor)
                with cgutils.for_range(builder, count, intp=_I64):
                    a_at, b_at = builder.load(a_cursor), builder.load(b_cursor)
                    right = [builder.load(vector_at(b_at, j), align=size) for j in range(vectors)]
                    for i in range(ROWS):
                        left = broadcast(builder.load(at(a_at, rows[i], scalar), align=size))
                        for j in range(vectors):
                            total = builder.call(multiply_add, [left, right[j], builder.load(sums[i][j])])
                            builder.store(total, sums[i][j])
                    builder.store(builder.add(a_at, a_stride), a_cursor)
                    builder.store(builder.add(b_at, b_stride), b_cursor)
            for i, j in itertools.product(range(ROWS), range(vectors)):
                total = builder.load(sums[i][j])
                if accumulate:
                    # Added last instead of first: a sum of sums has a smaller rounding error than one long sum.
                    total = builder.fadd(builder.load(vector_at(out_rows[i], j), align=size), total)
                builder.store(total, vector_at(out_rows[i], j), align=size)
            return context.get_dummy_value()

        return signature, codegen

    return multiply


multiply_tile = _micro_kernel(accumulate=False)
"""out = A @ B for one tile, in the dtype of `zero`.

The inner dimension is len(segments) * k. A's element in row i, at step k of segment s, has the address
a + row_offsets[i] + segments[s] + k * a_step; the rows of B follow each other at a distance of b_step through all
segments. `a`, `b` and `out` are addresses. All offsets and steps are in bytes; `out_step` is the distance between the
rows of the tile.
"""

add_tile = _micro_kernel(accumulate=True)
"""out += A @ B for one tile; see `multiply_tile`."""
