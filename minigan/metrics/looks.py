"""How much of a picture's structure is kept, and how near the grey levels of pictures are to those of others."""

from __future__ import annotations

import numpy as np


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The mean over pictures of the correlation of their numbers (Pearson), from -1 to 1.

    a, b: (N, H, W, C). It is about structure alone: the brightness and the contrast of a whole picture do not change
    it. A picture of a single grey level counts as 0. Raises ValueError if the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"the pictures have shapes {a.shape} and {b.shape}, expected one shape")
    x, y = (pictures.reshape(len(pictures), -1).astype(np.float64) for pictures in (a, b))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    norms = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    return float(np.divide((x * y).sum(axis=1), norms, out=np.zeros(len(x)), where=norms > 0).mean())


def grey_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The Wasserstein-1 distance between the distributions of all bytes of `a` and of `b`, in grey levels.

    In one dimension it is the area between both cumulative distributions. It is a statistic of a look: whose pixel it
    is, and where, does not matter. a, b: uint8 of any shapes.
    """
    first, second = (np.cumsum(np.bincount(x.ravel(), minlength=256)) / x.size for x in (a, b))
    return float(np.abs(first - second).sum())
