"""minigan's kernels, called as a training step calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from kernel_cases import Case

import minigan_kernels
from minigan_kernels.packed_weights import PackedWeights

_ALIGNMENT = 16  # numbers between the starts of two parameters, as in minigan.optim
Arrays = list[np.ndarray]
_fast = minigan_kernels.table("numba", np)
_table = minigan_kernels.table("reference", np) | _fast


def is_reference(operation: str) -> bool:
    """Whether the reference kernel serves because there is no fast one."""
    return operation not in _fast


def takes_weights(case: Case) -> bool:
    """Whether the kernel can keep what it makes of the weights of a layer."""
    return "packed" in inspect.signature(_table[case.operation]).parameters


def call(case: Case, keep: bool = True) -> Callable[[], Any]:
    """The kernel on the arrays of `case`; what it makes of the weights is kept, as between two updates, if `keep`."""
    kernel, arrays = _table[case.operation], case.arrays()
    packed = PackedWeights() if keep else None
    match case.operation:
        case "conv2d" | "conv2d_input_grad":
            return lambda: kernel(*arrays, None, 1.0, *case.settings, packed)
        case "batch_norm":
            x, gamma = arrays
            beta = np.zeros_like(gamma)
            return lambda: kernel(x, gamma, beta, *case.settings)
        case "batch_norm_grad":
            g, x, gamma = arrays
            rest = np.zeros_like(gamma), x.mean(axis=0), x.var(axis=0)
            return lambda: kernel(g, x, gamma, *rest, *case.settings)
        case "adam":
            return _adam(kernel, arrays, case.settings)
    return lambda: kernel(*arrays, *case.settings)


def _adam(kernel: Callable[..., Any], gradients: Arrays, settings: tuple[float, ...]) -> Callable[[], Any]:
    """The first update of Adam; the gradients lie in one buffer, as in `minigan.optim`."""
    rate, beta1, beta2, eps = settings
    starts = np.cumsum([0] + [-(-g.size // _ALIGNMENT) * _ALIGNMENT for g in gradients])
    bounds = np.array([(start, start + g.size) for start, g in zip(starts, gradients, strict=False)], np.int64)
    p, g, m, v = np.zeros((4, starts[-1]), np.float32)
    for (first, last), gradient in zip(bounds, gradients, strict=True):
        g[first:last] = gradient.reshape(-1)
    numbers = np.array([1, rate / (1 - beta1), 1 - beta2, (1 - beta2) ** -0.5])
    first_bad = np.full(len(gradients), -1, np.int64)

    def step() -> Arrays:
        kernel(p, g, bounds, m, v, first_bad, numbers, beta1, beta2, eps)
        return [p[first:last] for first, last in bounds]

    return step


def on_host(result: Any) -> Arrays:
    return list(result) if isinstance(result, (tuple, list)) else [result]
