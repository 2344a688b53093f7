"""Paths between latent vectors, along which samples change smoothly."""

from __future__ import annotations

import numpy as np

_PARALLEL = 1e-6  # sine of an angle below which the arc is a line, to rounding


def between(distribution: str, first: np.ndarray, last: np.ndarray, count: int) -> np.ndarray:
    """`count` vectors (count, size) on the way from `first` to `last`, both (size,), which are the ends.

    For the normal distribution the path is an arc (`slerp`), for others a line. The middle of a line between two normal
    vectors is shorter than nearly all normal vectors: a generator has not seen such (White, 2016, section 2.1).
    """
    path = slerp if distribution == "normal" else lerp
    return np.stack([path(first, last, t) for t in np.linspace(0.0, 1.0, count)]).astype(first.dtype)


def lerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """(1 - t) a + t b."""
    return (1 - t) * a + t * b


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """(sin((1 - t) w) a + sin(t w) b) / sin w, where w is the angle between a and b (Shoemake, 1985).

    Between vectors of equal length all points have that length. For vectors that are parallel, or 0, a line.
    """
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    angle = float(np.arccos(np.clip(float(a @ b) / lengths, -1.0, 1.0))) if lengths else 0.0
    if np.sin(angle) < _PARALLEL:
        return lerp(a, b, t)
    weights = np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    return np.asarray(weights[0] * a + weights[1] * b)
