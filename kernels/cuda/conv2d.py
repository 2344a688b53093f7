"""Convolution on the GPU; see conv2d.cu."""

from __future__ import annotations

from minigan_kernels.cuda import few_channels
from minigan_kernels.cuda.gemm import launch_product, vector_width
from minigan_kernels.cuda.launch import Kernel, output_array, row_major
from minigan_kernels.cuda.windows import windows_of

CONV2D = Kernel("conv2d.cu", "conv2d")
ADD_PARTS = Kernel("conv2d.cu", "conv2d_add_parts")


def conv2d(x, w, b, slope, geometry, packed=None, out=None):
    """leaky_relu(conv2d(x, w) + b); see `reference.conv2d`. w is read as it lies, so `packed` stays unused."""
    return convolve(x, w, b, slope, geometry, out)


def convolve(x, w, b, slope, geometry, out, tf32=False):
    """`conv2d`, on tensor cores with TF32 if `tf32`; a result of few channels is computed without them."""
    x, w = row_major(x), row_major(w)
    bias = None if b is None else row_major(b)
    outputs = w.shape[3]
    out = output_array((x.shape[0], *geometry.out, outputs), x.dtype, out)
    if not out.size:
        return out
    if outputs <= few_channels.MOST:
        few_channels.convolve(x, w, bias, slope, geometry, out)
        return out
    windows, k_extent, kernel_row = windows_of(x, geometry)
    launch_product(
        CONV2D, ADD_PARTS, x.dtype, (out.size // outputs, outputs, k_extent), (x, w), bias, slope, out,
        (*windows, k_extent, max(kernel_row, 1), outputs),
        vector=vector_width(x.dtype, (x.shape[3], outputs), (x, w, out)), tf32=tf32,
    )  # fmt: skip
    return out
