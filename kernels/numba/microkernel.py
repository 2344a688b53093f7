"""The register tile at the heart of every matmul: our own GEMM micro-kernel, written as LLVM IR.

    tile[i, j] = sum over k of A(i, k) * B[k, j]        i < ROWS, j < PANEL

A(i, k) is the scalar at  a + row_offsets[i] + k * a_step  (bytes), so that rows, columns or gathered rows of
any array can stand on the left. B[k, :] are PANEL consecutive numbers at  b + k * b_step. The tile lives in vector
registers for the whole loop: for each k, PANEL / lanes loads of B, ROWS broadcasts of A, and ROWS * PANEL /
lanes fused multiply-adds that depend on nothing but their own accumulator (Goto and van de Geijn, 2008,
"Anatomy of High-Performance Matrix Multiplication"). On a CPU with AVX-512 that is 24 multiply-adds for 10
loads: 12 cycles of arithmetic hide 5 of loading.

Plain Numba loops reach a fifth of this, because they keep the accumulators in memory.
"""

from __future__ import annotations

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
    sums with signed offsets into floats)."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, _I64)

    return types.int64(array), codegen


@intrinsic
def multiply_tile(typingctx, number, a, row_offsets, a_step, k, b, b_step, out, out_step):
    """Write a tile of A @ B over `k` steps, for numbers of the type of `number`.

    `a`, `b` and `out` are addresses; `row_offsets`, `a_step`, `b_step`, and `out_step` from one row of the tile to
    the next, count bytes.
    """
    signature = types.void(number, types.int64, row_offsets, *(types.int64,) * 6)
    scalar = ir.FloatType() if number == types.float32 else ir.DoubleType()
    size = number.bitwidth // 8
    lanes = _VECTOR_BYTES // size
    vectors = PANEL_BYTES // _VECTOR_BYTES
    vector = ir.VectorType(scalar, lanes)

    def codegen(context, builder, signature, args):
        _, a_now, offsets, a_stride, count, b_now, b_stride, out_now, out_stride = args
        offsets = context.make_array(signature.args[2])(context, builder, offsets).data
        # fmuladd fuses where the CPU can and stays correct where it cannot.
        multiply_add = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector, vector, vector]),
            f"llvm.fmuladd.v{lanes}f{size * 8}",
        )
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(ROWS)]
        for sum_ in (s for row in sums for s in row):
            builder.store(ir.Constant(vector, [0.0] * lanes), sum_)
        rows = [builder.load(builder.gep(offsets, [ir.Constant(_I64, i)])) for i in range(ROWS)]
        a_cursor = cgutils.alloca_once_value(builder, a_now)
        b_cursor = cgutils.alloca_once_value(builder, b_now)

        def at(base, offset, type_):
            return builder.inttoptr(builder.add(base, offset), type_.as_pointer())

        def broadcast(value):
            undefined = ir.Constant(vector, ir.Undefined)
            one = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
            return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))

        with cgutils.for_range(builder, count, intp=_I64):
            a_at, b_at = builder.load(a_cursor), builder.load(b_cursor)
            b_vectors = [
                builder.load(at(b_at, ir.Constant(_I64, _VECTOR_BYTES * j), vector), align=size) for j in range(vectors)
            ]
            for i in range(ROWS):
                left = broadcast(builder.load(at(a_at, rows[i], scalar), align=size))
                for j in range(vectors):
                    total = builder.call(multiply_add, [left, b_vectors[j], builder.load(sums[i][j])])
                    builder.store(total, sums[i][j])
            builder.store(builder.add(a_at, a_stride), a_cursor)
            builder.store(builder.add(b_at, b_stride), b_cursor)

        row_at = out_now
        for i in range(ROWS):
            for j in range(vectors):
                place = ir.Constant(_I64, _VECTOR_BYTES * j)
                builder.store(builder.load(sums[i][j]), at(row_at, place, vector), align=size)
            row_at = builder.add(row_at, out_stride)
        return context.get_dummy_value()

    return signature, codegen
