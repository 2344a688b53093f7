"""minigan's CUDA kernels on CuPy's arrays, called as a training step calls them, and cuBLAS's products by CuPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np
from kernel_cases import Case

import minigan_kernels

_ALIGNMENT = 16  # numbers between the starts of two parameters, as in minigan.optim


def call(case: Case, implementation: str = "cuda") -> Callable[[], Any]:
    """The kernel of `implementation` on the arrays of `case`, on the device."""
    kernel = minigan_kernels.table(implementation, cupy)[case.operation]
    arrays = [cupy.asarray(array) for array in case.arrays()]
    match case.operation:
        case "conv2d" | "conv2d_input_grad":
            return lambda: kernel(*arrays, None, 1.0, *case.settings)
        case "batch_norm":
            x, gamma = arrays
            beta = cupy.zeros_like(gamma)
            return lambda: kernel(x, gamma, beta, *case.settings)
        case "batch_norm_grad":
            g, x, gamma = arrays
            moments = cupy.asarray(x.get().mean(axis=0)), cupy.asarray(x.get().var(axis=0))
            beta = cupy.zeros_like(gamma)
            return lambda: kernel(g, x, gamma, beta, *moments, *case.settings)
        case "adam":
            return _adam(kernel, arrays, case.settings)
    return lambda: kernel(*arrays, *case.settings)


def cublas_call(case: Case) -> Callable[[], Any] | None:
    """The matrix product of `case` by cuBLAS, without bias; None if it is none."""
    if case.operation not in ("dense", "matmul"):
        return None
    a, b = (cupy.asarray(array) for array in case.arrays()[:2])
    transpose_a, transpose_b = case.settings if case.operation == "matmul" else (False, False)
    a, b = a.T if transpose_a else a, b.T if transpose_b else b
    return lambda: cupy.matmul(a, b)


def _adam(kernel: Callable[..., Any], gradients: list[Any], settings: tuple[float, ...]) -> Callable[[], Any]:
    rate, beta1, beta2, eps = settings
    starts = np.cumsum([0] + [-(-g.size // _ALIGNMENT) * _ALIGNMENT for g in gradients])
    bounds = np.array([(start, start + g.size) for start, g in zip(starts, gradients, strict=False)], np.int64)
    flat = np.zeros(starts[-1], np.float32)
    for (first, last), gradient in zip(bounds, gradients, strict=True):
        flat[first:last] = gradient.get().reshape(-1)
    p, g, m, v = (
        cupy.zeros_like(cupy.asarray(flat)),
        cupy.asarray(flat),
        cupy.zeros(flat.shape, "f4"),
        cupy.zeros(flat.shape, "f4"),
    )
    numbers = cupy.asarray(np.array([1, rate / (1 - beta1), 1 - beta2, (1 - beta2) ** -0.5]))
    on_device, first_bad = cupy.asarray(bounds), cupy.asarray(np.full(len(gradients), -1, np.int64))

    def step() -> list[Any]:
        kernel(p, g, on_device, m, v, first_bad, numbers, beta1, beta2, eps)
        return [p[first:last] for first, last in bounds.tolist()]

    return step


def on_host(result: Any) -> list[np.ndarray]:
    """Results as NumPy arrays."""
    return [r.get() for r in (result if isinstance(result, (tuple, list)) else [result])]
