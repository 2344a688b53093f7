"""Which kernel serves a convolution.

a kernel as large as the picture, or of one pixel: a matrix product
4 x 4, stride 2, padding 1, multiples of 16 channels, and pixels enough to pay for it: Winograd's algorithm
at most 8 channels to make, by a transposed convolution or one of stride 1: all taps at once (col2im.py)
everything else: the direct convolution
"""

from __future__ import annotations

import numpy as np

from minigan_kernels import recorded_calls
from minigan_kernels.aligned import result
from minigan_kernels.geometry import Geometry
from minigan_kernels.numba import col2im, gemm, implicit_gemm, leaky_relu, winograd
from minigan_kernels.numba.memory import plain, repeated, zeros


def conv2d(x, w, b, slope, geometry, packed=None, out=None):
    """leaky(conv2d(x, w) + b); see `reference.conv2d`."""
    x, w = plain(x), plain(w)
    bias = zeros(w.shape[3], w.dtype) if b is None else plain(b)
    out = result((x.shape[0], *geometry.out, w.shape[3]), x.dtype, out)
    if not (x.size and w.size):
        _bias_alone(bias, slope, out)
    elif _is_product(geometry):
        gemm.dense(_lines(x, geometry), w.reshape(-1, w.shape[3]), bias, slope, out.reshape(-1, w.shape[3]))
    elif winograd.pays(geometry, x.shape[0], *w.shape[2:]):
        winograd.convolve(x, w, bias, slope, geometry, packed, out, up=False)
    elif w.shape[3] <= col2im.CHANNELS and (back := _turned(geometry)):
        col2im.input_grad(x, plain(w[::-1, ::-1].swapaxes(2, 3)), bias, slope, back, None, out)
    else:
        implicit_gemm.conv2d(x, w, bias, slope, geometry, packed, out)
    return out


def conv2d_input_grad(g, w, b, slope, geometry, packed=None, out=None):
    """leaky(conv2d_input_grad(g, w) + b); see `reference.conv2d_input_grad`."""
    g, w = plain(g), plain(w)
    bias = zeros(w.shape[2], w.dtype) if b is None else plain(b)
    out = result((g.shape[0], *geometry.size, w.shape[2]), g.dtype, out)
    if not (g.size and w.size):
        _bias_alone(bias, slope, out)
    elif _is_product(geometry):
        _input_grad_as_product(g, w, None if b is None else bias, slope, out)
    elif winograd.pays(geometry, g.shape[0], *w.shape[2:]):
        winograd.convolve(g, w, bias, slope, geometry, packed, out, up=True)
    elif w.shape[2] <= col2im.CHANNELS:
        col2im.input_grad(g, w, bias, slope, geometry, packed, out)
    else:
        implicit_gemm.input_grad(g, w, bias, slope, geometry, packed, out)
    return out


def conv2d_weight_grad(x, g, geometry, out=None):
    """conv2d_weight_grad(x, g); see `reference.conv2d_weight_grad`."""
    x, g = plain(x), plain(g)
    channels, outputs = x.shape[3], g.shape[3]
    out = result((*geometry.kernel, channels, outputs), x.dtype, out)
    if not x.size or not g.size:
        recorded_calls.call(np.ndarray.fill, out, 0)
    elif _is_product(geometry):
        gemm.matmul(_lines(x, geometry), g.reshape(-1, outputs), True, False, out.reshape(-1, outputs))
    elif winograd.pays(geometry, x.shape[0], channels, outputs):
        winograd.weight_grad(x, g, geometry, out)
    elif outputs <= col2im.CHANNELS < channels and (back := _turned(geometry)):
        turned = np.empty((*geometry.kernel, outputs, channels), x.dtype)
        implicit_gemm.weight_grad(g, x, back, turned)
        recorded_calls.call(np.copyto, out, turned[::-1, ::-1].swapaxes(2, 3))
    else:
        implicit_gemm.weight_grad(x, g, geometry, out)
    return out


def _bias_alone(bias: np.ndarray, slope: float, out: np.ndarray) -> None:
    """The result of a convolution of nothing: no pictures, or none of the channels it starts from or makes."""
    recorded_calls.call(np.copyto, out, leaky_relu.slope_gate(bias, bias, slope))


def _is_product(geometry: Geometry) -> bool:
    """Whether every output pixel sees pixels of its own, so that each is a row of a matrix product."""
    if geometry.padding != ((0, 0), (0, 0)):
        return False
    return geometry.kernel in ((1, 1), geometry.size) and geometry.stride == (1, 1)


def _lines(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    return x.reshape(x.shape[0] * geometry.out[0] * geometry.out[1], -1)


def _input_grad_as_product(g, w, b, slope, out):
    lines, flat = g.reshape(-1, g.shape[3]), w.reshape(-1, w.shape[3])
    out = out.reshape(-1, flat.shape[0])
    if b is None and slope == 1:
        gemm.matmul(lines, flat, False, True, out)
    else:
        bias = zeros(flat.shape[0], w.dtype) if b is None else repeated(b, flat.shape[0] // b.size)
        gemm.dense(lines, plain(flat.T), bias, slope, out)


def _turned(geometry: Geometry) -> Geometry | None:
    """The geometry in which a convolution with stride 1 is the input gradient of one with the kernel turned around.

    None where there is no such geometry.
    """
    (kh, kw), ((top, bottom), (left, right)) = geometry.kernel, geometry.padding
    padding = (kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right)
    if geometry.stride != (1, 1) or min(*padding[0], *padding[1]) < 0:
        return None
    return geometry._replace(size=geometry.out, padding=padding)
