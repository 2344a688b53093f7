"""Elementwise operations with NumPy's broadcasting, each beside its VJPs and their formula.

In every VJP g is the cotangent of the result y. The cotangent of an input that was broadcast is summed to its shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autodiff import Tensor, constant_like, primitive
from minigan.ops.shape import sum_like


@primitive(lambda g, y, a, b: sum_like(g, a), lambda g, y, a, b: sum_like(g, b), formula={"a": "g", "b": "g"})
def add(B, a, b):
    """a + b."""
    return B.xp.add(a, b)


@primitive(lambda g, y, a, b: sum_like(g, a), lambda g, y, a, b: sum_like(-g, b), formula={"a": "g", "b": "-g"})
def subtract(B, a, b):
    """a - b."""
    return B.xp.subtract(a, b)


@primitive(
    lambda g, y, a, b: sum_like(g * b, a),
    lambda g, y, a, b: sum_like(g * a, b),
    formula={"a": "g * b", "b": "g * a"},
)
def multiply(B, a, b):
    """a * b."""
    return B.xp.multiply(a, b)


@primitive(
    lambda g, y, a, b: sum_like(g / b, a),
    lambda g, y, a, b: sum_like(-(g * y) / b, b),
    formula={"a": "g / b", "b": "-g * y / b"},
)
def divide(B, a, b):
    """a / b."""
    return B.xp.divide(a, b)


@primitive(lambda g, y, x: -g, formula={"x": "-g"})
def negative(B, x):
    """-x."""
    return B.xp.negative(x)


@primitive(
    lambda g, y, x, *, exponent: g * (power(x, exponent - 1) * exponent) if exponent else g * 0.0,
    formula={"x": "exponent * g * x**(exponent - 1)"},
)
def _power(B, x, *, exponent):
    return x**exponent


@primitive(
    lambda g, y, x, exponent: sum_like(g * (_tensor_power(x, exponent - 1.0) * exponent), x),
    lambda g, y, x, exponent: sum_like(g * (y * log(x)), exponent),
    formula={"x": "g * exponent * x**(exponent - 1)", "exponent": "g * y * log(x)"},
)
def _tensor_power(B, x, exponent):
    return x**exponent


def power(x: Any, exponent: Any) -> Tensor:
    """x ** exponent; one of them may be a number. The derivative in an exponent that is a Tensor needs x > 0."""
    if isinstance(exponent, (int, float, np.generic)):
        return _power(x, exponent=float(exponent))
    exponent = exponent if isinstance(exponent, Tensor) else Tensor(exponent)
    return _tensor_power(constant_like(exponent, float(x)) if isinstance(x, (int, float, np.generic)) else x, exponent)


@primitive(lambda g, y, x: g * y, formula={"x": "g * y"})
def exp(B, x):
    """e ** x."""
    return B.xp.exp(x)


@primitive(lambda g, y, x: g / x, formula={"x": "g / x"})
def log(B, x):
    """The natural logarithm."""
    return B.xp.log(x)


@primitive(lambda g, y, x: g / (y * 2.0), formula={"x": "g / (2 * y)"})
def sqrt(B, x):
    """The square root; its derivative at 0 is infinite."""
    return B.xp.sqrt(x)


@primitive(None, formula={"x": "0"})
def sign(B, x):
    """-1, 0 or 1, the sign of x. It is constant almost everywhere, so its derivative is zero."""
    return B.xp.sign(x)


@primitive(lambda g, y, x: g * sign(x), formula={"x": "g * sign(x)"})
def absolute(B, x):
    """|x|; at the kink x = 0 the derivative is 0."""
    return B.xp.abs(x)


@primitive(None, None, formula={"a": "0", "b": "0"})
def share_of_maximum(B, a, b):
    """1 where a > b, 1/2 where a = b, 0 where a < b, NaN where a or b is NaN: the derivative of `maximum` in a."""
    dtype = (a if hasattr(a, "dtype") else b).dtype
    return ((a > b) + (a == b) * 0.5 + B.xp.where((a == a) & (b == b), 0.0, B.xp.nan)).astype(dtype)


@primitive(
    lambda g, y, a, b: sum_like(g * share_of_maximum(a, b), a),
    lambda g, y, a, b: sum_like(g * share_of_maximum(b, a), b),
    formula={"a": "g * share_of_maximum(a, b)", "b": "g * share_of_maximum(b, a)"},
)
def maximum(B, a, b):
    """The larger of a and b, NaN if one is NaN. Where they are equal, each gets half of the cotangent."""
    return B.xp.maximum(a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, NaN if one is NaN. Where they are equal, each gets half of the cotangent."""
    return -maximum(-a, -b)


def clip(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """x, but at least `low` and at most `high` (None: no bound). The derivative is 0 beyond a bound, 1/2 at it."""
    if low is not None:
        x = maximum(x, low)
    if high is not None:
        x = minimum(x, high)
    return x if isinstance(x, Tensor) else Tensor(x)


@primitive(
    None,
    lambda g, y, condition, a, b: sum_like(_where(condition, g, 0.0), a),
    lambda g, y, condition, a, b: sum_like(_where(condition, 0.0, g), b),
    formula={"condition": "0", "a": "where(condition, g, 0)", "b": "where(condition, 0, g)"},
)
def _where(B, condition, a, b):
    return B.xp.where(condition != 0, a, b)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where `condition` holds, b elsewhere: Tensors, arrays or numbers that broadcast. Constant in the condition.

    condition: an array of truth values, or a Tensor, whose numbers other than 0 count as true.
    """
    a, b = (x if isinstance(x, (Tensor, int, float)) else Tensor(x) for x in (a, b))
    like = next((x for x in (a, b) if isinstance(x, Tensor)), None)
    if not isinstance(condition, Tensor):
        condition = condition if hasattr(condition, "astype") else np.asarray(condition)
        condition = Tensor(condition.astype("float64" if like is None else like.data.dtype))
    return _where(condition, constant_like(condition, float(a)) if like is None else a, b)


@primitive(lambda g, y, x: g * cos(x), formula={"x": "g * cos(x)"})
def sin(B, x):
    """The sine of x radians."""
    return B.xp.sin(x)


@primitive(lambda g, y, x: -(g * sin(x)), formula={"x": "-g * sin(x)"})
def cos(B, x):
    """The cosine of x radians."""
    return B.xp.cos(x)


@primitive(
    lambda g, y, t, v: g * (v * (t * -2.0)),
    lambda g, y, t, v: tanh_grad(t, g),
    formula={"t": "-2 * g * v * t", "v": "g * (1 - t**2)"},
)
def _tanh_grad(B, t, v):
    return B.kernel("tanh_grad")(t, v)


def tanh_grad(t: Any, v: Any) -> Tensor:
    """v * (1 - t**2): the VJP of t = tanh(x) for the cotangent v. Raises ValueError unless t and v have one shape."""
    if t.shape != v.shape:
        raise ValueError(f"tanh_grad needs t and v of one shape, got {t.shape} and {v.shape}")
    return _tanh_grad(t, v)


@primitive(lambda g, y, x: tanh_grad(y, g), formula={"x": "g * (1 - y**2)"})
def tanh(B, x):
    """The hyperbolic tangent."""
    return B.xp.tanh(x)


@primitive(lambda g, y, x: g * (y * sigmoid(-x)), formula={"x": "g * y * (1 - y)"})
def sigmoid(B, x):
    """1 / (1 + e**-x), to full relative precision for every x.

    The derivative is computed as sigmoid(x) sigmoid(-x), for 1 - sigmoid(x) loses all digits for large x.
    """
    # e**min(x, 0) is 1 or e**-|x|; neither power overflows.
    return B.xp.divide(B.xp.exp(B.xp.minimum(x, 0.0)), 1.0 + B.xp.exp(-abs(x)))


@primitive(lambda g, y, x: g * sigmoid(x), formula={"x": "g * sigmoid(x)"})
def softplus(B, x):
    """log(1 + e**x), to full relative precision for every x."""
    return B.xp.add(B.xp.maximum(x, 0.0), B.xp.log1p(B.xp.exp(-abs(x))))


@primitive(
    None,
    lambda g, y, x, v, *, slope: slope_gate(x, g, slope=slope),
    formula={"x": "0", "v": "where(x > 0, g, slope * g)"},
)
def _slope_gate(B, x, v, *, slope):
    return B.kernel("slope_gate")(x, v, slope)


def slope_gate(x: Any, v: Any, *, slope: float) -> Tensor:
    """v where x > 0, slope * v elsewhere: the VJP of LeakyReLU. Linear in v, so it is its own VJP; constant in x.

    Raises ValueError unless x and v have the same shape.
    """
    if x.shape != v.shape:
        raise ValueError(f"slope_gate needs x and v of one shape, got {x.shape} and {v.shape}")
    return _slope_gate(x, v, slope=slope)


@primitive(lambda g, y, x, *, slope: slope_gate(x, g, slope=slope), formula={"x": "where(x > 0, g, slope * g)"})
def _leaky_relu(B, x, *, slope):
    return B.kernel("slope_gate")(x, x, slope)


def leaky_relu(x: Any, slope: float = 0.2) -> Tensor:
    """x where x > 0, slope * x elsewhere; at the kink x = 0 the derivative is the slope (Maas et al., 2013)."""
    return _leaky_relu(x, slope=slope)


def relu(x: Any) -> Tensor:
    """max(x, 0); at the kink x = 0 the derivative is 0."""
    return leaky_relu(x, slope=0.0)
