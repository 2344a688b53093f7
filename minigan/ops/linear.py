"""Matrix products and the dense layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, primitive
from minigan.autodiff.formula import Formula, with_leaky_relu
from minigan.core import backend
from minigan.ops.elementwise import leaky_relu, slope_gate
from minigan.ops.shape import broadcast_to, reshape


def _matmul_vjp_a(g, y, a, b, *, transpose_a, transpose_b):
    if transpose_a:
        return _matmul(b, g, transpose_a=transpose_b, transpose_b=True)
    return _matmul(g, b, transpose_a=False, transpose_b=not transpose_b)


def _matmul_vjp_b(g, y, a, b, *, transpose_a, transpose_b):
    if transpose_b:
        return _matmul(g, a, transpose_a=True, transpose_b=transpose_a)
    return _matmul(a, g, transpose_a=not transpose_a, transpose_b=False)


_MATMUL_FORMULAS = {  # by (transpose_a, transpose_b)
    (False, False): Formula({"a": "g @ b.T", "b": "a.T @ g"}),
    (True, False): Formula({"a": "b @ g.T", "b": "a @ g"}, operation="matmul a.T b"),
    (False, True): Formula({"a": "g @ b", "b": "g.T @ a"}, operation="matmul a b.T"),
    (True, True): Formula({"a": "b.T @ g.T", "b": "g.T @ a.T"}, operation="matmul a.T b.T"),
}


@primitive(
    _matmul_vjp_a,
    _matmul_vjp_b,
    formula=lambda transpose_a, transpose_b: _MATMUL_FORMULAS[transpose_a, transpose_b],
)
def _matmul(B, a, b, *, transpose_a, transpose_b):
    """Of two matrices, or of two equally long batches of them, (n, M, K) and (n, K, N)."""
    if a.ndim == 2:
        return B.kernel("matmul")(a, b, transpose_a, transpose_b)
    return B.matmul_of_batches(a, b, transpose_a, transpose_b)


def matmul(a: Any, b: Any, *, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """op(a) @ op(b) for op(a) (M, K) and op(b) (K, N), where op transposes a matrix if its flag is set.

    Either may be a batch of matrices (..., M, K), whose leading axes broadcast, or a vector (K,), as in NumPy. A flag
    needs a matrix or a batch of them. Raises ValueError unless the inner extents agree.
    """
    a, b = (x if hasattr(x, "shape") else Tensor(x) for x in (a, b))
    vector_a, vector_b = len(a.shape) == 1, len(b.shape) == 1
    if not (a.shape and b.shape) or (vector_a and transpose_a) or (vector_b and transpose_b):
        raise ValueError(f"matmul multiplies vectors, matrices or batches of them, got shapes {a.shape} and {b.shape}")
    a, b = reshape(a, (1, -1)) if vector_a else a, reshape(b, (-1, 1)) if vector_b else b
    _require_inner_extents(a, b, transpose_a, transpose_b)
    product = _matmul if len(a.shape) == len(b.shape) == 2 else _matmul_of_batches
    y = product(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    if not (vector_a or vector_b):
        return y
    return reshape(y, y.shape[:-2] + y.shape[-2:-1] * (not vector_a) + y.shape[-1:] * (not vector_b))


def _matmul_of_batches(a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Tensor:
    """op(a) @ op(b), where a or b is a batch of matrices: if b is a matrix, one product of matrices."""
    if len(b.shape) == 2 and not transpose_a:
        rows = reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))
        y = _matmul(rows, b, transpose_a=False, transpose_b=transpose_b)
        return reshape(y, (*a.shape[:-1], y.shape[1]))
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (x if x.shape[:-2] == batch else broadcast_to(x, batch + x.shape[-2:]) for x in (a, b))
    if len(batch) == 1:
        return _matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    a, b = (reshape(x, (math.prod(batch), *x.shape[-2:])) for x in (a, b))
    y = _matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    return reshape(y, batch + y.shape[1:])


def _require_inner_extents(a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> None:
    inner_a, inner_b = a.shape[-2 if transpose_a else -1], b.shape[-1 if transpose_b else -2]
    if inner_a != inner_b:
        raise ValueError(
            f"matmul cannot multiply shapes {a.shape}{' transposed' * transpose_a} and "
            f"{b.shape}{' transposed' * transpose_b}: the inner extents {inner_a} and {inner_b} differ"
        )


def _dense_composite(x: Any, w: Any, b: Any, *, slope: float) -> Tensor:
    """`dense` in differentiable operations."""
    y = _matmul(x, w, transpose_a=False, transpose_b=False) + b
    return y if slope == 1 else leaky_relu(y, slope)


def _dense_vjp(g, y, x, w, b, *, needs_grad, slope):
    """With h the cotangent of z = x @ w + b: dx = h @ w.T, dw = x.T @ h, db = sum of h over the batch.

    LeakyReLU with a slope >= 0 keeps the sign of z, so h can be computed from the output y.
    """
    if slope == 1:
        h, db = g, Tensor(backend.of(g.data).kernel("bias_grad")(g.data)) if needs_grad[2] else None
    elif needs_grad[2]:
        h, db = map(Tensor, backend.of(g.data).kernel("bias_act_grad")(y.data, g.data, slope))
    else:
        h, db = slope_gate(y, g, slope=slope), None
    return (
        _matmul(h, w, transpose_a=False, transpose_b=True) if needs_grad[0] else None,
        _matmul(x, h, transpose_a=True, transpose_b=False) if needs_grad[1] else None,
        db,
    )


@primitive(
    joint=_dense_vjp,
    composite=_dense_composite,
    formula=lambda slope: with_leaky_relu(slope, {"x": "h @ w.T", "w": "x.T @ h", "b": "sum(h)"}),
)
def _dense(B, x, w, b, *, slope):
    return B.kernel("dense")(x, w, b, slope)


def dense(x: Any, w: Any, b: Any, *, slope: float = 1.0) -> Tensor:
    """leaky_relu(x @ w + b) in one pass: x (M, K), w (K, N), b (N,); slope 1 means no activation, 0 ReLU.

    Raises ValueError if the shapes do not fit, or the slope is negative: the derivative takes the sign of x @ w + b
    from the output, and a negative slope would change it.
    """
    shapes = x_shape, w_shape, b_shape = x.shape, w.shape, b.shape
    if len(x_shape) != 2 or len(w_shape) != 2 or x_shape[1] != w_shape[0] or b_shape != w_shape[1:]:
        raise ValueError("dense needs x (M, K), w (K, N), b (N,), got shapes {}, {} and {}".format(*shapes))
    if slope < 0:
        raise ValueError(f"dense fuses LeakyReLU of slope 0 or more, got {slope}; apply leaky_relu separately")
    return _dense(x, w, b, slope=slope)
