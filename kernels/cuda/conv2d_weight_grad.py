"""The weight gradient of a convolution on the GPU; see conv2d_weight_grad.cu."""

from __future__ import annotations

from minigan_kernels.cuda import driver
from minigan_kernels.cuda.gemm import ADD_THREADS, plan, tile_constants, vector_width
from minigan_kernels.cuda.launch import Kernel, blocks_for, output_array, row_major
from minigan_kernels.cuda.windows import windows_of

WEIGHT_GRAD = Kernel("conv2d_weight_grad.cu", "conv2d_weight_grad")
ADD_PARTS = Kernel("conv2d_weight_grad.cu", "conv2d_weight_grad_add_parts")


def conv2d_weight_grad(x, g, geometry, out=None):
    """The gradient with respect to w; see `reference.conv2d_weight_grad`."""
    return weight_grad(x, g, geometry, out)


def weight_grad(x, g, geometry, out, tf32=False):
    """`conv2d_weight_grad`, on tensor cores with TF32 if `tf32`."""
    x, g = row_major(x), row_major(g)
    channels, outputs = x.shape[3], g.shape[3]
    out = output_array((*geometry.kernel, channels, outputs), x.dtype, out)
    if not out.size:
        return out
    windows, elements, kernel_row = windows_of(x, geometry)
    dtype, vector = x.dtype, vector_width(x.dtype, (channels, outputs), (x, g, out))
    tile, parts = plan(elements, outputs, windows[2], x.itemsize, driver.multiprocessors(), vector, tf32)
    constants = tile_constants(tile, vector, dtype, tf32)
    integers = (*windows, elements, kernel_row, outputs)
    grid = (tile.blocks(elements, outputs), 1, parts)
    if parts == 1:
        WEIGHT_GRAD.launch(dtype, grid, tile.threads, x, g, out, *integers, **constants)
        return out
    workspace = driver.cupy_module().empty((parts, elements, outputs), dtype)
    WEIGHT_GRAD.launch(dtype, grid, tile.threads, x, g, workspace, *integers, **constants)
    blocks = blocks_for(out.size, vector * ADD_THREADS)
    ADD_PARTS.launch(dtype, blocks, ADD_THREADS, workspace, parts, out, elements, outputs, **constants)
    return out
