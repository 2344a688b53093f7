"""The density of what samples came from, by kernels, with its errors of chance and of smoothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data.mixtures import Target, as_points, log_gaussian_sum, squared_distances

_MOST_COMPARED = 10_000
_SAMPLES_FOR_BANDWIDTH = 300


class KernelDensity:
    """The density of what `samples` (n, d) came from, as the mean of Gaussians of width `bandwidth` about them.

    Without a bandwidth the one of the largest leave-one-out likelihood serves. Two errors are stated: that of chance
    (`standard_error`), and that of smoothing (`bias`), since what is estimated is p convolved with the kernel.
    """

    def __init__(self, samples: Any, bandwidth: float | None = None) -> None:
        points = as_points(samples, "the samples")
        if bandwidth is None:
            bandwidth = _likeliest_bandwidth(points)
        if not (bandwidth > 0 and math.isfinite(bandwidth)):
            raise UsageError(f"the bandwidth is {bandwidth}, expected a finite number above 0; change it")
        self.samples, self.bandwidth = points, float(bandwidth)

    def log_density(self, points: Any) -> np.ndarray:
        """The logarithm of the estimate at `points` (m, d): (m,)."""
        return self._log_mean(points, self.bandwidth)

    def density(self, points: Any) -> np.ndarray:
        """The estimate at `points` (m, d): (m,)."""
        return np.exp(self.log_density(points))

    def standard_error(self, points: Any) -> np.ndarray:
        """Of the density at `points`: the kernels' standard deviation over the root of their number, (m,)."""
        n, d, h = *self.samples.shape, self.bandwidth
        # The square of a Gaussian is one of width h / sqrt(2), times (4 pi h^2)^(-d/2).
        mean_square = np.exp(self._log_mean(points, h / math.sqrt(2)) - d / 2 * math.log(4 * math.pi * h**2))
        return np.sqrt(np.maximum(mean_square - self.density(points) ** 2, 0) / max(n - 1, 1))

    def bias(self, points: Any) -> np.ndarray:
        """What smoothing adds to the density at `points`, (m,), to leading order: h^2 / 2 times its Laplacian.

        That is how much another smoothing of the same size, to width sqrt(2) h, adds.
        """
        return np.exp(self._log_mean(points, math.sqrt(2) * self.bandwidth)) - self.density(points)

    def on_grid(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The estimate for samples of the plane where the grid lines x and y meet: (len(y), len(x)).

        Much faster than `density`: a Gaussian about a point is a product of one of x and one of y, so that one matrix
        product is all.
        """
        across, down = (
            np.exp(-0.5 * ((lines[:, None] - coordinate) / self.bandwidth) ** 2)
            for lines, coordinate in zip((x, y), self.samples.T, strict=True)
        )
        return down @ across.T / (len(self.samples) * 2 * np.pi * self.bandwidth**2)

    def _log_mean(self, points: Any, width: float) -> np.ndarray:
        n = len(self.samples)
        return log_gaussian_sum(points, self.samples, np.full(n, -math.log(n)), width)


def comparable_estimates(target: Target, samples: Any) -> tuple[KernelDensity, KernelDensity]:
    """The densities of draws of `target` and of `samples` (n, 2), estimated alike: they look alike for perfect samples.

    Both are estimated from as many points, by kernels of one bandwidth, the likeliest for the target. Raises UsageError
    if a sample is not finite.
    """
    samples = as_points(samples, "the samples", dimensions=2)
    data = target.sample(max(len(samples), _SAMPLES_FOR_BANDWIDTH), random.generator(0, "contours"))
    bandwidth = KernelDensity(data[:_SAMPLES_FOR_BANDWIDTH]).bandwidth
    return KernelDensity(data[: len(samples)], bandwidth), KernelDensity(samples, bandwidth)


def _likeliest_bandwidth(points: np.ndarray) -> float:
    """The width at which each sample is likeliest on average, seen by the others; to within 1%."""
    n, d = points.shape
    if not 3 <= n <= _MOST_COMPARED:
        raise UsageError(
            f"a bandwidth was to be found from {n} samples, expected 3 to {_MOST_COMPARED}; name a bandwidth"
        )
    distances = squared_distances(points, points)
    np.fill_diagonal(distances, math.inf)
    nearest = distances.min(axis=1)
    if not nearest.any():
        raise UsageError("every sample has an exact copy, expected distinct points; name a bandwidth")
    distances -= nearest[:, None]  # so that the largest term of each sum is 1

    def surprise(log_width: float) -> float:
        variance = math.exp(2 * log_width)
        others = np.log(np.exp(-distances / (2 * variance)).sum(axis=1)) - nearest / (2 * variance)
        return float(d * log_width - others.mean())

    spread = math.log(math.sqrt(float(points.var(axis=0).mean())))
    widths = spread + np.log(np.geomspace(1e-4, 1, 25))
    best = int(np.argmin([surprise(width) for width in widths]))
    return math.exp(_lowest(surprise, widths[max(best - 1, 0)], widths[min(best + 1, len(widths) - 1)]))


def _lowest(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f, which has one minimum between, is lowest: golden-section search to 0.01."""
    golden = (math.sqrt(5) - 1) / 2
    a, b = high - golden * (high - low), low + golden * (high - low)
    at_a, at_b = f(a), f(b)
    while high - low > 0.01:
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - golden * (high - low)
            at_a = f(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + golden * (high - low)
            at_b = f(b)
    return (low + high) / 2
