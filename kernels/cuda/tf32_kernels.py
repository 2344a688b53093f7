"""The table of the CUDA kernels with TF32; see tf32.py."""

from __future__ import annotations

from minigan_kernels.cuda import kernels
from minigan_kernels.cuda.conv2d import convolve
from minigan_kernels.cuda.conv2d_input_grad import transposed
from minigan_kernels.cuda.conv2d_weight_grad import weight_grad
from minigan_kernels.cuda.matmul import product


def matmul(a, b, transpose_a, transpose_b, out=None):
    """op(a) @ op(b); see `reference.matmul`."""
    return product(a, b, transpose_a, transpose_b, None, 1, out, tf32=True)


def dense(x, w, b, slope, out=None):
    """leaky_relu(x @ w + b); see `reference.dense`."""
    return product(x, w, False, False, b, slope, out, tf32=True)


def conv2d(x, w, b, slope, geometry, packed=None, out=None):
    """leaky_relu(conv2d(x, w) + b); see `reference.conv2d`."""
    return convolve(x, w, b, slope, geometry, out, tf32=True)


def conv2d_input_grad(g, w, b, slope, geometry, packed=None, out=None):
    """leaky_relu(conv2d_input_grad(g, w) + b); see `reference.conv2d_input_grad`."""
    return transposed(g, w, b, slope, geometry, out, tf32=True)


def conv2d_weight_grad(x, g, geometry, out=None):
    """The gradient with respect to w; see `reference.conv2d_weight_grad`."""
    return weight_grad(x, g, geometry, out, tf32=True)


_ON_TENSOR_CORES = {k.__name__: k for k in (matmul, dense, conv2d, conv2d_input_grad, conv2d_weight_grad)}
KERNELS = tuple(_ON_TENSOR_CORES.get(kernel.__name__, kernel) for kernel in kernels.KERNELS)
