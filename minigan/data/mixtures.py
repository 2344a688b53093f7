"""Distributions in the plane whose density is known exactly: a ring, a grid, two Gaussians, a swiss roll.

A generator can be compared with them point by point, which a data set of images does not allow.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minigan.core.errors import UsageError, did_you_mean

_REACH = 8.0  # in sigmas: all but exp(-32) = 1e-14 of the probability is nearer to its mean
_PAIRS_AT_ONCE = 4_000_000  # pairs of a point and a mean, to limit the memory


class Target(Protocol):
    """A distribution in the plane with an exact density, for a generator to learn."""

    @property
    def name(self) -> str: ...

    @property
    def sigma(self) -> float:
        """The standard deviation of the noise, in each coordinate."""

    @property
    def modes(self) -> np.ndarray:
        """The means of the modes, (k, 2); (0, 2) if there are none."""

    @property
    def box(self) -> np.ndarray:
        """The corners ((left, bottom), (right, top)) of a box that holds all but 1e-13 of the probability."""

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` independent points, (count, 2)."""

    def log_density(self, points: Any) -> np.ndarray:
        """log p at `points` (n, 2): shape (n,)."""

    def density(self, points: Any) -> np.ndarray:
        """p at `points` (n, 2): shape (n,)."""


@dataclass(frozen=True)
class GaussianMixture:
    """Equally likely Gaussians of covariance sigma^2 I: p(x) = 1/k sum_i N(x; centre_i, sigma^2 I)."""

    name: str
    centres: tuple[tuple[float, float], ...]
    sigma: float

    def __post_init__(self) -> None:
        if not self.centres:
            raise UsageError("a mixture has no centres, expected at least one; name its centres")
        as_points(self.centres, "the centres of a mixture", dimensions=2)
        _require_positive("sigma", self.sigma)

    @property
    def modes(self) -> np.ndarray:
        """The means of the Gaussians, (k, 2)."""
        return np.array(self.centres, dtype=np.float64)

    @property
    def box(self) -> np.ndarray:
        """The corners of a box that reaches 8 sigma beyond every mean."""
        return _box_around(self.modes, self.sigma)

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` independent points, (count, 2)."""
        _require_count(count)
        chosen = self.modes[rng.integers(len(self.centres), size=count)]
        return chosen + self.sigma * rng.standard_normal((count, 2))

    def log_density(self, points: Any) -> np.ndarray:
        """log p at `points` (n, 2), accurate also where p itself underflows."""
        modes = self.modes
        return log_gaussian_sum(points, modes, np.full(len(modes), -math.log(len(modes))), self.sigma)

    def density(self, points: Any) -> np.ndarray:
        """p at `points` (n, 2)."""
        return np.exp(self.log_density(points))


@dataclass(frozen=True)
class SwissRoll:
    """The spiral c(t) = t (cos t, sin t) / t_last, t uniform in [1.5 pi, 4.5 pi], with Gaussian noise; radius 1.

    p(x) = mean over t of N(x; c(t), sigma^2 I): an integral along the curve, here by Gauss-Legendre quadrature on
    pieces at most 3 sigma long. Its relative error is below 1e-9 wherever p is at least 1e-12 of its maximum.
    """

    name: str = "swiss-roll"
    sigma: float = 0.03

    def __post_init__(self) -> None:
        _require_positive("sigma", self.sigma)

    @property
    def modes(self) -> np.ndarray:
        """None: shape (0, 2)."""
        return np.empty((0, 2))

    @property
    def box(self) -> np.ndarray:
        """The corners of a box that reaches 8 sigma beyond the curve."""
        return _box_around(np.array([[-1.0, -1.0], [1.0, 1.0]]), self.sigma)

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` independent points, (count, 2)."""
        _require_count(count)
        return _spiral(rng.uniform(_FIRST, _LAST, count)) + self.sigma * rng.standard_normal((count, 2))

    def log_density(self, points: Any) -> np.ndarray:
        """log p at `points` (n, 2)."""
        means, log_weights = _spiral_quadrature(self.sigma)
        return log_gaussian_sum(points, means, log_weights, self.sigma)

    def density(self, points: Any) -> np.ndarray:
        """p at `points` (n, 2)."""
        return np.exp(self.log_density(points))


_FIRST, _LAST = 1.5 * math.pi, 4.5 * math.pi
_PIECE = 3.0  # length of a piece of the quadrature, in sigmas
_NODES = 16  # quadrature nodes on each piece


def _spiral(t: np.ndarray) -> np.ndarray:
    """c(t): (...,) to (..., 2)."""
    return np.stack([t * np.cos(t), t * np.sin(t)], axis=-1) / _LAST


@functools.lru_cache(maxsize=8)
def _spiral_quadrature(sigma: float, nodes: int = _NODES) -> tuple[np.ndarray, np.ndarray]:
    """Points on the spiral and the logarithms of their weights, which sum to 1."""
    speed = math.hypot(1.0, _LAST) / _LAST  # |dc/dt| at the outer end, where it is largest
    pieces = math.ceil((_LAST - _FIRST) * speed / (_PIECE * sigma))
    x, w = np.polynomial.legendre.leggauss(nodes)
    edges = np.linspace(_FIRST, _LAST, pieces + 1)
    t = edges[:-1, None] + (x + 1) / 2 * (edges[1] - edges[0])
    return _spiral(t.reshape(-1)), np.log(np.tile(w / 2 / pieces, pieces))


def ring(modes: int = 8, radius: float = 1.0, sigma: float = 0.01) -> GaussianMixture:
    """Gaussians evenly spaced on a circle; the defaults are those of VEEGAN and PacGAN."""
    _require_count(modes)
    _require_positive("radius", radius)
    angles = [2 * math.pi * i / modes for i in range(modes)]
    return GaussianMixture("ring", tuple((radius * math.cos(a), radius * math.sin(a)) for a in angles), sigma)


def grid(coordinates: tuple[float, ...] = (-4.0, -2.0, 0.0, 2.0, 4.0), sigma: float = 0.05) -> GaussianMixture:
    """Gaussians at every pair of coordinates; the defaults are the 25 of VEEGAN and PacGAN."""
    return GaussianMixture("grid", tuple((x, y) for x in coordinates for y in coordinates), sigma)


def two_gaussians() -> GaussianMixture:
    """Means (-2, -2) and (2, 2), identity covariance."""
    return GaussianMixture("two-gaussians", ((-2.0, -2.0), (2.0, 2.0)), 1.0)


def log_gaussian_sum(points: Any, means: np.ndarray, log_weights: np.ndarray, sigma: float) -> np.ndarray:
    """log sum_i exp(log_weights_i) N(x; means_i, sigma^2 I) at each point x.

    points: (n, d). means: (k, d). log_weights: (k,). Returns (n,). Raises UsageError for points that are not finite.
    """
    points = as_points(points, "the points", dimensions=means.shape[1])
    log_densities = np.empty(len(points))
    rows = max(1, _PAIRS_AT_ONCE // len(means))
    for start in range(0, len(points), rows):
        chunk = slice(start, start + rows)
        terms = log_weights - squared_distances(points[chunk], means) / (2 * sigma**2)
        largest = terms.max(axis=1)
        log_densities[chunk] = largest + np.log(np.exp(terms - largest[:, None]).sum(axis=1))
    return log_densities - means.shape[1] / 2 * math.log(2 * math.pi * sigma**2)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a_i - b_j|^2, (n, m), from (n, d) and (m, d), by differences: |a|^2 - 2ab + |b|^2 would lose digits."""
    return sum(((a[:, None, i] - b[None, :, i]) ** 2 for i in range(a.shape[1])), start=np.zeros((len(a), len(b))))


def as_points(values: Any, what: str, *, dimensions: int | None = None) -> np.ndarray:
    """`values` as float64 of shape (n, d), n and d at least 1; raises UsageError if they are not finite points."""
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or 0 in points.shape or dimensions not in (None, points.shape[1]):
        shape = f"(n, {'d' if dimensions is None else dimensions})"
        raise UsageError(f"{what} have shape {points.shape}, expected {shape} with n at least 1; give one point a row")
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points).all(axis=1)).sum())
        raise UsageError(
            f"{what} are not finite in {bad} of {len(points)} rows, expected numbers; look for what diverged"
        )
    return points


def _box_around(points: np.ndarray, sigma: float) -> np.ndarray:
    """The corners of a box, (2, d), that reaches `_REACH` sigmas beyond all points (n, d)."""
    return np.stack([points.min(axis=0) - _REACH * sigma, points.max(axis=0) + _REACH * sigma])


def _require_positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise UsageError(f"{name} is {value}, expected a finite number above 0; change it")


def _require_count(count: int) -> None:
    if count < 1:
        raise UsageError(f"the count is {count}, expected a whole number of at least 1; take more")


TARGETS: dict[str, Target] = {t.name: t for t in (ring(), grid(), two_gaussians(), SwissRoll())}


def get(name: str) -> Target:
    """The distribution called `name`; raises UsageError, naming the nearest, if there is none."""
    try:
        return TARGETS[name]
    except KeyError:
        raise UsageError(f"there is no distribution '{name}'; {did_you_mean(name, TARGETS)}") from None
