"""The same operations in PyTorch: images and weights in channels_last memory, without recording for autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from kernel_cases import Case

Call = Callable[[], Any]
_aten = torch.ops.aten
device = "cpu"  # where the arrays lie; benchmarks/gpu.py sets "cuda"


def call(case: Case) -> Call:
    """The operation on the arrays of `case`, as PyTorch's autograd calls it."""
    function = _CALLS[case.operation](*case.arrays(), *case.settings)

    @torch.no_grad()
    def run() -> Any:
        return function()

    return run


def on_host(result: Any) -> list[np.ndarray]:
    """Results as arrays in minigan's layout: (N, C, H, W) becomes (N, H, W, C)."""
    results = result if isinstance(result, (tuple, list)) else [result]
    return [(r.permute(0, 2, 3, 1) if r.ndim == 4 else r).cpu().numpy() for r in results if r is not None]


def _tensor(x: np.ndarray) -> Any:
    return torch.from_numpy(x).to(device)


def _image(x: np.ndarray) -> Any:
    return _tensor(x).permute(0, 3, 1, 2)


def _weights(w: np.ndarray) -> Any:
    return _tensor(w).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)


def _dense(x: np.ndarray, w: np.ndarray, b: np.ndarray, slope: float) -> Call:
    x, w, b = _tensor(x), _tensor(w.T.copy()), _tensor(b)
    return lambda: torch.nn.functional.linear(x, w, b)


def _matmul(a: np.ndarray, b: np.ndarray, transpose_a: bool, transpose_b: bool) -> Call:
    a, b = _tensor(a), _tensor(b)
    a, b = a.T if transpose_a else a, b.T if transpose_b else b
    return lambda: torch.mm(a, b)


def _conv2d(x: np.ndarray, w: np.ndarray, geometry: Any) -> Call:
    x, w = _image(x), _weights(w)
    padding = _padding(geometry)
    return lambda: torch.nn.functional.conv2d(x, w, None, geometry.stride, padding)


def _conv2d_input_grad(g: np.ndarray, w: np.ndarray, geometry: Any) -> Call:
    x = _image(np.empty((len(g), *geometry.size, w.shape[2]), g.dtype))  # for its shape
    return _backward(_image(g), x, _weights(w), geometry, 0)


def _conv2d_weight_grad(x: np.ndarray, g: np.ndarray, geometry: Any) -> Call:
    w = _weights(np.empty((*geometry.kernel, x.shape[3], g.shape[3]), g.dtype))  # for its shape
    backward = _backward(_image(g), _image(x), w, geometry, 1)
    # (out, in, kh, kw) is permuted so that the permutation in `on_host` gives minigan's (kh, kw, in, out).
    return lambda: backward().permute(2, 0, 3, 1)


def _backward(g: Any, x: Any, w: Any, geometry: Any, wanted: int) -> Call:
    mask = [i == wanted for i in range(3)]
    settings = (None, list(geometry.stride), _padding(geometry), [1, 1], False, [0, 0], 1, mask)
    return lambda: _aten.convolution_backward(g, x, w, *settings)[wanted]


def _padding(geometry: Any) -> list[int]:
    (top, bottom), (left, right) = geometry.padding
    assert (top, left) == (bottom, right), "PyTorch pads both sides alike"
    return [top, left]


def _batch_norm(x: np.ndarray, gamma: np.ndarray, eps: float, slope: float) -> Call:
    x, gamma = _tensor(x), _tensor(gamma)
    beta = torch.zeros_like(gamma)

    def run() -> Any:
        y = _aten.native_batch_norm(x, gamma, beta, None, None, True, 0.0, eps)[0]
        return y if slope == 1 else _aten.leaky_relu_(y, slope)

    return run


def _batch_norm_grad(g: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float, slope: float) -> Call:
    g, x, gamma = _tensor(g), _tensor(x), _tensor(gamma)
    y, mean, inverse_std = _aten.native_batch_norm(x, gamma, None, None, None, True, 0.0, eps)
    _aten.leaky_relu_(y, slope)
    settings = (None, None, mean, inverse_std, True, eps, [True, True, True])

    def run() -> Any:
        h = g if slope == 1 else _aten.leaky_relu_backward(g, y, slope, True)
        return _aten.native_batch_norm_backward(h, x, gamma, *settings)

    return run


def _slope_gate(x: np.ndarray, v: np.ndarray, slope: float) -> Call:
    x, v = _tensor(x), _tensor(v)
    return lambda: _aten.leaky_relu_backward(v, x, slope, True)


def _adam(*arguments: Any) -> Call:
    """The fused kernel itself, without the optimiser's Python around it."""
    *gradients, rate, beta1, beta2, eps = arguments
    gradients = [_tensor(g) for g in gradients]
    p, m, v = ([torch.zeros_like(g) for g in gradients] for _ in range(3))
    steps = [torch.ones((), device=device) for _ in gradients]
    settings = {"lr": rate, "beta1": beta1, "beta2": beta2, "eps": eps}
    settings |= {"weight_decay": 0.0, "amsgrad": False, "maximize": False}

    def step() -> list[Any]:
        torch._fused_adam_(p, gradients, m, v, [], steps, **settings)
        return [values.view(-1) for values in p]

    return step


_CALLS = {
    "dense": _dense,
    "matmul": _matmul,
    "conv2d": _conv2d,
    "conv2d_input_grad": _conv2d_input_grad,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "batch_norm": _batch_norm,
    "batch_norm_grad": _batch_norm_grad,
    "slope_gate": _slope_gate,
    "adam": _adam,
}
