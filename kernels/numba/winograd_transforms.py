"""The linear maps of Winograd's algorithm, as LLVM IR: Y = R X C^T for a small grid X of pixels with all channels.

The grids are given as tables of addresses, row by row, of the pixels that are read and of those that are written. For
each vector of channels the whole grid is loaded, mapped and stored; intermediate results stay in registers. In plain
Numba loops LLVM would have to test before each short loop whether its two dozen arrays overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan_kernels.numba.cook_toom import Matrix, matrices, transposed
from minigan_kernels.numba.vector_code import I64, Vectors, constant, float_type

Coefficients = list[list[float]]

CHANNELS = 16  # the number of channels must be a multiple of this: whole vectors of every width


class _GridCode(Vectors):
    """Emits the map for one vector of channels."""

    def combine(self, coefficients: list[float], values: list[Any]) -> Any:
        """The sum of coefficient * value, without multiplications by 1 and -1 and without the terms that are 0."""
        terms = sorted(((c, v) for c, v in zip(coefficients, values, strict=True) if c), key=lambda term: -term[0])
        (first, value), *rest = terms
        total = value if first == 1 else self.builder.fmul(value, self.constant(first))
        for c, v in rest:
            if c in (1, -1):
                total = self.builder.fadd(total, v) if c == 1 else self.builder.fsub(total, v)
            else:
                total = self.multiply_add(v, self.constant(c), total)
        return total

    def sandwich(self, down: Coefficients, grid: list[list[Any]], across: Coefficients) -> list[list[Any]]:
        """down @ grid @ across^T."""
        columns = [[self.combine(row, list(column)) for row in down] for column in zip(*grid, strict=True)]
        return [[self.combine(row, list(line)) for row in across] for line in zip(*columns, strict=True)]


def _linear_map(matrix_of: Callable[[int, int], Matrix], *, bias_act: bool = False) -> Callable:
    """The intrinsic (zero, scheme, sources, source_offset, targets, target_offset, count[, bias, slope]).

    The map is computed in the dtype of `zero`. `scheme` is three tuples of integers of which only the lengths matter:
    the family, and the outputs of F(m, 2) down and across. `sources` and `targets` are arrays of addresses; the offsets
    are bytes to add to each of them. `count` is the number of channels, a multiple of CHANNELS. With `bias_act`, bias
    and LeakyReLU are applied to the result; `bias` is the address of the channels' biases.
    """

    def implement(zero: Any, scheme: Any, sources: Any, targets: Any) -> tuple[Any, Callable]:
        integer = types.int64
        signature = types.void(zero, scheme, sources, integer, targets, integer, integer)
        if bias_act:
            signature = types.void(*signature.args, integer, zero)
        family, *outputs = (part.count for part in scheme)
        down, across = ([[float(c) for c in row] for row in matrix_of(family, m)] for m in outputs)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source_table = context.make_array(signature.args[2])(context, builder, args[2]).data
            target_table = context.make_array(signature.args[4])(context, builder, args[4]).data

            def addresses(table: Any, rows: int, columns: int, offset: Any) -> list[list[Any]]:
                def entry(i: int) -> Any:
                    return builder.add(builder.load(builder.gep(table, [constant(i)])), offset)

                return [[entry(i * columns + j) for j in range(columns)] for i in range(rows)]

            read = addresses(source_table, len(down[0]), len(across[0]), args[3])
            write = addresses(target_table, len(down), len(across), args[5])
            emit = _GridCode(builder, float_type(zero.bitwidth))

            def run(position: Any) -> None:
                grid = [[emit.load(address, position) for address in row] for row in read]
                result = emit.sandwich(down, grid, across)
                if bias_act:
                    bias, slope = emit.load(args[7], position), emit.repeat(args[8])
                    result = [[emit.leaky_relu(emit.add(value, bias), slope) for value in row] for row in result]
                for values, row in zip(result, write, strict=True):
                    for value, address in zip(values, row, strict=True):
                        emit.store(value, address, position)

            with cgutils.for_range(builder, builder.sdiv(args[6], constant(emit.lanes)), intp=I64) as loop:
                run(builder.mul(loop.index, constant(emit.lanes * emit.size)))
            return context.get_dummy_value()

        return signature, codegen

    if bias_act:

        @intrinsic
        def bias_act_map(typingctx, zero, scheme, sources, source_offset, targets, target_offset, count, bias, slope):
            return implement(zero, scheme, sources, targets)

        return bias_act_map

    @intrinsic
    def linear_map(typingctx, zero, scheme, sources, source_offset, targets, target_offset, count):
        return implement(zero, scheme, sources, targets)

    return linear_map


# For m outputs and m + 1 interpolation points, down and across, with the names of winograd.py:
transform_input = _linear_map(lambda family, m: matrices(family, m)[2])  # pixels to points: B^T X B
transform_weights = _linear_map(lambda family, m: matrices(family, m)[1])  # 2 x 2 taps to points: G W G^T
transform_output = _linear_map(lambda family, m: matrices(family, m)[0], bias_act=True)  # points to outputs: A^T M A
# The adjoints of transform_output and transform_weights, for the weight gradient.
transform_cotangent = _linear_map(lambda family, m: transposed(matrices(family, m)[0]))  # outputs to points
transform_weight_grad = _linear_map(lambda family, m: transposed(matrices(family, m)[1]))  # points to 2 x 2 taps
