"""The transposed convolution on the GPU; see conv2d_input_grad.cu and transposed.cuh."""

from __future__ import annotations

from minigan_kernels.cuda import driver, few_channels
from minigan_kernels.cuda.gemm import ADD_THREADS, plan, tile_constants, vector_width
from minigan_kernels.cuda.launch import Kernel, blocks_for, output_array, row_major
from minigan_kernels.cuda.phases import operand_extents, phases_of
from minigan_kernels.geometry import Geometry

INPUT_GRAD = Kernel("conv2d_input_grad.cu", "conv2d_input_grad")
PARTS = Kernel("conv2d_input_grad.cu", "conv2d_input_grad_parts")
ADD_PARTS = Kernel("conv2d_input_grad.cu", "conv2d_input_grad_add_parts")
_ONE_PIXEL = Geometry((1, 1), (1, 1))


def conv2d_input_grad(g, w, b, slope, geometry, packed=None, out=None):
    """leaky_relu(conv2d_input_grad(g, w) + b); see `reference.conv2d_input_grad`. `packed` stays unused."""
    return transposed(g, w, b, slope, geometry, out)


def transposed(g, w, b, slope, geometry, out, tf32=False):
    """`conv2d_input_grad`, on tensor cores with TF32 if `tf32`; a result of few channels is computed without them."""
    g, w = row_major(g), row_major(w)
    bias = None if b is None else row_major(b)
    out = output_array((g.shape[0], *geometry.size, w.shape[2]), g.dtype, out)
    if not out.size:
        return out
    if geometry.kernel == geometry.size == geometry.padded:
        _one_window(g, w, bias, slope, out, tf32)
    else:
        _launch(g, w, bias, slope, geometry, out, tf32)
    return out


def _one_window(g, w, bias, slope, out, tf32):
    """The case of a kernel as large as the image: each tap makes one pixel, so it is a product with (out, kh kw in)."""
    taps, channels = w.shape[0] * w.shape[1], w.shape[2]
    if bias is not None:
        bias = row_major(driver.cupy_module().broadcast_to(bias, (taps, channels))).reshape(-1)
    w = w.reshape(1, 1, taps * channels, w.shape[3])
    _launch(g, w, bias, slope, _ONE_PIXEL, out.reshape(-1, 1, 1, taps * channels), tf32)


def _launch(g, w, bias, slope, geometry, out, tf32):
    channels, outputs = w.shape[2:]
    if channels <= few_channels.MOST:
        few_channels.transposed(g, w, bias, slope, geometry, out)
        return
    phases, pixels, taps = phases_of(geometry, g.shape[0])
    vector = vector_width(g.dtype, (outputs, channels), (g, w, out))
    tile, parts = plan(phases * pixels, channels, taps * outputs, g.itemsize, driver.multiprocessors(), vector, tf32)
    constants = tile_constants(tile, vector, g.dtype, tf32)
    grid, scalar = (tile.blocks(pixels, channels), phases, parts), g.dtype.type(slope)
    image = (len(g), *geometry.size, channels, *geometry.stride)
    integers = (*image, pixels, *operand_extents(geometry, g, channels))
    if parts == 1:
        INPUT_GRAD.launch(g.dtype, grid, tile.threads, g, w, bias, scalar, out, *integers, **constants)
        return
    workspace = driver.cupy_module().empty((parts, phases, pixels, channels), g.dtype)
    PARTS.launch(g.dtype, grid, tile.threads, g, w, workspace, *integers, **constants)
    blocks = blocks_for(phases * pixels * channels, vector * ADD_THREADS)
    sums = workspace, parts, bias, scalar, out, *image, phases, pixels
    ADD_PARTS.launch(g.dtype, blocks, ADD_THREADS, *sums, **constants)
