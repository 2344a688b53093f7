"""Kernel density estimates, with their standard error and their bias."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data.mixtures import Target, as_points, log_gaussian_sum, squared_distances

_MAX_COMPARED = 10_000  # all pairs are compared
_SAMPLES_FOR_BANDWIDTH = 300


class KernelDensity:
    """The density from which `samples` (n, d) were drawn, estimated as the mean of Gaussians about them.

    bandwidth: the standard deviation of the Gaussians; by default the one with the largest leave-one-out likelihood.
    The estimate has a random error (`standard_error`) and a bias (`bias`), since its expectation is the density
    convolved with the kernel. Raises UsageError for samples that are not finite or a bandwidth that is not positive.
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
        """The standard error of the density at `points`, (m,): the kernels' standard deviation / sqrt(their number)."""
        n, d, h = *self.samples.shape, self.bandwidth
        # The square of a Gaussian is one of width h / sqrt(2), times (4 pi h^2)^(-d/2).
        mean_square = np.exp(self._log_mean(points, h / math.sqrt(2)) - d / 2 * math.log(4 * math.pi * h**2))
        return np.sqrt(np.maximum(mean_square - self.density(points) ** 2, 0) / max(n - 1, 1))

    def bias(self, points: Any) -> np.ndarray:
        """What smoothing adds to the density at `points`, (m,), to leading order: h^2 / 2 times its Laplacian.

        Estimated by what a second smoothing by the same width h adds, which makes the total width sqrt(2) h.
        """
        return np.exp(self._log_mean(points, math.sqrt(2) * self.bandwidth)) - self.density(points)

    def on_grid(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The estimate for samples of the plane where the grid lines x and y meet: (len(y), len(x)).

        Much faster than `density`: a Gaussian in the plane is the product of a Gaussian in x and one in y, so that one
        matrix product computes all sums.
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
    """The bandwidth with the largest mean log density of each sample under the kernels of the others, to within 1%."""
    n, d = points.shape
    if not 3 <= n <= _MAX_COMPARED:
        raise UsageError(
            f"no bandwidth can be chosen from {n} samples, expected 3 to {_MAX_COMPARED}; name a bandwidth"
        )
    squares = squared_distances(points, points)
    np.fill_diagonal(squares, math.inf)
    nearest = squares.min(axis=1)
    if not nearest.any():
        raise UsageError("every sample has an exact copy, expected distinct points; name a bandwidth")
    squares -= nearest[:, None]  # so that the largest term of each sum is 1

    def negative_log_likelihood(log_width: float) -> float:
        variance = math.exp(2 * log_width)
        others = np.log(np.exp(-squares / (2 * variance)).sum(axis=1)) - nearest / (2 * variance)
        return float(d * log_width - others.mean())

    spread = math.log(math.sqrt(float(points.var(axis=0).mean())))
    widths = spread + np.log(np.geomspace(1e-4, 1, 25))
    best = int(np.argmin([negative_log_likelihood(width) for width in widths]))
    return math.exp(_minimum(negative_log_likelihood, widths[max(best - 1, 0)], widths[min(best + 1, len(widths) - 1)]))


def _minimum(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f is smallest between low and high, to 0.01, if it has one minimum there: golden-section search."""
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
