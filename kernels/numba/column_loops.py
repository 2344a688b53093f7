"""Loops over the columns of a few rows of matrices, in vector registers: what the memory-bound kernels are made of.

`column_loop(body)` makes a loop from the arithmetic for one vector of neighbouring columns. It runs over whole vector
registers, and over single numbers in the columns that are left, with the same arithmetic, so the same bits.

Numba compiles loops over slices of arrays, too, but it inspects every slice for negative indices, and LLVM every pair
of arrays for overlap: again for each row at run time, and this is most of what such a kernel takes to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan_kernels.numba.vector_code import I64, Vectors, constant, float_type

WIDTH = 512  # columns up to which `fold` lays rows side by side: a loop of a few vectors is mostly overhead


Body = Callable[[Vectors, Sequence[Any], Sequence[Any]], Sequence[Any]]
"""(code, numbers read, numbers that are the same in every column) -> numbers to write."""


def column_loop(body: Body) -> Callable:
    """The intrinsic (zero, count, sources, targets, settings), for kernels: runs `body` for `count` columns.

    zero: a number of the dtype of the arrays. sources, targets: tuples of addresses, each of the first of `count`
    neighbouring numbers; a target may be one of the sources, but may not overlap it otherwise. settings: a tuple of
    floats, which are rounded to the dtype.
    """

    @intrinsic
    def loop(typingctx, zero, count, sources, targets, settings):
        signature = types.void(zero, types.int64, sources, targets, settings)
        counts = len(sources), len(targets), len(settings)

        def codegen(context, builder, signature, args):
            function = _loop_function(builder.module, body, counts, zero.bitwidth)
            addresses = [builder.extract_value(args[k], i) for k in (2, 3) for i in range(counts[k - 2])]
            numbers = [
                context.cast(builder, builder.extract_value(args[4], i), settings.types[i], zero)
                for i in range(counts[2])
            ]
            builder.call(function, [args[1], *addresses, *numbers])
            return context.get_dummy_value()

        return signature, codegen

    return loop


def _loop_function(module: ir.Module, body: Body, counts: tuple[int, int, int], bits: int) -> ir.Function:
    """The function (count, *sources, *targets, *settings) of `module`; `counts` says how many there are of each.

    It is not inlined: a kernel calls the same loop in many places, and a row takes much longer than a call.
    """
    scalar, size = float_type(bits), bits // 8
    name = f"minigan_columns_{body.__module__}_{body.__qualname__}_{'_'.join(map(str, counts))}_{bits}"
    if name in module.globals:
        return module.globals[name]
    read, written, same = counts
    kinds = [I64] * (1 + read + written) + [scalar] * same
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    count, *others = function.args
    sources, targets, settings = others[:read], others[read : read + written], others[read + written :]
    vectors, numbers = Vectors(builder, scalar), Vectors(builder, scalar, 1)
    end = builder.mul(count, constant(size))
    vectors_end = builder.and_(end, constant(-vectors.lanes * size))
    for code, start, stop in ((vectors, constant(0), vectors_end), (numbers, vectors_end, end)):
        repeated = [code.repeat(number) for number in settings]
        step = constant(code.lanes * size)
        with cgutils.for_range_slice(builder, start, stop, step, intp=I64) as (offset, _):
            results = body(code, [code.load(base, offset) for base in sources], repeated)
            for value, base in zip(results, targets, strict=True):
                code.store(value, base, offset)
    builder.ret_void()
    return function


def _copy(code, read, settings):
    return read


def _sum(code, read, settings):
    return [code.add(*read)]


def _fill(code, read, settings):
    return settings


copy_columns, add_columns, fill_columns = map(column_loop, (_copy, _sum, _fill))
"""target = source; target = a + b for the sources (a, b); target = the number in the settings."""


@lru_cache(maxsize=1024)
def fold(rows: int, columns: int) -> int:
    """The number of rows to lay side by side: the largest divisor of `rows` that keeps their columns below WIDTH."""
    most = min(rows, WIDTH // max(columns, 1))
    return next((count for count in range(most, 1, -1) if rows % count == 0), 1)


def folded(matrix: np.ndarray) -> np.ndarray:
    """A row-major matrix with `fold` rows in each row: sums of its columns are partial sums of those of `matrix`."""
    rows, columns = matrix.shape
    count = fold(rows, columns)
    return matrix.reshape(rows // count, columns * count)
