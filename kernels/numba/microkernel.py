"""The register tile at the heart of every matmul: our own GEMM micro-kernel, written as LLVM IR.

    tile[i, j] = sum over k of A(i, k) * B[k, j]        i < ROWS, j < PANEL

A(i, k) is found by a table of row offsets and a table of segments, so that rows, columns, or the pixels that a
convolution gathers can stand on the left as they lie in memory. B[k, :] are PANEL consecutive numbers at
b + k * b_step. The tile lives in vector registers for the whole loop: for each k, PANEL / lanes loads of B, ROWS
broadcasts of A, and ROWS * PANEL / lanes fused multiply-adds that depend on nothing but their own accumulator (Goto and
van de Geijn, 2008, "Anatomy of High-Performance Matrix Multiplication"). On a CPU with AVX-512 that is 24 multiply-adds
for 10 loads: 12 cycles of arithmetic hide 5 of loading.

Plain Numba loops reach a fifth of this, because they keep the accumulators in memory.
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
    """The address of an array's first element, as a signed integer (Numba's own is unsigned: it would turn
    sums with signed offsets into floats).

    Numba frees an array after its name is used for the last time: name it again after the last use of its address.
    """

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, _I64)

    return types.int64(array), codegen


def _micro_kernel(*, accumulate: bool) -> Callable:
    """The intrinsic (number, a, row_offsets, segments, a_step, k, b, b_step, out, out_step); see `multiply_tile`."""

    @intrinsic
    def multiply(typingctx, number, a, row_offsets, segments, a_step, k, b, b_step, out, out_step):
        signature = types.void(number, types.int64, row_offsets, segments, *(types.int64,) * 6)
        scalar = ir.FloatType() if number == types.float32 else ir.DoubleType()
        size = number.bitwidth // 8
        lanes = _VECTOR_BYTES // size
        vectors = PANEL_BYTES // _VECTOR_BYTES
        vector = ir.VectorType(scalar, lanes)

        def codegen(context, builder, signature, args):
            _, a_now, offsets, pieces, a_stride, count, b_now, b_stride, out_now, out_stride = args
            offsets = context.make_array(signature.args[2])(context, builder, offsets).data
            pieces = context.make_array(signature.args[3])(context, builder, pieces)
            # fmuladd fuses where the CPU can and stays correct where it cannot.
            multiply_add = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector, vector, vector]),
                f"llvm.fmuladd.v{lanes}f{size * 8}",
            )

            def at(base, offset, type_):
                return builder.inttoptr(builder.add(base, offset), type_.as_pointer())

            def place(row_at, j):
                return at(row_at, ir.Constant(_I64, _VECTOR_BYTES * j), vector)

            def broadcast(value):
                undefined = ir.Constant(vector, ir.Undefined)
                one = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
                return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))

            out_rows = [out_now]
            for _ in range(ROWS - 1):
                out_rows.append(builder.add(out_rows[-1], out_stride))
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(ROWS)]
            zero = ir.Constant(vector, [0.0] * lanes)
            for i, j in itertools.product(range(ROWS), range(vectors)):
                builder.store(zero, sums[i][j])
            rows = [builder.load(builder.gep(offsets, [ir.Constant(_I64, i)])) for i in range(ROWS)]
            a_cursor = cgutils.alloca_once(builder, _I64)
            b_cursor = cgutils.alloca_once_value(builder, b_now)
            with cgutils.for_range(builder, pieces.nitems, intp=_I64) as piece:
                builder.store(builder.add(a_now, builder.load(builder.gep(pieces.data, [piece.index]))), a_cursor)
                with cgutils.for_range(builder, count, intp=_I64):
                    a_at, b_at = builder.load(a_cursor), builder.load(b_cursor)
                    right = [builder.load(place(b_at, j), align=size) for j in range(vectors)]
                    for i in range(ROWS):
                        left = broadcast(builder.load(at(a_at, rows[i], scalar), align=size))
                        for j in range(vectors):
                            total = builder.call(multiply_add, [left, right[j], builder.load(sums[i][j])])
                            builder.store(total, sums[i][j])
                    builder.store(builder.add(a_at, a_stride), a_cursor)
                    builder.store(builder.add(b_at, b_stride), b_cursor)
            for i, j in itertools.product(range(ROWS), range(vectors)):
                total = builder.load(sums[i][j])
                if accumulate:  # at the end, not at the start: sums of sums round less than one long sum
                    total = builder.fadd(builder.load(place(out_rows[i], j), align=size), total)
                builder.store(total, place(out_rows[i], j), align=size)
            return context.get_dummy_value()

        return signature, codegen

    return multiply


multiply_tile = _micro_kernel(accumulate=False)
"""out = A @ B for one tile, in numbers of the type of `number`.

The depth is `len(segments)` times `k`: A's element of row i, segment s and step k lies at the address
a + row_offsets[i] + segments[s] + k * a_step, while B goes on from b by b_step. `a`, `b` and `out` are addresses; all
steps and offsets, and `out_step` from one row of the tile to the next, count bytes.
"""

add_tile = _micro_kernel(accumulate=True)
"""out += A @ B for one tile; see `multiply_tile`."""
