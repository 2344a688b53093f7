"""Batch normalisation fused with LeakyReLU, and its VJP, on the GPU; see batch_norm.cu."""

from __future__ import annotations

from minigan_kernels.cuda.driver import cupy_module
from minigan_kernels.cuda.launch import Kernel, output_array, row_major
from minigan_kernels.cuda.row_blocks import divide_rows

AT_ONCE = Kernel("batch_norm.cu", "batch_norm_at_once")
MOMENTS = Kernel("batch_norm.cu", "batch_norm_moments")
COMBINE = Kernel("batch_norm.cu", "batch_norm_combine")
NORMALISE = Kernel("batch_norm.cu", "batch_norm_normalise")
GRAD_AT_ONCE = Kernel("batch_norm.cu", "batch_norm_grad_at_once")
GRAD_SUMS = Kernel("batch_norm.cu", "batch_norm_grad_sums")
GRAD_COMBINE = Kernel("batch_norm.cu", "batch_norm_grad_combine")
GRAD_INPUT = Kernel("batch_norm.cu", "batch_norm_grad_input")


def batch_norm(x, gamma, beta, eps, slope, out=None):
    """(y, mean, variance); see `reference.batch_norm`. Raises ValueError if x has no rows."""
    x, gamma, beta = row_major(x), row_major(gamma), row_major(beta)
    dtype, (rows, columns) = x.dtype, x.shape
    if not rows:
        raise ValueError(f"batch_norm needs at least one row, got x of shape {x.shape}")
    y, mean, variance = out or (None, None, None)
    y = output_array(x.shape, dtype, y)
    mean, variance = output_array(gamma.shape, dtype, mean), output_array(gamma.shape, dtype, variance)
    numbers = dtype.type(eps), dtype.type(slope)
    blocks = divide_rows(rows, columns)
    grid, threads, rows_per_block = blocks.grid, blocks.threads, blocks.rows_per_block
    if blocks.count == 1:
        AT_ONCE.launch(dtype, grid, threads, x, gamma, beta, *numbers, y, mean, variance, rows, columns)
        return y, mean, variance
    shifts, squares = (cupy_module().empty((blocks.count, columns), dtype) for _ in range(2))
    MOMENTS.launch(dtype, grid, threads, x, shifts, squares, rows, columns, rows_per_block)
    all_rows = divide_rows(blocks.count, columns, at_once=True)
    COMBINE.launch(
        dtype, all_rows.grid, all_rows.threads, x, shifts, squares, mean, variance, rows, columns, rows_per_block,
        blocks.count,
    )  # fmt: skip
    NORMALISE.launch(
        dtype, grid, threads, x, gamma, beta, mean, variance, *numbers, y, rows, columns, rows_per_block
    )  # fmt: skip
    return y, mean, variance


def batch_norm_grad(g, x, gamma, beta, mean, variance, eps, slope, out=None):
    """(dx, dgamma, dbeta); see `reference.batch_norm_grad`."""
    g, x, gamma, beta, mean, variance = map(row_major, (g, x, gamma, beta, mean, variance))
    dtype, (rows, columns) = x.dtype, x.shape
    dx, dgamma, dbeta = out or (None, None, None)
    dx = output_array(x.shape, dtype, dx)
    dgamma, dbeta = output_array(gamma.shape, dtype, dgamma), output_array(gamma.shape, dtype, dbeta)
    operands = g, x, gamma, beta, mean, variance
    numbers = dtype.type(eps), dtype.type(slope)
    blocks = divide_rows(rows, columns)
    grid, threads, rows_per_block = blocks.grid, blocks.threads, blocks.rows_per_block
    if blocks.count == 1:
        GRAD_AT_ONCE.launch(dtype, grid, threads, *operands, *numbers, dx, dgamma, dbeta, rows, columns)
        return dx, dgamma, dbeta
    partial = cupy_module().empty((blocks.count, 2, columns), dtype)
    GRAD_SUMS.launch(dtype, grid, threads, *operands, *numbers, partial, rows, columns, rows_per_block)
    all_rows = divide_rows(blocks.count, columns, at_once=True)
    GRAD_COMBINE.launch(dtype, all_rows.grid, all_rows.threads, partial, dgamma, dbeta, columns, blocks.count)
    GRAD_INPUT.launch(
        dtype, grid, threads, *operands, dgamma, dbeta, *numbers, dx, rows, columns, rows_per_block
    )  # fmt: skip
    return dx, dgamma, dbeta
