"""Matrix product (GEMM) with either operand transposed, and a fused dense layer.

    out = A @ B                                A: (M, K), B: (K, N), either stored transposed
    out = leaky_relu(A @ B + bias)             dense layer: bias and LeakyReLU while the sums are in registers

2 M N K flops, as Goto and van de Geijn, 2008, describe it: both operands are packed into the order in which the
micro-kernel reads them (packed_microkernel.py), in blocks that fit the caches (gemm_plan.py, gemm_blocks.py). Each
number of `out` is summed over k in a fixed order by one thread, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

from numba import njit, types

from minigan_kernels.aligned import output_array
from minigan_kernels.numba import skinny_gemm
from minigan_kernels.numba.gemm_blocks import multiply_part
from minigan_kernels.numba.gemm_functions import COUNT, gemm_functions
from minigan_kernels.numba.gemm_plan import Plan, plan
from minigan_kernels.numba.jit import MULTIPLY_ADDS, Compiled, threads_for
from minigan_kernels.numba.memory import row_major, scratch, zeros
from minigan_kernels.numba.parallel_for import parallel_for


@njit
def _gemm(functions, a, a_transposed, b, b_transposed, bias, slope, out, division, space, threads):
    parallel_for(
        threads, multiply_part, (functions, a, a_transposed, b, b_transposed, bias, slope, out, division, space)
    )


def _signature(dtype):
    matrix, vector, flag = types.Array(dtype, 2, "C"), types.Array(dtype, 1, "C"), types.boolean
    division = types.UniTuple(types.int64, len(Plan._fields))
    functions = types.UniTuple(types.int64, COUNT)
    return (functions, matrix, flag, matrix, flag, vector, dtype, matrix, division, matrix, types.int64)


GEMM = Compiled("matmul", _gemm, _signature, "out space")


def matmul(a, b, transpose_a, transpose_b, out=None):
    """op(a) @ op(b) for matrices; see `reference.matmul`."""
    a, b = row_major(a), row_major(b)
    transpose_a, transpose_b = bool(transpose_a), bool(transpose_b)
    rows, depth = a.shape[::-1] if transpose_a else a.shape
    columns = b.shape[0] if transpose_b else b.shape[1]
    out = output_array((rows, columns), a.dtype, out)
    if rows <= skinny_gemm.LIMIT or depth <= skinny_gemm.LIMIT or columns <= skinny_gemm.LIMIT:
        skinny_gemm.matmul(a, b, transpose_a, transpose_b, out)
    else:
        _launch(a, transpose_a, b, transpose_b, zeros(0, a.dtype), 1.0, out, depth)
    return out


def dense(x, w, b, slope, out=None):
    """leaky_relu(x @ w + b); see `reference.dense`."""
    x, w, b = row_major(x), row_major(w), row_major(b)
    out = output_array((x.shape[0], w.shape[1]), x.dtype, out)
    if x.shape[1] <= skinny_gemm.LIMIT or w.shape[1] <= skinny_gemm.LIMIT:
        skinny_gemm.dense(x, w, b, slope, out)
    elif out.size:
        _launch(x, False, w, False, b, slope, out, x.shape[1])
    return out


def _launch(a, a_transposed, b, b_transposed, bias, slope, out, depth):
    """Launch the kernel; a bias of size 0 means the plain product."""
    rows, columns = out.shape
    division = plan(rows, depth, columns, a.itemsize, threads_for(rows * depth * columns // MULTIPLY_ADDS))
    threads = division.down * division.across
    (space,) = scratch(a.dtype, (threads, division.numbers))
    slope = a.dtype.type(slope)
    operands = (a, a_transposed, b, b_transposed, bias, slope, out)
    GEMM.launch(a.dtype, gemm_functions(a.dtype), *operands, tuple(division), space, threads)
