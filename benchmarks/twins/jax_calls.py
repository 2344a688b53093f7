"""The same operations in JAX, each a compiled function whose result is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from kernel_cases import Case

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def call(case: Case) -> Callable[[], Any]:
    """The operation on the arrays of `case`."""
    arrays = [jnp.array(array) for array in case.arrays()]
    if case.operation == "adam":
        return _adam(arrays, *case.settings)
    function = _FUNCTIONS[case.operation]
    compiled = jax.jit(lambda *arrays: function(*arrays, *case.settings))
    if case.operation.startswith("batch_norm"):
        arrays.append(jnp.zeros_like(arrays[-1]))  # beta
    if case.operation == "batch_norm_grad":
        arrays += [arrays[1].mean(0), arrays[1].var(0)]
    return lambda: jax.block_until_ready(compiled(*arrays))


def on_host(result: Any) -> list[np.ndarray]:
    return [np.asarray(r) for r in (result if isinstance(result, (tuple, list)) else [result])]


def _dense(x: Any, w: Any, b: Any, slope: float) -> Any:
    return x @ w + b


def _matmul(a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    return (a.T if transpose_a else a) @ (b.T if transpose_b else b)


def _conv2d(x: Any, w: Any, geometry: Any) -> Any:
    return jax.lax.conv_general_dilated(x, w, geometry.stride, geometry.padding, dimension_numbers=_LAYOUT)


def _conv2d_input_grad(g: Any, w: Any, geometry: Any) -> Any:
    x = jax.ShapeDtypeStruct((len(g), *geometry.size, w.shape[2]), g.dtype)
    return jax.linear_transpose(lambda x: _conv2d(x, w, geometry), x)(g)[0]


def _conv2d_weight_grad(x: Any, g: Any, geometry: Any) -> Any:
    w = jax.ShapeDtypeStruct((*geometry.kernel, x.shape[3], g.shape[3]), g.dtype)
    return jax.linear_transpose(lambda w: _conv2d(x, w, geometry), w)(g)[0]


def _batch_norm(x: Any, gamma: Any, beta: Any, eps: float, slope: float) -> Any:
    y = (x - x.mean(0)) / jnp.sqrt(x.var(0) + eps) * gamma + beta
    return _slope_gate(y, y, slope)


def _batch_norm_grad(
    g: Any, x: Any, gamma: Any, beta: Any, mean: Any, variance: Any, eps: float, slope: float
) -> tuple[Any, ...]:
    scale = 1 / jnp.sqrt(variance + eps)
    xhat = (x - mean) * scale
    h = _slope_gate(xhat * gamma + beta, g, slope)
    dbeta, dgamma = h.sum(0), (h * xhat).sum(0)
    return gamma * scale * (h - dbeta / len(x) - xhat * (dgamma / len(x))), dgamma, dbeta


def _slope_gate(x: Any, v: Any, slope: float) -> Any:
    return jnp.where(x > 0, v, v * slope)


def _adam(gradients: list[Any], rate: float, beta1: float, beta2: float, eps: float) -> Callable[[], Any]:
    """The first update of Adam, repeated, in buffers that are donated from call to call."""

    def update(state: tuple[Any, ...], gradients: list[Any]) -> tuple[Any, ...]:
        p, m, v = state
        m = [beta1 * a + (1 - beta1) * g for a, g in zip(m, gradients, strict=True)]
        v = [beta2 * a + (1 - beta2) * g * g for a, g in zip(v, gradients, strict=True)]
        p = [
            a - rate / (1 - beta1) * b / (jnp.sqrt(c) * (1 - beta2) ** -0.5 + eps)
            for a, b, c in zip(p, m, v, strict=True)
        ]
        return p, m, v

    compiled = jax.jit(update, donate_argnums=0)
    state: Any = tuple([jnp.zeros_like(g) for g in gradients] for _ in range(3))

    def step() -> list[Any]:
        nonlocal state
        state = jax.block_until_ready(compiled(state, gradients))
        return [p.reshape(-1) for p in state[0]]

    return step


_FUNCTIONS = {
    "dense": _dense,
    "matmul": _matmul,
    "conv2d": _conv2d,
    "conv2d_input_grad": _conv2d_input_grad,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "batch_norm": _batch_norm,
    "batch_norm_grad": _batch_norm_grad,
    "slope_gate": _slope_gate,
}
