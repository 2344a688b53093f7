"""Pooling and nearest-neighbour upsampling of images (N, H, W, C): sums over windows, and their adjoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autodiff import Tensor, constant_like, no_grad, primitive
from minigan_kernels.geometry import Geometry, Padding, Pair, of_convolution, pair


def _from_windows_vjp(g, y, x, *chosen, needs_grad, geometry):
    return _to_windows(g, *chosen, geometry=geometry), *(None for _ in chosen)


@primitive(joint=_from_windows_vjp, formula={"x": "to_windows(g)", "chosen": "0"})
def _from_windows(B, x, *chosen, geometry):
    """The sum of the pixels of each window; with `chosen`, the number of a tap for each window, only that pixel."""
    padded = B.xp.pad(x, ((0, 0), *geometry.padding, (0, 0)))
    total = B.xp.zeros((x.shape[0], *geometry.out, x.shape[3]), x.dtype)
    for number, tap in enumerate(_taps(geometry)):
        total += B.xp.where(chosen[0] == number, padded[tap], 0.0) if chosen else padded[tap]
    return total


def _to_windows_vjp(v, y, g, *chosen, needs_grad, geometry):
    return _from_windows(v, *chosen, geometry=geometry), *(None for _ in chosen)


@primitive(joint=_to_windows_vjp, formula={"x": "from_windows(g)", "chosen": "0"})
def _to_windows(B, g, *chosen, geometry):
    """Each element of g added to all pixels of its window, or to the chosen one: the adjoint of `from_windows`."""
    (top, _), (left, _) = geometry.padding
    padded = B.xp.zeros((g.shape[0], *geometry.padded, g.shape[3]), g.dtype)
    for number, tap in enumerate(_taps(geometry)):
        padded[tap] += B.xp.where(chosen[0] == number, g, 0.0) if chosen else g
    return padded[:, top : top + geometry.size[0], left : left + geometry.size[1]]


@primitive(None, formula={"x": "0"})
def _largest_tap(B, x, *, geometry):
    """The number of the tap with the maximum of each window, the first of equal maxima; never one in the padding."""
    pads = ((0, 0), *geometry.padding, (0, 0))
    padded = B.xp.pad(x, pads, constant_values=-np.inf)
    is_image = B.xp.pad(B.xp.ones((1, *geometry.size, 1), bool), pads)
    values, inside = (B.concatenate([array[tap][None] for tap in _taps(geometry)]) for array in (padded, is_image))
    # In a window of -inf alone, the padding equals the image: there the first pixel of the image is chosen.
    empty = (values == -np.inf).all(axis=0)
    return B.xp.where(empty, inside.argmax(axis=0), values.argmax(axis=0)).astype(x.dtype)


def _taps(geometry):
    """For each tap of the window, in row-major order: the index of the pixels of the padded images under it."""
    (rows, columns), (down, across) = geometry.out, geometry.stride
    for u in range(geometry.kernel[0]):
        for v in range(geometry.kernel[1]):
            yield slice(None), slice(u, u + down * rows, down), slice(v, v + across * columns, across)


def upsample2d(x: Any, factor: int | Pair = 2) -> Tensor:
    """Nearest-neighbour upsampling: each pixel of x (N, H, W, C) repeated `factor` times along H and W."""
    _require_images("upsample2d", x)
    down, across = both = pair(factor, "factor")
    return _to_windows(x, geometry=Geometry((x.shape[1] * down, x.shape[2] * across), both, both))


def average_pool2d(x: Any, window: int | Pair = 2, *, stride: int | Pair | None = None, padding: Padding = 0) -> Tensor:
    """The mean of each window of x (N, H, W, C), without the padding. `stride`: the size of the window if None.

    Raises ValueError if no window fits.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    geometry = _geometry("average_pool2d", x, window, stride, padding)
    first = x[:1, :, :, :1]
    counts = _from_windows(constant_like(first, 1.0), geometry=geometry)
    return _from_windows(x, geometry=geometry) / counts


def max_pool2d(x: Any, window: int | Pair = 2, *, stride: int | Pair | None = None, padding: Padding = 0) -> Tensor:
    """The maximum of each window of x (N, H, W, C), without the padding. `stride`: the size of the window if None.

    The first of several maxima, in row-major order, gets the whole cotangent. Raises ValueError if no window fits.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    geometry = _geometry("max_pool2d", x, window, stride, padding)
    with no_grad():
        chosen = _largest_tap(x, geometry=geometry)
    return _from_windows(x, chosen, geometry=geometry)


def _geometry(name: str, x: Tensor, window: Any, stride: Any, padding: Padding) -> Geometry:
    _require_images(name, x)
    kernel = pair(window, "window")
    geometry = of_convolution(x.shape[1:3], kernel, kernel if stride is None else stride, padding)
    if any(side >= k for k, sides in zip(kernel, geometry.padding, strict=True) for side in sides):
        raise ValueError(f"{name} with {geometry} has windows outside of the image; use less padding")
    return geometry


def _require_images(name: str, x: Any) -> None:
    if len(x.shape) != 4:
        raise ValueError(f"{name} takes images (N, H, W, C), got shape {x.shape}")
