"""LeakyReLU, its VJP, the VJP of bias + LeakyReLU, and that of a bias alone on the GPU; see leaky_relu.cu."""

from __future__ import annotations

from minigan_kernels.cuda.elements import THREADS, element_blocks
from minigan_kernels.cuda.launch import Kernel, output_array, row_major
from minigan_kernels.cuda.row_blocks import divide_rows
from minigan_kernels.cuda.sums import add_partial_sums, partial_sums, sum

SLOPE_GATE = Kernel("leaky_relu.cu", "slope_gate")
BIAS_ACT_GRAD = Kernel("leaky_relu.cu", "bias_act_grad")


def slope_gate(x, v, slope, out=None):
    """v where x > 0, slope * v elsewhere; see `reference.slope_gate`."""
    x, v = row_major(x), row_major(v)
    out = output_array(x.shape, x.dtype, out)
    SLOPE_GATE.launch(x.dtype, element_blocks(x.size), THREADS, x, v, x.dtype.type(slope), out, x.size)
    return out


def bias_act_grad(x, v, slope, out=None):
    """(dx, db); see `reference.bias_act_grad`."""
    x, v = row_major(x), row_major(v)
    dx, db = out or (None, None)
    dx, db = output_array(x.shape, x.dtype, dx), output_array(x.shape[1:], x.dtype, db)
    blocks = divide_rows(*x.shape)
    partial = partial_sums(blocks.count, db)
    BIAS_ACT_GRAD.launch(
        x.dtype, blocks.grid, blocks.threads, x, v, x.dtype.type(slope), dx, partial, *x.shape, blocks.rows_per_block
    )
    add_partial_sums(partial, blocks.count, db)
    return dx, db


def bias_grad(v, out=None):
    """db; see `reference.bias_grad`."""
    return sum(v, 0, False, out)
