"""Convolution and pooling in plain loops, to compare the fast implementations with.

Pictures are (N, H, W, channels), weights (kh, kw, in, out). Everything is computed in float64, in which sums of
products of integers are exact. Of a geometry only size, kernel, stride and padding are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def starts(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> list[int]:
    """Where along one direction each window begins, in pixels of the picture (negative: in the padding)."""
    before, after = padding
    return list(range(-before, size + after - kernel + 1, stride))


def meetings(geometry: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """((i, j), (u, v), (r, s)): an output pixel, a tap, and the input pixel that meets them; none in the padding."""
    rows, columns = _starts(geometry)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            for u in range(geometry.kernel[0]):
                for v in range(geometry.kernel[1]):
                    r, s = top + u, left + v
                    if 0 <= r < geometry.size[0] and 0 <= s < geometry.size[1]:
                        yield (i, j), (u, v), (r, s)


def conv2d(x: np.ndarray, w: np.ndarray, geometry: Any) -> np.ndarray:
    """The cross-correlation of x (N, H, W, in) with w (kh, kw, in, out)."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    y = np.zeros((len(x), *_out(geometry), w.shape[3]))
    for (i, j), (u, v), (r, s) in meetings(geometry):
        y[:, i, j] += x[:, r, s] @ w[u, v]
    return y


def input_grad(g: np.ndarray, w: np.ndarray, geometry: Any) -> np.ndarray:
    """The derivative of <g, conv2d(x, w)> in x."""
    g, w = g.astype(np.float64), w.astype(np.float64)
    dx = np.zeros((len(g), *geometry.size, w.shape[2]))
    for (i, j), (u, v), (r, s) in meetings(geometry):
        dx[:, r, s] += g[:, i, j] @ w[u, v].T
    return dx


def weight_grad(x: np.ndarray, g: np.ndarray, geometry: Any) -> np.ndarray:
    """The derivative of <g, conv2d(x, w)> in w."""
    x, g = x.astype(np.float64), g.astype(np.float64)
    dw = np.zeros((*geometry.kernel, x.shape[3], g.shape[3]))
    for (i, j), (u, v), (r, s) in meetings(geometry):
        dw[u, v] += x[:, r, s].T @ g[:, i, j]
    return dw


def seven_loops(x: np.ndarray, w: np.ndarray, geometry: Any) -> np.ndarray:
    """`conv2d` one product at a time, to compare the functions above with."""
    rows, columns = _starts(geometry)
    y = np.zeros((len(x), len(rows), len(columns), w.shape[3]))
    for n, i, j, u, v, c, o in np.ndindex(len(x), len(rows), len(columns), *w.shape):
        r, s = rows[i] + u, columns[j] + v
        if 0 <= r < x.shape[1] and 0 <= s < x.shape[2]:
            y[n, i, j, o] += x[n, r, s, c] * w[u, v, c, o]
    return y


def bias_act(y: np.ndarray, b: np.ndarray | None, slope: float) -> np.ndarray:
    """LeakyReLU of y plus the bias b."""
    total = y if b is None else y + b
    return np.where(total > 0, total, total * slope)


def windows(x: np.ndarray, geometry: Any) -> Iterator[tuple[tuple[int, int, int, int], list[tuple[int, int]]]]:
    """((n, i, j, c), the pixels (r, s) of that window that lie in the picture, in row-major order)."""
    rows, columns = _starts(geometry)
    for n, i, j, c in np.ndindex(len(x), len(rows), len(columns), x.shape[3]):
        pixels = [
            (rows[i] + u, columns[j] + v)
            for u in range(geometry.kernel[0])
            for v in range(geometry.kernel[1])
            if 0 <= rows[i] + u < x.shape[1] and 0 <= columns[j] + v < x.shape[2]
        ]
        yield (n, i, j, c), pixels


def average_pool(x: np.ndarray, geometry: Any) -> np.ndarray:
    """The mean of the pixels of each window."""
    y = np.zeros((len(x), *_out(geometry), x.shape[3]))
    for (n, i, j, c), pixels in windows(x, geometry):
        y[n, i, j, c] = sum(float(x[n, r, s, c]) for r, s in pixels) / len(pixels)
    return y


def max_pool(x: np.ndarray, g: np.ndarray | None, geometry: Any) -> tuple[np.ndarray, np.ndarray]:
    """(the largest number of each window, the sums of g at the first largest pixel of each window)."""
    y, dx = np.zeros((len(x), *_out(geometry), x.shape[3])), np.zeros(x.shape)
    for (n, i, j, c), pixels in windows(x, geometry):
        best = pixels[0]
        for r, s in pixels:
            if x[n, r, s, c] > x[n, *best, c]:
                best = r, s
        y[n, i, j, c] = x[n, *best, c]
        dx[n, *best, c] += 0.0 if g is None else g[n, i, j, c]
    return y, dx


def _starts(geometry: Any) -> tuple[list[int], list[int]]:
    rows, columns = (
        starts(*both) for both in zip(geometry.size, geometry.kernel, geometry.stride, geometry.padding, strict=True)
    )
    return rows, columns


def _out(geometry: Any) -> tuple[int, int]:
    rows, columns = _starts(geometry)
    return len(rows), len(columns)
