"""The convolution kernels, which choose an algorithm by the geometry.

Each call uses the first algorithm in this list that applies:

    matrix product      gemm.py             a kernel of one pixel or as large as the image, without padding
    Winograd            winograd.py         4 x 4 kernel, stride 2, padding 1, channels in multiples of 16, many pixels
    GEMM and col2im     col2im.py           at most 8 output channels, input gradient or convolution with stride 1
    few channels        few_channels.py     at most 8 input channels, convolution or weight gradient
    implicit GEMM       implicit_gemm.py    any other convolution
"""

from __future__ import annotations

import numpy as np

from minigan_kernels import recorded_calls
from minigan_kernels.aligned import output_array
from minigan_kernels.geometry import Geometry
from minigan_kernels.numba import col2im, few_channels, gemm, implicit_gemm, leaky_relu, winograd, winograd_gradient
from minigan_kernels.numba.memory import repeated, row_major, zeros


def conv2d(x, w, b, slope, geometry, packed=None, out=None):
    """leaky_relu(conv2d(x, w) + b); see `reference.conv2d`."""
    x, w = row_major(x), row_major(w)
    bias = zeros(w.shape[3], w.dtype) if b is None else row_major(b)
    out = output_array((x.shape[0], *geometry.out, w.shape[3]), x.dtype, out)
    if not (x.size and w.size):
        _bias_act_only(bias, slope, out)
    elif _is_product(geometry):
        gemm.dense(_window_rows(x, geometry), w.reshape(-1, w.shape[3]), bias, slope, out.reshape(-1, w.shape[3]))
    elif winograd.applies(geometry, x.shape[0], *w.shape[2:]):
        winograd.convolve(x, w, bias, slope, geometry, packed, out, is_input_grad=False)
    elif w.shape[3] <= col2im.CHANNELS and (adjoint := _adjoint_geometry(geometry)):
        col2im.input_grad(x, row_major(w[::-1, ::-1].swapaxes(2, 3)), bias, slope, adjoint, None, out)
    elif x.shape[3] <= few_channels.CHANNELS:
        few_channels.conv2d(x, w, bias, slope, geometry, packed, out)
    else:
        implicit_gemm.conv2d(x, w, bias, slope, geometry, packed, out)
    return out


def conv2d_input_grad(g, w, b, slope, geometry, packed=None, out=None):
    """leaky_relu(conv2d_input_grad(g, w) + b); see `reference.conv2d_input_grad`."""
    g, w = row_major(g), row_major(w)
    bias = zeros(w.shape[2], w.dtype) if b is None else row_major(b)
    out = output_array((g.shape[0], *geometry.size, w.shape[2]), g.dtype, out)
    if not (g.size and w.size):
        _bias_act_only(bias, slope, out)
    elif _is_product(geometry):
        _input_grad_as_product(g, w, None if b is None else bias, slope, out)
    elif winograd.applies(geometry, g.shape[0], *w.shape[2:]):
        winograd.convolve(g, w, bias, slope, geometry, packed, out, is_input_grad=True)
    elif w.shape[2] <= col2im.CHANNELS:
        col2im.input_grad(g, w, bias, slope, geometry, packed, out)
    else:
        implicit_gemm.input_grad(g, w, bias, slope, geometry, packed, out)
    return out


def conv2d_weight_grad(x, g, geometry, out=None):
    """The weight gradient; see `reference.conv2d_weight_grad`."""
    x, g = row_major(x), row_major(g)
    channels, outputs = x.shape[3], g.shape[3]
    out = output_array((*geometry.kernel, channels, outputs), x.dtype, out)
    if not x.size or not g.size:
        recorded_calls.call(np.ndarray.fill, out, 0)
    elif _is_product(geometry):
        gemm.matmul(_window_rows(x, geometry), g.reshape(-1, outputs), True, False, out.reshape(-1, outputs))
    elif winograd.applies(geometry, x.shape[0], channels, outputs):
        winograd_gradient.weight_grad(x, g, geometry, out)
    elif outputs <= col2im.CHANNELS < channels and (adjoint := _adjoint_geometry(geometry)):
        flipped = np.empty((*geometry.kernel, outputs, channels), x.dtype)
        implicit_gemm.weight_grad(g, x, adjoint, flipped)
        recorded_calls.call(np.copyto, out, flipped[::-1, ::-1].swapaxes(2, 3))
    elif channels <= few_channels.CHANNELS:
        few_channels.weight_grad(x, g, geometry, out)
    else:
        implicit_gemm.weight_grad(x, g, geometry, out)
    return out


def _bias_act_only(bias: np.ndarray, slope: float, out: np.ndarray) -> None:
    """The result of an empty convolution, without images, input channels or output channels."""
    recorded_calls.call(np.copyto, out, leaky_relu.slope_gate(bias, bias, slope))


def _is_product(geometry: Geometry) -> bool:
    """Whether the windows of the output pixels do not overlap, so that each is one row of a matrix product."""
    if geometry.padding != ((0, 0), (0, 0)):
        return False
    return geometry.kernel in ((1, 1), geometry.size) and geometry.stride == (1, 1)


def _window_rows(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The window of each output pixel as one row, for a convolution that is a matrix product."""
    return x.reshape(x.shape[0] * geometry.out[0] * geometry.out[1], -1)


def _input_grad_as_product(g, w, b, slope, out):
    pixels, flat = g.reshape(-1, g.shape[3]), w.reshape(-1, w.shape[3])
    out = out.reshape(-1, flat.shape[0])
    if b is None and slope == 1:
        gemm.matmul(pixels, flat, False, True, out)
    else:
        bias = zeros(flat.shape[0], w.dtype) if b is None else repeated(b, flat.shape[0] // b.size)
        gemm.dense(pixels, row_major(flat.T), bias, slope, out)


def _adjoint_geometry(geometry: Geometry) -> Geometry | None:
    """The geometry whose input gradient, with the flipped kernel, equals the convolution with `geometry`.

    None if there is no such geometry, as for a stride other than 1.
    """
    (kh, kw), ((top, bottom), (left, right)) = geometry.kernel, geometry.padding
    padding = (kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right)
    if geometry.stride != (1, 1) or min(*padding[0], *padding[1]) < 0:
        return None
    return geometry._replace(size=geometry.out, padding=padding)
