"""The linear maps of Winograd's algorithm, as LLVM IR: Y = R X C^T for a small grid X of pixels with all channels.

The grids are given as tables of addresses, row by row, of the pixels that are read and of those that are written. For
each vector of channels the whole grid is loaded, mapped and stored; intermediate results stay in registers. In plain
Numba loops LLVM would have to test before each short loop whether its two dozen arrays overlap.

The channels of a pixel lie side by side. Those of a point do, too, or they are divided into panels of the same width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan_kernels.numba import microkernel, packed_microkernel
from minigan_kernels.numba.cook_toom import Matrix, matrices, transposed
from minigan_kernels.numba.vector_code import I64, Vectors, constant, float_type

Coefficients = list[list[float]]

CHANNELS = 16  # the number of channels must be a multiple of this: whole vectors of every width
GROUP = 48  # channels of a point that lie side by side in `transform_input_in_groups`: whole vectors and whole tiles


def _panel_width(size: int) -> int:
    return microkernel.PANEL_BYTES // size


def _packed_panel_width(size: int) -> int:
    return packed_microkernel.PANEL_BYTES // size


def _group_width(size: int) -> int:
    return GROUP


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


def _linear_map(
    matrix_of: Callable[[int, int], Matrix],
    source_width: Callable[[int], int] | None = None,
    target_width: Callable[[int], int] | None = None,
    *,
    bias_act: bool = False,
) -> Callable:
    """The intrinsic (zero, scheme, sources, targets, first, step, count[, bias, slope]).

    The map is computed in the dtype of `zero`. `scheme` is three tuples of integers of which only the lengths matter:
    the family, and the outputs of F(m, 2) down and across. `sources` and `targets` are arrays of addresses. `count` is
    the number of channels, a multiple of CHANNELS; the first is channel 0 of the sources and channel `first` of the
    targets. Where their width is given, for numbers of so many bytes, the channels of the sources or targets lie in
    panels, at a distance of `step` bytes. With `bias_act`, bias and LeakyReLU are applied to the result; `bias` is the
    address of the channels' biases.
    """

    def implement(zero: Any, scheme: Any, sources: Any, targets: Any) -> tuple[Any, Callable]:
        integer = types.int64
        signature = types.void(zero, scheme, sources, targets, integer, integer, integer)
        if bias_act:
            signature = types.void(*signature.args, integer, zero)
        family, *outputs = (part.count for part in scheme)
        down, across = ([[float(c) for c in row] for row in matrix_of(family, m)] for m in outputs)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source_table = context.make_array(signature.args[2])(context, builder, args[2]).data
            target_table = context.make_array(signature.args[3])(context, builder, args[3]).data
            first, step, count = args[4:7]

            def addresses(table: Any, rows: int, columns: int) -> list[list[Any]]:
                def entry(i: int) -> Any:
                    return builder.load(builder.gep(table, [constant(i)]))

                return [[entry(i * columns + j) for j in range(columns)] for i in range(rows)]

            read = addresses(source_table, len(down[0]), len(across[0]))
            write = addresses(target_table, len(down), len(across))
            emit = _GridCode(builder, float_type(zero.bitwidth))
            vector_bytes = constant(emit.lanes * emit.size)

            def place(number: Any, width: Callable[[int], int] | None) -> Any:
                """The offset of vector `number`."""
                if width is None:
                    return builder.mul(number, vector_bytes)
                vectors = constant(width(emit.size) // emit.lanes)
                within = builder.mul(builder.urem(number, vectors), vector_bytes)
                return builder.add(builder.mul(builder.udiv(number, vectors), step), within)

            def run(number: Any) -> None:
                source = place(number, source_width)
                target = place(builder.add(builder.udiv(first, constant(emit.lanes)), number), target_width)
                grid = [[emit.load(address, source) for address in row] for row in read]
                result = emit.sandwich(down, grid, across)
                if bias_act:
                    bias, slope = emit.load(args[7], place(number, None)), emit.repeat(args[8])
                    result = [[emit.leaky_relu(emit.add(value, bias), slope) for value in row] for row in result]
                for values, row in zip(result, write, strict=True):
                    for value, address in zip(values, row, strict=True):
                        emit.store(value, address, target)

            with cgutils.for_range(builder, builder.udiv(count, constant(emit.lanes)), intp=I64) as loop:
                run(loop.index)
            return context.get_dummy_value()

        return signature, codegen

    if bias_act:

        @intrinsic
        def bias_act_map(typingctx, zero, scheme, sources, targets, first, step, count, bias, slope):
            return implement(zero, scheme, sources, targets)

        return bias_act_map

    @intrinsic
    def linear_map(typingctx, zero, scheme, sources, targets, first, step, count):
        return implement(zero, scheme, sources, targets)

    return linear_map


def _input_matrix(family: int, outputs: int) -> Matrix:
    return matrices(family, outputs)[2]


# For m outputs and m + 1 interpolation points, down and across, with the names of winograd.py:
# pixels to points: B^T X B
transform_input = _linear_map(_input_matrix)
transform_input_in_groups = _linear_map(_input_matrix, None, _group_width)
# 2 x 2 taps to points: G W G^T
transform_weights = _linear_map(lambda family, m: matrices(family, m)[1], None, _panel_width)
# points to outputs: A^T M A
transform_output = _linear_map(lambda family, m: matrices(family, m)[0], _panel_width, bias_act=True)
# The adjoints of the two maps above, for the weight gradient: outputs to points, and points to taps.
transform_cotangent = _linear_map(lambda family, m: transposed(matrices(family, m)[0]), None, _packed_panel_width)
transform_weight_grad = _linear_map(lambda family, m: transposed(matrices(family, m)[1]), _packed_panel_width)
