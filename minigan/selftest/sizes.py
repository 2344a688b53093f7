"""Cases at sizes for which fast kernels use other algorithms than for the small arrays of the other cases."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.selftest.case import Case, CheckedFunction
from minigan.selftest.sampler import Sampler
from minigan_kernels.geometry import of_convolution

_TIMES_TWO: dict[str, Any] = {"stride": 2, "padding": 1}

# Settings, image (N, H, W, in) and kernel (kh, kw, in, out); transposed convolutions map `out` to `in` channels.
_CONVOLUTIONS: dict[str, tuple[dict[str, Any], tuple[int, int, int, int], tuple[int, int, int, int]]] = {
    "4x4-halving-16-32": (_TIMES_TWO, (2, 24, 24, 16), (4, 4, 16, 32)),
    "4x4-halving-32-16-odd": (_TIMES_TWO, (3, 23, 25, 32), (4, 4, 32, 16)),
    "4x4-halving-16-16-fast": (_TIMES_TWO | {"precision": "fast"}, (2, 96, 96, 16), (4, 4, 16, 16)),
    "4x4-halving-3-16": (_TIMES_TWO, (2, 16, 16, 3), (4, 4, 3, 16)),
    "4x4-halving-20-9": (_TIMES_TWO, (2, 10, 12, 20), (4, 4, 20, 9)),
    "3x3-same-16-24": ({"padding": "same"}, (2, 9, 11, 16), (3, 3, 16, 24)),
    "3x3-same-20-3": ({"padding": "same"}, (2, 9, 11, 20), (3, 3, 20, 3)),
    "5x3-uneven-9-17": ({"stride": (2, 1), "padding": ((1, 2), (0, 1))}, (2, 9, 8, 9), (5, 3, 9, 17)),
    "1x1-20-33": ({}, (2, 5, 6, 20), (1, 1, 20, 33)),
    "as-large-as-the-picture": ({}, (9, 4, 4, 20), (4, 4, 20, 33)),
}
_PRODUCTS = {"70x33x50": (70, 33, 50), "9x130x65": (9, 130, 65), "200x3x40": (200, 3, 40), "64x150x2": (64, 150, 2)}


def cases(seed: int = 0, dtype: str = "float64") -> Iterator[Case]:
    """Cases of order 1: the derivative of each operation is one of the other operations, which have their own cases."""
    for name in _CONVOLUTIONS:
        for kind, make in (("conv2d", _convolution), ("conv_transpose2d", _transposed)):
            for suffix, slope in (("", 1.0), ("+LeakyReLU", 0.2)):
                make_sampler = functools.partial(Sampler, seed, f"sizes/{kind}/{name}", dtype)
                yield Case(f"sizes/{kind}{suffix}/{name}", 1, functools.partial(make, name, slope, make_sampler))
    for name in _PRODUCTS:
        make_sampler = functools.partial(Sampler, seed, f"sizes/matmul/{name}", dtype)
        for transposed in ("", "a", "b", "ab"):
            kind = f"matmul-transposed-{transposed}" if transposed else "matmul"
            yield Case(f"sizes/{kind}/{name}", 1, functools.partial(_product, name, transposed, make_sampler))
        yield Case(f"sizes/dense+LeakyReLU/{name}", 1, functools.partial(_dense, name, make_sampler))


_MakeSampler = Callable[[], Sampler]


def _convolution(name: str, slope: float, make_sampler: _MakeSampler) -> CheckedFunction:
    settings, image_shape, kernel = _CONVOLUTIONS[name]
    return _layer(functools.partial(ops.conv2d, **settings), slope, make_sampler().for_conv(image_shape, kernel))


def _transposed(name: str, slope: float, make_sampler: _MakeSampler) -> CheckedFunction:
    settings, image_shape, kernel = _CONVOLUTIONS[name]
    size = image_shape[1:3]
    out = of_convolution(size, kernel[:2], settings.get("stride", 1), settings.get("padding", 0)).out
    inputs = make_sampler().for_conv((image_shape[0], *out, kernel[3]), kernel, transposed=True)
    return _layer(functools.partial(ops.conv_transpose2d, output_size=size, **settings), slope, inputs)


def _dense(name: str, make_sampler: _MakeSampler) -> CheckedFunction:
    return _layer(ops.dense, 0.2, make_sampler().for_dense(*_PRODUCTS[name]))


def _layer(f: Callable[..., Tensor], slope: float, inputs: tuple[np.ndarray, ...]) -> CheckedFunction:
    """f with bias and LeakyReLU; without either if the slope is 1.

    The sampler's outputs have one sign in each channel; here the sign also alternates from example to example.
    """
    x, w, b = inputs
    x[1::2] *= -1
    if slope == 1:
        return CheckedFunction(f, [x, w], names=["x", "w"])
    return CheckedFunction(functools.partial(f, slope=slope), [x, w, b], names=["x", "w", "b"])


def _product(name: str, transposed: str, make_sampler: _MakeSampler) -> CheckedFunction:
    (rows, depth, columns), sampler = _PRODUCTS[name], make_sampler()
    a = sampler.normal(depth, rows) if "a" in transposed else sampler.normal(rows, depth)
    b = sampler.normal(columns, depth) if "b" in transposed else sampler.normal(depth, columns)
    product = functools.partial(ops.matmul, transpose_a="a" in transposed, transpose_b="b" in transposed)
    return CheckedFunction(product, [a, b], names=["a", "b"])
