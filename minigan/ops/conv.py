"""Convolution. <g, conv2d(x, w)> is linear in each of g, x and w, and its derivatives in them are three operations:

    conv2d(x, w)               y[n, i, j] = sum over taps (u, v) of padded x[n, i * down + u, j * across + v] @ w[u, v]
    conv2d_input_grad(g, w)    the derivative in x: the transposed convolution, which upsamples with a stride
    conv2d_weight_grad(x, g)   the derivative in w

The derivatives of each are the other two, so they are closed under differentiation, to any order. Images are
(N, H, W, channels), weights (kh, kw, in, out); a transposed convolution maps `out` channels to `in` channels. The VJPs
below call the cotangent v where an input is called g.
"""

from __future__ import annotations

import math
from typing import Any

from minigan.autodiff import Tensor, primitive
from minigan.autodiff.formula import Formula, with_leaky_relu
from minigan.core import backend
from minigan.ops.elementwise import leaky_relu, slope_gate
from minigan.ops.shape import reshape
from minigan_kernels.geometry import Geometry, Padding, Pair, of_convolution, of_transposed


@primitive(
    lambda g, y, x, w, *, geometry, packed: _input_grad(g, w, geometry=geometry, packed=packed),
    lambda g, y, x, w, *, geometry, packed: _weight_grad(x, g, geometry=geometry),
    formula={"x": "conv2d_input_grad(g, w)", "w": "conv2d_weight_grad(x, g)"},
)
def _conv2d(B, x, w, *, geometry, packed):
    return B.kernel("conv2d")(x, w, None, 1.0, geometry, packed)


@primitive(
    lambda v, y, g, w, *, geometry, packed: _conv2d(v, w, geometry=geometry, packed=packed),
    lambda v, y, g, w, *, geometry, packed: _weight_grad(v, g, geometry=geometry),
    formula=lambda **_: Formula({"x": "conv2d(g, w)", "w": "conv2d_weight_grad(g, x)"}, operation="conv_transpose2d"),
)
def _input_grad(B, g, w, *, geometry, packed):
    return B.kernel("conv2d_input_grad")(g, w, None, 1.0, geometry, packed)


@primitive(
    lambda v, y, x, g, *, geometry: _input_grad(g, v, geometry=geometry, packed=None),
    lambda v, y, x, g, *, geometry: _conv2d(x, v, geometry=geometry, packed=None),
    formula=lambda **_: Formula({"x": "conv2d_input_grad(c, g)", "c": "conv2d(x, g)"}, operation="conv2d_weight_grad"),
)
def _weight_grad(B, x, g, *, geometry):
    return B.kernel("conv2d_weight_grad")(x, g, geometry)


def _fused_vjp(g, y, x, w, *b, needs_grad, transposed, slope, **static):
    """LeakyReLU with a slope >= 0 keeps the sign of its argument, so its derivative is computed from the output y."""
    h, db = g, None
    if b and needs_grad[2]:
        kernel, rows = backend.of(g.data).kernel, (math.prod(g.shape[:3]), g.shape[3])
        if slope == 1:
            db = Tensor(kernel("bias_grad")(reshape(g, rows).data))
        else:
            h, db = map(Tensor, kernel("bias_act_grad")(reshape(y, rows).data, reshape(g, rows).data, slope))
            h = reshape(h, g.shape)
    elif slope != 1:
        h = slope_gate(y, g, slope=slope)
    back = _conv2d if transposed else _input_grad
    image, cotangent = (h, x) if transposed else (x, h)
    dx = back(h, w, **static) if needs_grad[0] else None
    dw = _weight_grad(image, cotangent, geometry=static["geometry"]) if needs_grad[1] else None
    return (dx, dw, db) if b else (dx, dw)


def _fused_composite(
    x: Any, w: Any, *b: Any, transposed: bool, slope: float, geometry: Geometry, packed: Any
) -> Tensor:
    """`_fused` in differentiable operations. `packed` is not used: it holds the present weights, and w may be older."""
    y = (_input_grad if transposed else _conv2d)(x, w, geometry=geometry, packed=None)
    return leaky_relu(y + b[0] if b else y, slope)


def _fused_formula(*, transposed, slope, **_):
    if transposed:
        cotangents = {"x": "conv2d(h, w)", "w": "conv2d_weight_grad(h, x)", "b": "sum(h)"}
    else:
        cotangents = {"x": "conv2d_input_grad(h, w)", "w": "conv2d_weight_grad(x, h)", "b": "sum(h)"}
    return with_leaky_relu(slope, cotangents, operation=f"{'conv_transpose2d' if transposed else 'conv2d'} + bias")


@primitive(joint=_fused_vjp, composite=_fused_composite, formula=_fused_formula)
def _fused(B, x, w, *b, transposed, slope, geometry, packed):
    return B.kernel("conv2d_input_grad" if transposed else "conv2d")(x, w, b[0] if b else None, slope, geometry, packed)


def conv2d(
    x: Any, w: Any, b: Any = None, *, stride: int | Pair = 1, padding: Padding = 0, slope: float = 1.0,
    precision: str = "exact",
) -> Tensor:  # fmt: skip
    """leaky_relu(cross-correlation of x (N, H, W, in) with w (kh, kw, in, out), plus b (out,)): (N, H', W', out).

    H' = floor((H + padding - kh) / stride) + 1. `padding` is a number for every side, "valid" (none), "same"
    (H' = ceil(H / stride); an odd zero goes to the bottom and right, as in Keras), or ((top, bottom), (left, right)).
    `slope` 1 means no activation, 0 ReLU. `precision` "fast" allows Winograd's F(4x4, 2x2), whose rounding errors in
    float32 are about three times as large. Raises ValueError if the shapes do not fit.
    """
    _require_images("conv2d", x, w, transposed=False)
    geometry = of_convolution(x.shape[1:3], w.shape[:2], stride, padding, precision)
    return _apply(x, w, b, slope, geometry, transposed=False)


def conv_transpose2d(
    x: Any, w: Any, b: Any = None, *, stride: int | Pair = 1, padding: Padding = 0, output_size: Pair | None = None,
    slope: float = 1.0, precision: str = "exact",
) -> Tensor:  # fmt: skip
    """The transposed convolution (Dumoulin and Visin, 2016, chapter 4): x (N, H, W, in), w (kh, kw, out, in), b (out,).

    Returns (N, H', W', out), the shape that `conv2d` with the same stride and padding maps to H. With a stride, several
    H' have this property: for a number or explicit padding it is the smallest, (H - 1) * stride + kh - padding; for
    "same" H * stride; for "valid" (H - 1) * stride + max(kh, stride), as in Keras; or `output_size` (H', W').
    Raises ValueError if the shapes do not fit.
    """
    _require_images("conv_transpose2d", x, w, transposed=True)
    geometry = of_transposed(x.shape[1:3], w.shape[:2], stride, padding, output_size, precision)
    return _apply(x, w, b, slope, geometry, transposed=True)


def conv2d_input_grad(g: Any, w: Any, *, size: Pair, stride: int | Pair = 1, padding: Padding = 0) -> Tensor:
    """The derivative of <g, conv2d(x, w)> in x (N, *size, in): g (N, H', W', out), w (kh, kw, in, out)."""
    return conv_transpose2d(g, w, stride=stride, padding=padding, output_size=size)


def conv2d_weight_grad(x: Any, g: Any, *, kernel: Pair, stride: int | Pair = 1, padding: Padding = 0) -> Tensor:
    """The derivative of <g, conv2d(x, w)> in w (*kernel, in, out): x (N, H, W, in), g (N, H', W', out).

    Raises ValueError for a g of another shape.
    """
    geometry = of_convolution(x.shape[1:3], kernel, stride, padding)
    if len(g.shape) != 4 or g.shape[:3] != (x.shape[0], *geometry.out):
        raise ValueError(f"conv2d_weight_grad needs g {(x.shape[0], *geometry.out)} x out, got shape {g.shape}")
    return _weight_grad(x, g, geometry=geometry)


def _apply(x: Any, w: Any, b: Any, slope: float, geometry: Geometry, *, transposed: bool) -> Tensor:
    packed = getattr(w, "packed_weights", None)  # a Parameter caches its packed forms
    if b is None and slope == 1:
        return (_input_grad if transposed else _conv2d)(x, w, geometry=geometry, packed=packed)
    if b is not None and b.shape != (w.shape[2 if transposed else 3],):
        raise ValueError(f"weights of shape {w.shape} need one bias for each output channel, got shape {b.shape}")
    if slope < 0:
        raise ValueError(f"a convolution fuses LeakyReLU of slope 0 or more, got {slope}; apply leaky_relu separately")
    bias = () if b is None else (b,)
    return _fused(x, w, *bias, transposed=transposed, slope=slope, geometry=geometry, packed=packed)


def _require_images(name: str, x: Any, w: Any, *, transposed: bool) -> None:
    if len(x.shape) != 4 or len(w.shape) != 4 or x.shape[3] != w.shape[3 if transposed else 2]:
        expected = "(kh, kw, out, in)" if transposed else "(kh, kw, in, out)"
        raise ValueError(f"{name} needs x (N, H, W, in) and w {expected}, got shapes {x.shape} and {w.shape}")
