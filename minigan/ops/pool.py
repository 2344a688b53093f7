"""Pooling and nearest-neighbour upsampling of pictures (N, H, W, C): gathering from windows, and its adjoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autodiff import Tensor, constant_like, no_grad, primitive
from minigan_kernels.geometry import Geometry, Padding, Pair, of_convolution, pair


def _from_windows_vjp(g, y, x, *chosen, wanted, geometry):
    return _to_windows(g, *chosen, geometry=geometry), *(None for _ in chosen)


@primitive(joint=_from_windows_vjp, formula={"x": "to_windows(g)", "chosen": "0"})
def _from_windows(B, x, *chosen, geometry):
    """Of each window the sum of its pixels, or, if it is given, the pixel at the `chosen` tap, by its number."""
    padded = B.xp.pad(x, ((0, 0), *geometry.padding, (0, 0)))
    total = B.xp.zeros((x.shape[0], *geometry.out, x.shape[3]), x.dtype)
    for number, tap in enumerate(_taps(geometry)):
        total += B.xp.where(chosen[0] == number, padded[tap], 0.0) if chosen else padded[tap]
    return total


def _to_windows_vjp(v, y, g, *chosen, wanted, geometry):
    return _from_windows(v, *chosen, geometry=geometry), *(None for _ in chosen)


@primitive(joint=_to_windows_vjp, formula={"x": "from_windows(g)", "chosen": "0"})
def _to_windows(B, g, *chosen, geometry):
    """Each number of g added to the pixels of its window, or to the chosen one: the adjoint of `from_windows`."""
    (top, _), (left, _) = geometry.padding
    padded = B.xp.zeros((g.shape[0], *geometry.padded, g.shape[3]), g.dtype)
    for number, tap in enumerate(_taps(geometry)):
        padded[tap] += B.xp.where(chosen[0] == number, g, 0.0) if chosen else g
    return padded[:, top : top + geometry.size[0], left : left + geometry.size[1]]


@primitive(None, formula={"x": "0"})
def _largest_tap(B, x, *, geometry):
    """The number of the tap at which each window has its largest pixel, the first of several; padding has none."""
    pads = ((0, 0), *geometry.padding, (0, 0))
    padded = B.xp.pad(x, pads, constant_values=-np.inf)
    real = B.xp.pad(B.xp.ones((1, *geometry.size, 1), bool), pads)
    values, inside = (B.xp.stack([array[tap] for tap in _taps(geometry)]) for array in (padded, real))
    # In a window that is all -inf padding would tie: there the first pixel of the picture is chosen.
    empty = (values == -np.inf).all(axis=0)
    return B.xp.where(empty, inside.argmax(axis=0), values.argmax(axis=0)).astype(x.dtype)


def _taps(geometry):
    """The part of the padded pictures that meets each tap of the window, in row-major order."""
    (rows, columns), (down, across) = geometry.out, geometry.stride
    for u in range(geometry.kernel[0]):
        for v in range(geometry.kernel[1]):
            yield slice(None), slice(u, u + down * rows, down), slice(v, v + across * columns, across)


def upsample2d(x: Any, factor: int | Pair = 2) -> Tensor:
    """Nearest-neighbour upsampling: x (N, H, W, C) with each pixel repeated `factor` times down and across."""
    _require_pictures("upsample2d", x)
    down, across = both = pair(factor, "factor")
    return _to_windows(x, geometry=Geometry((x.shape[1] * down, x.shape[2] * across), both, both))


def average_pool2d(x: Any, window: int | Pair = 2, *, stride: int | Pair | None = None, padding: Padding = 0) -> Tensor:
    """The mean of each window of x (N, H, W, C), `stride` (the window's size if None) apart; padding does not count."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    geometry = _geometry("average_pool2d", x, window, stride, padding)
    first = x[:1, :, :, :1]
    counts = _from_windows(constant_like(first, 1.0), geometry=geometry)
    return _from_windows(x, geometry=geometry) / counts


def max_pool2d(x: Any, window: int | Pair = 2, *, stride: int | Pair | None = None, padding: Padding = 0) -> Tensor:
    """The largest number of each window of x (N, H, W, C), `stride` (the window's size if None) apart.

    Padding never wins. Where several are largest the first, in row-major order, gets the whole cotangent.
    Raises ValueError if no window fits.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    geometry = _geometry("max_pool2d", x, window, stride, padding)
    with no_grad():
        chosen = _largest_tap(x, geometry=geometry)
    return _from_windows(x, chosen, geometry=geometry)


def _geometry(name: str, x: Tensor, window: Any, stride: Any, padding: Padding) -> Geometry:
    _require_pictures(name, x)
    kernel = pair(window, "window")
    geometry = of_convolution(x.shape[1:3], kernel, kernel if stride is None else stride, padding)
    if any(side >= k for k, sides in zip(kernel, geometry.padding, strict=True) for side in sides):
        raise ValueError(f"{name} with {geometry} has windows outside of the picture; use less padding")
    return geometry


def _require_pictures(name: str, x: Any) -> None:
    if len(x.shape) != 4:
        raise ValueError(f"{name} takes pictures (N, H, W, C), got shape {x.shape}")
