"""How well one series of numbers follows another."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.core.errors import UsageError

_LEAST = 3


def rank_correlation(x: Any, y: Any) -> float:
    """Spearman's rank correlation of two series (n,), n >= 3: 1 if both rise together, in any way; -1 if one falls.

    Equal numbers share the mean of their ranks. It is 0 if one series is constant. Raises UsageError for fewer numbers,
    or series of different lengths.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < _LEAST:
        raise UsageError(
            f"series of shapes {x.shape} and {y.shape} have no rank correlation, expected two of the same length, at "
            f"least {_LEAST}; give more numbers"
        )
    of_x, of_y = _ranks(x), _ranks(y)
    of_x, of_y = of_x - of_x.mean(), of_y - of_y.mean()
    size = float(np.sqrt((of_x**2).sum() * (of_y**2).sum()))
    return float((of_x * of_y).sum()) / size if size else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each number, 0 for the smallest."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: np.ndarray = (last - (counts + 1) / 2)[place]
    return ranks
