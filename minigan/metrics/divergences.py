"""How far apart are two distributions? On densities by quadrature, on samples exactly or with a stated error.

Densities come as their logarithms at the points of a `Grid`, so that nothing is lost where they are tiny. What is
estimated from finite samples is never 0, not even between two samples of one distribution: each such figure comes
with the value that chance alone gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigan import ops, random
from minigan.autodiff import Tensor, grad, no_grad
from minigan.data.mixtures import Target, as_points, log_gaussian_sum, squared_distances
from minigan.errors import UsageError
from minigan.nn import Dense, LeakyReLU, Sequential
from minigan.optim import Adam

_SPACING = 0.25  # sigmas: the midpoint rule is then exact to rounding for Gaussians, and nearly so for their ratios
_MOST_NODES = 20_000_000
_MOST_ASSIGNED = 2_000
_MOST_COMPARED = 10_000
_CHANCE = 0.95


# Densities on a grid.


@dataclass(frozen=True, eq=False)
class Grid:
    """The middles of equal cells that fill a box of the plane, for integrals by the midpoint rule.

    tolerance: by how much the integral of a density may miss 1 before it is refused. With the default the identity
    V(D*, G) = 2 JSD - log 4 holds to 1e-6, since both sides see the same missing mass.
    """

    box: np.ndarray
    shape: tuple[int, int]
    tolerance: float = 5e-7
    points: np.ndarray = field(init=False, repr=False)
    cell: float = field(init=False)

    def __post_init__(self) -> None:
        low, high = as_points(self.box, "the corners of a box", dimensions=2)
        if not (high > low).all() or min(self.shape) < 1:
            raise UsageError(
                f"the box {self.box} with {self.shape} cells is empty, expected its lower and its upper corner and at "
                "least one cell a side; swap or widen them"
            )
        if math.prod(self.shape) > _MOST_NODES:
            raise UsageError(
                f"a grid of {self.shape} cells is too fine, expected {_MOST_NODES} at most; take a wider spacing"
            )
        step = (high - low) / self.shape
        x, y = (low[i] + step[i] * (np.arange(self.shape[i]) + 0.5) for i in (0, 1))
        object.__setattr__(self, "points", np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2))
        object.__setattr__(self, "cell", float(step.prod()))

    @classmethod
    def covering(cls, *targets: Target, spacing: float = _SPACING, tolerance: float = 5e-7) -> Grid:
        """One that holds the boxes of all `targets`, its cells at most `spacing` times their smallest sigma wide."""
        boxes = np.array([target.box for target in targets])
        box = np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])
        width = spacing * min(target.sigma for target in targets)
        columns, rows = (math.ceil(side / width) for side in box[1] - box[0])
        return cls(box, (columns, rows), tolerance)

    def integral(self, values: np.ndarray) -> float:
        """Of a function whose values at `points` these are."""
        return float(values.sum()) * self.cell

    def density(self, log_density: Any, what: str) -> np.ndarray:
        """exp of a log density at `points`; raises UsageError if that is no density, or not one inside of this box."""
        log_density = np.asarray(log_density, dtype=np.float64)
        if log_density.shape != (len(self.points),):
            raise UsageError(
                f"the log density of {what} has shape {log_density.shape}, expected {(len(self.points),)}; "
                "evaluate it at the grid's points"
            )
        values = np.exp(log_density)
        mass = self.integral(values)
        if not abs(mass - 1) <= self.tolerance:
            raise UsageError(
                f"the density of {what} integrates to {mass:.9g} on this grid, expected 1 to within {self.tolerance:g}"
                "; widen the box, refine the grid, or allow a larger tolerance"
            )
        return values


def kl(log_p: Any, log_q: Any, grid: Grid) -> float:
    """KL(p || q) = integral of p log(p / q), in nats; infinite where p has mass and q none."""
    p, _ = grid.density(log_p, "p"), grid.density(log_q, "q")
    return grid.integral(_weighted(p, _difference(log_p, log_q)))


def jsd(log_p: Any, log_q: Any, grid: Grid) -> float:
    """The Jensen-Shannon divergence, KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2: from 0 to log 2."""
    p, q = grid.density(log_p, "p"), grid.density(log_q, "q")
    log_m = np.logaddexp(log_p, log_q) - math.log(2)
    both = _weighted(p, _difference(log_p, log_m)) + _weighted(q, _difference(log_q, log_m))
    return grid.integral(both) / 2


def optimal_logits(log_p: Any, log_q: Any) -> np.ndarray:
    """The logits of the optimal discriminator of real p against generated q: log p - log q; 0 where neither is."""
    return _difference(log_p, log_q)


def optimal_discriminator(log_p: Any, log_q: Any) -> np.ndarray:
    """D* = p / (p + q) (Goodfellow et al., 2014, proposition 1), also where both are too small to write down."""
    return np.exp(-np.logaddexp(0.0, -optimal_logits(log_p, log_q)))


def value(logits: Any, log_p: Any, log_q: Any, grid: Grid) -> float:
    """V(D, G) = E_p log D + E_q log(1 - D) for the discriminator with these logits at the grid's points."""
    logits = np.asarray(logits, dtype=np.float64)
    p, q = grid.density(log_p, "p"), grid.density(log_q, "q")
    if logits.shape != p.shape:
        raise UsageError(f"the logits have shape {logits.shape}, expected {p.shape}; give one for each grid point")
    return -grid.integral(_weighted(p, np.logaddexp(0.0, -logits)) + _weighted(q, np.logaddexp(0.0, logits)))


def optimal_value(log_p: Any, log_q: Any, grid: Grid) -> float:
    """V(D*, G) = 2 JSD(p, q) - log 4 (Goodfellow et al., 2014, theorem 1): -log 4 where the generator is perfect."""
    return 2 * jsd(log_p, log_q, grid) - math.log(4)


def _weighted(p: np.ndarray, values: np.ndarray) -> np.ndarray:
    """p * values, and 0 where p is 0, whatever the value there."""
    return np.multiply(p, values, out=np.zeros_like(p), where=p > 0)


def _difference(log_p: Any, log_q: Any) -> np.ndarray:
    """log p - log q, and 0 where both are -inf."""
    log_p, log_q = np.asarray(log_p, dtype=np.float64), np.asarray(log_q, dtype=np.float64)
    return np.subtract(log_p, log_q, out=np.zeros(log_p.shape), where=log_p != log_q)


# Densities from samples.


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

    def _log_mean(self, points: Any, width: float) -> np.ndarray:
        n = len(self.samples)
        return log_gaussian_sum(points, self.samples, np.full(n, -math.log(n)), width)


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


# Samples against samples.


def wasserstein2(x: Any, y: Any) -> float:
    """The Wasserstein-2 distance of two samples (n, d): root mean squared distance under the best pairing.

    Exact, by assignment, in O(n^3): some seconds for n = 1,000. As an estimate for the distributions it is too large
    at finite n, so compare it with the distance of two samples of real data.
    """
    x, y = as_points(x, "the first sample"), as_points(y, "the second sample")
    if x.shape != y.shape or len(x) > _MOST_ASSIGNED:
        raise UsageError(
            f"samples of shapes {x.shape} and {y.shape} cannot be paired, expected two of the same, at most "
            f"{_MOST_ASSIGNED} points; draw fewer"
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
class Comparison:
    """A figure from two samples, and what it is worth.

    value: the figure. floor: what two samples of one distribution exceed once in 20 times. p_value: how often they
    reach `value`. name: of the figure.
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
) -> Comparison:
    """The squared maximum mean discrepancy of samples (n, d), (m, d) (Gretton et al., 2012, equation 3), unbiased.

    The kernel is exp(-|x - y|^2 / (2 bandwidth^2)), by default with the median distance of all points. Its mean is 0
    for two samples of one distribution, so it may be negative. Floor and p-value come from random relabellings of
    all points as real and fake, which is exact for any distribution.
    """
    x, y = as_points(real, "the real sample"), as_points(fake, "the fake sample")
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2 or len(x) + len(y) > _MOST_COMPARED:
        raise UsageError(
            f"samples of shapes {x.shape} and {y.shape} cannot be compared, expected two or more points of one "
            f"dimension in each and {_MOST_COMPARED} in all; draw others"
        )
    if relabellings < 20:
        raise UsageError(f"relabellings is {relabellings}, expected at least 20 for a floor once in 20 times; raise it")
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
    found = _discrepancy(kernel, is_real)
    by_chance = np.array([_discrepancy(kernel, rng.permutation(is_real)) for _ in range(relabellings)])
    p_value = (1 + int((by_chance >= found).sum())) / (1 + relabellings)
    return Comparison("MMD^2", found, float(np.quantile(by_chance, _CHANCE, method="higher")), p_value)


def _discrepancy(kernel: np.ndarray, is_real: np.ndarray) -> float:
    """The unbiased estimate from the kernel of all pairs, its diagonal 0."""
    n, m = int(is_real.sum()), int((~is_real).sum())
    to_real = kernel @ is_real.astype(np.float64)
    to_fake = kernel.sum(axis=1) - to_real
    within = to_real[is_real].sum() / (n * (n - 1)) + to_fake[~is_real].sum() / (m * (m - 1))
    return float(within - 2 * to_fake[is_real].sum() / (n * m))


def classifier_two_sample_test(real: Any, fake: Any, *, steps: int = 500, seed: int = 0) -> Comparison:
    """The accuracy with which a small network tells fresh real points from fakes (Lopez-Paz and Oquab, 2017).

    It learns from half of both samples (n, d) and is asked about the other half: 1/2 if they are the same to it. The
    floor and the p-value are those of a coin thrown as often, in the normal approximation.
    """
    x, y = as_points(real, "the real sample"), as_points(fake, "the fake sample")
    if x.shape != y.shape or len(x) < 20:
        raise UsageError(
            f"samples of shapes {x.shape} and {y.shape} cannot be told apart fairly, expected two of the same, at "
            "least 20 points; draw others"
        )
    rng = random.generator(seed, "two-sample test")
    half = len(x) // 2
    x, y = rng.permutation(x), rng.permutation(y)
    learn, ask = np.concatenate([x[:half], y[:half]]), np.concatenate([x[half:], y[half:]])
    centre, scale = learn.mean(axis=0), learn.std(axis=0) + 1e-12
    logits = _learned((learn - centre) / scale, half, steps, rng)
    with no_grad():
        says_real = logits(Tensor(((ask - centre) / scale).astype(np.float32))).numpy()[:, 0] > 0
    accuracy = float((says_real == (np.arange(len(ask)) < len(ask) // 2)).mean())
    error = 0.5 / math.sqrt(len(ask))
    p_value = math.erfc((accuracy - 0.5) / error / math.sqrt(2)) / 2
    return Comparison("accuracy of a classifier", accuracy, 0.5 + 1.645 * error, p_value)


def _learned(points: np.ndarray, real: int, steps: int, rng: np.random.Generator) -> Sequential:
    """A network whose logits tell the first `real` points from the rest."""
    network = Sequential(
        Dense(points.shape[1], 64, rng), LeakyReLU(0.2), Dense(64, 64, rng), LeakyReLU(0.2), Dense(64, 1, rng)
    )
    optimizer = Adam(network.parameters(), 2e-3, beta1=0.9)
    sides = np.where(np.arange(len(points)) < real, -1.0, 1.0)[:, None].astype(np.float32)
    points = points.astype(np.float32)
    for _ in range(steps):
        chosen = rng.integers(len(points), size=min(256, len(points)))
        loss = ops.mean(ops.softplus(network(Tensor(points[chosen])) * Tensor(sides[chosen])))
        optimizer.step(grad(loss, optimizer.parameters))
    return network
