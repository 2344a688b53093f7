"""Divergences between two distributions of known density, by quadrature on a grid.

Densities are given by their logarithms at the points of a `Grid`, so that nothing is lost where they are tiny.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigan.core.errors import UsageError
from minigan.data.mixtures import Target, as_points

_SPACING = 0.25  # sigmas: the midpoint rule is then exact to rounding for Gaussians, and nearly so for their ratios
_MAX_NODES = 20_000_000


@dataclass(frozen=True, eq=False)
class Grid:
    """The centres of equal cells that fill a box of the plane, for integrals by the midpoint rule.

    box: ((left, bottom), (right, top)). shape: cells along each axis. tolerance: how far the integral of a density may
    be from 1 before it is refused. With the default the identity V(D*, G) = 2 JSD - log 4 holds to 1e-6, since both
    sides lack the same mass.
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
        if math.prod(self.shape) > _MAX_NODES:
            raise UsageError(
                f"a grid of {self.shape} cells is too fine, expected {_MAX_NODES} at most; take a wider spacing"
            )
        step = (high - low) / self.shape
        x, y = (low[i] + step[i] * (np.arange(self.shape[i]) + 0.5) for i in (0, 1))
        object.__setattr__(self, "points", np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2))
        object.__setattr__(self, "cell", float(step.prod()))

    @classmethod
    def covering(cls, *targets: Target, spacing: float = _SPACING, tolerance: float = 5e-7) -> Grid:
        """A grid over the boxes of all `targets`, with cells at most `spacing` times their smallest sigma wide."""
        boxes = np.array([target.box for target in targets])
        box = np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])
        width = spacing * min(target.sigma for target in targets)
        columns, rows = (math.ceil(side / width) for side in box[1] - box[0])
        return cls(box, (columns, rows), tolerance)

    def integral(self, values: np.ndarray) -> float:
        """The integral of a function with these values at `points`."""
        return float(values.sum()) * self.cell

    def density(self, log_density: Any, what: str) -> np.ndarray:
        """exp of a log density at `points`; raises UsageError unless it integrates to 1 over the box."""
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
    """D* = p / (p + q) (Goodfellow et al., 2014, proposition 1), also where both are too small for floating point."""
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
