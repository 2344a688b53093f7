"""Distances and tests between two samples.

An estimate from finite samples is never 0, not even for two samples of one distribution. Therefore each test comes with
a floor, which chance alone reaches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, grad, no_grad
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data.mixtures import as_points, squared_distances
from minigan.nn import Dense, LeakyReLU, Sequential
from minigan.optim import Adam

_MAX_ASSIGNED = 2_000
_MAX_COMPARED = 10_000
_FLOOR_QUANTILE = 0.95  # of the statistic for two samples of one distribution


def wasserstein2(x: Any, y: Any) -> float:
    """The Wasserstein-2 distance of two samples (n, d): root mean squared distance under the best pairing.

    Exact for the samples, by assignment, in O(n^3): seconds for n = 1,000. As an estimate for the distributions it
    is too large at finite n, so compare it with the distance of two samples of real data.
    """
    x, y = as_points(x, "the first sample"), as_points(y, "the second sample")
    if x.shape != y.shape or len(x) > _MAX_ASSIGNED:
        raise UsageError(
            f"samples of shapes {x.shape} and {y.shape} cannot be paired, expected two of the same, at most "
            f"{_MAX_ASSIGNED} points; draw fewer"
        )
    costs = squared_distances(x, y)
    return math.sqrt(costs[np.arange(len(x)), assign(costs)].mean())


def assign(costs: np.ndarray) -> np.ndarray:
    """The column of each row, one to one, at the least total cost (n, n).

    Shortest augmenting paths (Jonker and Volgenant, 1987): rows join one by one, each along the cheapest path of
    reassignments, found as by Dijkstra with costs made non-negative by prices.
    """
    n = len(costs)
    if costs.shape != (n, n) or not np.isfinite(costs).all():
        raise UsageError(f"the costs have shape {costs.shape}, expected finite numbers (n, n); give a square matrix")
    row_price, column_price = np.zeros(n), np.zeros(n)
    row_of, column_of = np.full(n, -1), np.full(n, -1)
    for new in range(n):
        distance, came_from = np.full(n, math.inf), np.full(n, -1)
        done = np.zeros(n, bool)
        row, reached = new, 0.0
        rows = [new]
        while True:
            through = reached + costs[row] - row_price[row] - column_price
            nearer = ~done & (through < distance)
            distance[nearer], came_from[nearer] = through[nearer], row
            column = int(np.where(done, math.inf, distance).argmin())
            reached = distance[column]
            if row_of[column] < 0:
                break
            done[column] = True
            row = row_of[column]
            rows.append(row)
        row_price[new] += reached
        row_price[rows[1:]] += reached - distance[column_of[rows[1:]]]
        column_price[done] -= reached - distance[done]
        while column >= 0:  # back along the path: each row takes the column that it was reached through
            row = came_from[column]
            row_of[column], column, column_of[row] = row, column_of[row], column
    return column_of


@dataclass(frozen=True)
class TwoSampleResult:
    """A statistic of two samples, and its significance.

    name, value: of the statistic. floor: the critical value, which two samples of one distribution exceed once in 20
    times. p_value: how often such samples reach `value`.
    """

    name: str
    value: float
    floor: float
    p_value: float

    @property
    def differs(self) -> bool:
        """Whether the samples differ by more than chance does once in 20 times."""
        return self.value > self.floor

    def __str__(self) -> str:
        return (
            f"{self.name} {self.value:.5f} (floor, real against real: {self.floor:.5f} in 95%; p = {self.p_value:.2g})"
        )


def maximum_mean_discrepancy(
    real: Any, fake: Any, bandwidth: float | None = None, *, relabellings: int = 200, seed: int = 0
) -> TwoSampleResult:
    """The squared maximum mean discrepancy of samples (n, d), (m, d) (Gretton et al., 2012, equation 3), unbiased.

    The kernel is exp(-|x - y|^2 / (2 bandwidth^2)), by default with the median distance of all points. The mean of the
    estimate is 0 for two samples of one distribution, so it may be negative. Floor and p-value come from random
    relabellings of all points as real and fake, which is exact for any distribution.
    """
    x, y = as_points(real, "the real sample"), as_points(fake, "the fake sample")
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2 or len(x) + len(y) > _MAX_COMPARED:
        raise UsageError(
            f"samples of shapes {x.shape} and {y.shape} cannot be compared, expected two or more points of one "
            f"dimension in each and {_MAX_COMPARED} in all; draw others"
        )
    if relabellings < 20:
        raise UsageError(f"relabellings is {relabellings}, expected at least 20 to estimate the 95% floor; raise it")
    points = np.concatenate([x, y])
    distances = squared_distances(points, points)
    if bandwidth is None:
        bandwidth = math.sqrt(float(np.median(distances[np.triu_indices(len(points), 1)])))
    if not (bandwidth > 0 and math.isfinite(bandwidth)):
        raise UsageError(f"the bandwidth is {bandwidth}, expected a finite number above 0; name one")
    kernel = np.exp(-distances / (2 * bandwidth**2))
    np.fill_diagonal(kernel, 0)
    is_real = np.arange(len(points)) < len(x)
    rng = random.generator(seed, "relabellings")
    value = _discrepancy(kernel, is_real)
    by_chance = np.array([_discrepancy(kernel, rng.permutation(is_real)) for _ in range(relabellings)])
    p_value = (1 + int((by_chance >= value).sum())) / (1 + relabellings)
    return TwoSampleResult("MMD^2", value, float(np.quantile(by_chance, _FLOOR_QUANTILE, method="higher")), p_value)


def _discrepancy(kernel: np.ndarray, is_real: np.ndarray) -> float:
    """The unbiased estimate from the kernel of all pairs, its diagonal 0."""
    n, m = int(is_real.sum()), int((~is_real).sum())
    to_real = kernel @ is_real.astype(np.float64)
    to_fake = kernel.sum(axis=1) - to_real
    within = to_real[is_real].sum() / (n * (n - 1)) + to_fake[~is_real].sum() / (m * (m - 1))
    return float(within - 2 * to_fake[is_real].sum() / (n * m))


def classifier_two_sample_test(real: Any, fake: Any, *, steps: int = 500, seed: int = 0) -> TwoSampleResult:
    """The accuracy with which a small network tells fresh real points from fakes (Lopez-Paz and Oquab, 2017).

    It is trained on half of both samples (n, d) and tested on the other half; the accuracy is 1/2 if it cannot tell
    them apart. Floor and p-value are those of as many tosses of a coin, in the normal approximation.
    """
    x, y = as_points(real, "the real sample"), as_points(fake, "the fake sample")
    if x.shape != y.shape or len(x) < 20:
        raise UsageError(
            f"samples of shapes {x.shape} and {y.shape} cannot be compared fairly, expected two of the same, at "
            "least 20 points; draw others"
        )
    rng = random.generator(seed, "two-sample test")
    half = len(x) // 2
    x, y = rng.permutation(x), rng.permutation(y)
    training, test = np.concatenate([x[:half], y[:half]]), np.concatenate([x[half:], y[half:]])
    centre, scale = training.mean(axis=0), training.std(axis=0) + 1e-12
    logits = _train_classifier((training - centre) / scale, half, steps, rng)
    with no_grad():
        says_real = logits(Tensor(((test - centre) / scale).astype(np.float32))).numpy()[:, 0] > 0
    accuracy = float((says_real == (np.arange(len(test)) < len(test) // 2)).mean())
    error = 0.5 / math.sqrt(len(test))
    p_value = math.erfc((accuracy - 0.5) / error / math.sqrt(2)) / 2
    return TwoSampleResult("accuracy of a classifier", accuracy, 0.5 + 1.645 * error, p_value)


def _train_classifier(points: np.ndarray, real_count: int, steps: int, rng: np.random.Generator) -> Sequential:
    """A network from points (n, d) to logits (n, 1), positive for the first `real_count` of `points`, else negative."""
    network = Sequential(
        Dense(points.shape[1], 64, rng), LeakyReLU(0.2), Dense(64, 64, rng), LeakyReLU(0.2), Dense(64, 1, rng)
    )
    optimizer = Adam(network.parameters(), 2e-3, beta1=0.9)
    signs = np.where(np.arange(len(points)) < real_count, -1.0, 1.0)[:, None].astype(np.float32)
    points = points.astype(np.float32)
    for _ in range(steps):
        chosen = rng.integers(len(points), size=min(256, len(points)))
        loss = ops.mean(ops.softplus(network(Tensor(points[chosen])) * Tensor(signs[chosen])))
        optimizer.step(grad(loss, optimizer.parameters))
    return network
