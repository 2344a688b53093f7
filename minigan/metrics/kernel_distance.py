"""The kernel distance of two samples (Binkowski et al., 2018, who call it KID in features of the Inception network)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.core.errors import UsageError
from minigan.data.mixtures import as_points


def kernel_distance(x: Any, y: Any) -> float:
    """The squared maximum mean discrepancy of samples (n, d) and (m, d) with the kernel (x . y / d + 1)^3, unbiased.

    Its mean is that of the distributions at any number of samples, and 0 for equal ones, so it may be negative. Raises
    UsageError unless both have two or more finite points of one dimension.
    """
    return KernelMatrices(x, y).distance()


class KernelMatrices:
    """The kernel of all pairs of two samples (n, d) and (m, d), from which distances are resampled."""

    def __init__(self, x: Any, y: Any) -> None:
        x, y = as_points(x, "the first sample"), as_points(y, "the second sample")
        if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
            raise UsageError(
                f"samples of shapes {x.shape} and {y.shape} cannot be compared, expected two or more points of one "
                "dimension in each; draw others"
            )
        self.xx, self.yy, self.xy = cubic_kernel(x, x), cubic_kernel(y, y), cubic_kernel(x, y)

    def distance(self) -> float:
        """The distance of the samples."""
        n, m = self.xy.shape
        return float(self.resampled(np.ones((1, n)), np.ones((1, m)))[0])

    def resampled(self, of_x: np.ndarray, of_y: np.ndarray) -> np.ndarray:
        """The distances (r,) of resamples in which each point occurs so often: of_x (r, n), of_y (r, m).

        A pair of a point with itself, or with a copy of itself, is left out: it would make a resample look
        concentrated, which the sample is not.
        """
        between = ((of_x @ self.xy) * of_y).sum(axis=1) / (of_x.sum(axis=1) * of_y.sum(axis=1))
        result: np.ndarray = _within(self.xx, of_x) + _within(self.yy, of_y) - 2 * between
        return result


def cubic_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x . y / d + 1)^3 of all pairs of points (n, d) and (m, d): (n, m)."""
    kernel: np.ndarray = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _within(kernel: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean of the kernel (n, n) over pairs of different points, each as often as `counts` (r, n) say: (r,)."""
    squares = counts**2
    total = ((counts @ kernel) * counts).sum(axis=1) - squares @ np.diag(kernel)
    mean: np.ndarray = total / (counts.sum(axis=1) ** 2 - squares.sum(axis=1))
    return mean
