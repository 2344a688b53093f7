"""Which kernel serves a convolution.

a kernel as large as the picture, or of one pixel: a matrix product
4 x 4, stride 2, padding 1, multiples of 16 channels, and pixels enough to pay for it: Winograd's algorithm
at most 8 channels to make, by a transposed convolution or one of stride 1: all taps at once (spread.py)
everything else: the direct convolution
"""

from __future__ import annotations

import numpy as np

from minigan_kernels import reference
from minigan_kernels.geometry import Geometry
from minigan_kernels.numba import direct, gemm, spread, winograd
from minigan_kernels.numba.memory import plain


def conv2d(x, w, b, slope, geometry, memo=None):
    """leaky(conv2d(x, w) + b); see `reference.conv2d`."""
    x, w = plain(x), plain(w)
    bias = np.zeros(w.shape[3], w.dtype) if b is None else plain(b)
    if not (x.size and w.size):
        return _bias_alone(bias, slope, (x.shape[0], *geometry.out, w.shape[3]))
    if _is_product(geometry):
        y = gemm.dense(_lines(x, geometry), w.reshape(-1, w.shape[3]), bias, slope)
        return y.reshape(x.shape[0], *geometry.out, w.shape[3])
    if winograd.pays(geometry, x.shape[0], *w.shape[2:]):
        return winograd.convolve(x, w, bias, slope, geometry, memo, up=False)
    if w.shape[3] <= spread.CHANNELS and (back := _turned(geometry)):
        return spread.input_grad(x, plain(w[::-1, ::-1].swapaxes(2, 3)), bias, slope, back, None)
    return direct.conv2d(x, w, bias, slope, geometry, memo)


def conv2d_input_grad(g, w, b, slope, geometry, memo=None):
    """leaky(conv2d_input_grad(g, w) + b); see `reference.conv2d_input_grad`."""
    g, w = plain(g), plain(w)
    bias = np.zeros(w.shape[2], w.dtype) if b is None else plain(b)
    if not (g.size and w.size):
        return _bias_alone(bias, slope, (g.shape[0], *geometry.size, w.shape[2]))
    if _is_product(geometry):
        return _input_grad_as_product(g, w, b, slope, geometry)
    if winograd.pays(geometry, g.shape[0], *w.shape[2:]):
        return winograd.convolve(g, w, bias, slope, geometry, memo, up=True)
    if w.shape[2] <= spread.CHANNELS:
        return spread.input_grad(g, w, bias, slope, geometry, memo)
    return direct.input_grad(g, w, bias, slope, geometry, memo)


def conv2d_weight_grad(x, g, geometry):
    """conv2d_weight_grad(x, g); see `reference.conv2d_weight_grad`."""
    x, g = plain(x), plain(g)
    channels, outputs = x.shape[3], g.shape[3]
    if not x.size or not g.size:
        return np.zeros((*geometry.kernel, channels, outputs), x.dtype)
    if _is_product(geometry):
        w = gemm.matmul(_lines(x, geometry), g.reshape(-1, outputs), True, False)
        return w.reshape(*geometry.kernel, channels, outputs)
    if winograd.pays(geometry, x.shape[0], channels, outputs):
        return winograd.weight_grad(x, g, geometry)
    if outputs <= spread.CHANNELS < channels and (back := _turned(geometry)):
        return plain(direct.weight_grad(g, x, back)[::-1, ::-1].swapaxes(2, 3))
    return direct.weight_grad(x, g, geometry)


def _bias_alone(bias: np.ndarray, slope: float, shape: tuple[int, ...]) -> np.ndarray:
    """The result of a convolution of nothing: no pictures, or none of the channels it starts from or makes."""
    bent = reference.slope_gate(np, bias, bias, bias.dtype.type(slope))
    return np.array(np.broadcast_to(bent, shape))


def _is_product(geometry: Geometry) -> bool:
    """Whether every output pixel sees pixels of its own, so that each is a row of a matrix product."""
    if geometry.padding != ((0, 0), (0, 0)):
        return False
    return geometry.kernel in ((1, 1), geometry.size) and geometry.stride == (1, 1)


def _lines(x: np.ndarray, geometry: Geometry) -> np.ndarray:
    return x.reshape(x.shape[0] * geometry.out[0] * geometry.out[1], -1)


def _input_grad_as_product(g, w, b, slope, geometry):
    lines = g.reshape(-1, g.shape[3])
    flat = w.reshape(-1, w.shape[3])
    if b is None and slope == 1:
        x = gemm.matmul(lines, flat, False, True)
    else:
        bias = np.zeros(flat.shape[0], w.dtype) if b is None else np.tile(b, flat.shape[0] // b.size)
        x = gemm.dense(lines, plain(flat.T), bias, slope)
    return x.reshape(g.shape[0], *geometry.size, w.shape[2])


def _turned(geometry: Geometry) -> Geometry | None:
    """The geometry in which a convolution with stride 1 is the input gradient of one with the kernel turned around.

    None where there is no such geometry.
    """
    (kh, kw), ((top, bottom), (left, right)) = geometry.kernel, geometry.padding
    padding = (kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right)
    if geometry.stride != (1, 1) or min(*padding[0], *padding[1]) < 0:
        return None
    return geometry._replace(size=geometry.out, padding=padding)
