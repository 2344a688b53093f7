"""Convolutions whose result has few channels, on the GPU; see few_channels.cu."""

from __future__ import annotations

from minigan_kernels.cuda import driver
from minigan_kernels.cuda.gemm import vector_width
from minigan_kernels.cuda.launch import WARP, Kernel, blocks_for
from minigan_kernels.cuda.phases import operand_extents, phases_of
from minigan_kernels.cuda.windows import windows_of

CONV2D = Kernel("few_channels.cu", "conv2d_few")
INPUT_GRAD = Kernel("few_channels.cu", "conv2d_input_grad_few")
MOST = 4
"""The largest number of the result's channels that these kernels compute."""

_LINES = 4  # rows of the result in a block
_MAX_WARPS = 8  # in a block, as in few_channels.cu
_WARPS_ENOUGH = 16  # on a multiprocessor, to hide the time that memory takes


def convolve(x, w, bias, slope, geometry, out):
    """out = leaky_relu(conv2d(x, w) + bias)."""
    outputs = w.shape[3]
    windows, k_extent, kernel_row = windows_of(x, geometry)
    _launch(
        CONV2D, (out.size // outputs, 1), k_extent, (x, w), bias, slope, out, outputs,
        (*windows, k_extent, max(kernel_row, 1)), vector_width(x.dtype, (x.shape[3],), (x, w)),
    )  # fmt: skip


def transposed(g, w, bias, slope, geometry, out):
    """out = leaky_relu(conv2d_input_grad(g, w) + bias)."""
    phases, pixels, taps = phases_of(geometry, g.shape[0])
    _launch(
        INPUT_GRAD, (pixels, phases), taps * g.shape[3], (g, w), bias, slope, out, w.shape[2],
        (len(g), *geometry.size, *geometry.stride, *operand_extents(geometry, g, w.shape[2])),
        vector_width(g.dtype, (g.shape[3],), (g, w)),
    )  # fmt: skip


def _launch(kernel, rows, k, operands, bias, slope, out, columns, integers, vector):
    """Launch `kernel` for `rows`: (rows of a phase of the result, phases), with the inner extent k."""
    blocks = blocks_for(rows[0], _LINES), rows[1]
    dtype = out.dtype
    kernel.launch(
        dtype, blocks, WARP * _warps(blocks, k, vector), *operands, bias, dtype.type(slope), out, *integers,
        VECTOR=vector, LINES=_LINES, COLUMNS=columns,
    )  # fmt: skip


def _warps(blocks, k, vector):
    """Warps of a block: one if the blocks fill the GPU, else so many that each thread has a fragment of k."""
    if blocks[0] * blocks[1] >= _WARPS_ENOUGH * driver.multiprocessors():
        return 1
    return max(1, min(_MAX_WARPS, blocks_for(k, WARP * vector)))
