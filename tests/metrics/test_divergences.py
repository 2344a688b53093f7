"""Divergences between known densities, against closed forms."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from minigan import MiniganError
from minigan.data import mixtures
from minigan.data.mixtures import GaussianMixture, SwissRoll
from minigan.metrics import divergences
from minigan.metrics.divergences import Grid

NAMES = ["grid", "ring", "swiss-roll", "two-gaussians"]


def gaussian(x: float, y: float, sigma: float) -> GaussianMixture:
    return GaussianMixture("one", ((x, y),), sigma)


def rotated_ring() -> GaussianMixture:
    """Between the modes of the ring: nothing in common with it."""
    turn = math.pi / 8
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    ring = mixtures.get("ring")
    return GaussianMixture("rotated", tuple((x, y) for x, y in ring.modes @ rotation.T), ring.sigma)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.8, 1.3), (1.7, 0.6)])
def test_kl_of_gaussians(a: float, b: float) -> None:
    p, q = gaussian(0.3, -1.0, a), gaussian(-0.5, 0.2, b)
    grid = Grid.covering(p, q)
    exact = 2 * math.log(b / a) + (0.8**2 + 1.2**2) / (2 * b**2) + a**2 / b**2 - 1
    assert divergences.kl(p.log_density(grid.points), q.log_density(grid.points), grid) == pytest.approx(
        exact, rel=1e-10
    )


@pytest.mark.parametrize("distance", [0.1, 1.0, 4 * math.sqrt(2), 12.0])
def test_jsd_of_gaussians(distance: float) -> None:
    """Of equal covariance: an integral along the line through both means."""
    p, q = gaussian(0, 0, 1.0), gaussian(distance / math.sqrt(2), distance / math.sqrt(2), 1.0)

    def integrand(x: mpmath.mpf) -> mpmath.mpf:  # symmetric, so one of both halves is enough
        return mpmath.npdf(x) * (mpmath.log(2) - mpmath.log1p(mpmath.exp(distance * x - distance**2 / 2)))

    exact = float(mpmath.quad(integrand, mpmath.linspace(-12, 12, 25)))
    grid = Grid.covering(p, q)
    found = divergences.jsd(p.log_density(grid.points), q.log_density(grid.points), grid)
    assert found == pytest.approx(exact, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_at_the_optimum(name: str) -> None:
    target = mixtures.get(name)
    grid = Grid.covering(target)
    log_p = target.log_density(grid.points)
    assert divergences.jsd(log_p, log_p, grid) == pytest.approx(0, abs=1e-12)
    assert divergences.kl(log_p, log_p, grid) == pytest.approx(0, abs=1e-12)
    logits = divergences.optimal_logits(log_p, log_p)
    assert divergences.value(logits, log_p, log_p, grid) == pytest.approx(-math.log(4), abs=1e-12)
    assert divergences.optimal_value(log_p, log_p, grid) == pytest.approx(-math.log(4), abs=1e-12)
    assert (divergences.optimal_discriminator(log_p, log_p) == 0.5).all()


@pytest.mark.slow
def test_disjoint_distributions_are_log_2_apart() -> None:
    p, q = mixtures.get("ring"), rotated_ring()
    grid = Grid.covering(p, q)
    log_p, log_q = p.log_density(grid.points), q.log_density(grid.points)
    assert divergences.jsd(log_p, log_q, grid) == pytest.approx(math.log(2), abs=1e-12)
    assert divergences.optimal_value(log_p, log_q, grid) == pytest.approx(0, abs=1e-12)


PAIRS = [
    (mixtures.get("two-gaussians"), gaussian(0.5, -0.5, 2.0)),
    (mixtures.get("ring"), GaussianMixture("wide", mixtures.get("ring").centres, 0.02)),
    (SwissRoll(), SwissRoll("blurred", 0.06)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("p", "q"), PAIRS, ids=lambda target: target.name)
def test_the_value_of_the_optimal_discriminator(p: mixtures.Target, q: mixtures.Target) -> None:
    """V(D*, G) = 2 JSD - log 4, by different sums; and no other discriminator has more."""
    grid = Grid.covering(p, q, spacing=0.5)
    log_p, log_q = p.log_density(grid.points), q.log_density(grid.points)
    best = divergences.optimal_logits(log_p, log_q)
    found = divergences.value(best, log_p, log_q, grid)
    assert abs(found - (2 * divergences.jsd(log_p, log_q, grid) - math.log(4))) <= 1e-6
    assert found == pytest.approx(divergences.optimal_value(log_p, log_q, grid), abs=1e-6)
    assert -math.log(4) < found < 0
    for other in (best + 0.1, best * 0.9, -best, np.zeros_like(best)):
        assert divergences.value(other, log_p, log_q, grid) < found - 1e-4


def test_the_value_by_chance_of_samples() -> None:
    p, q = PAIRS[0]
    grid, rng, count = Grid.covering(p, q), np.random.default_rng(0), 100_000
    logits = np.sin(grid.points[:, 0]) + grid.points[:, 1] / 3
    real, fake = p.sample(count, rng), q.sample(count, rng)
    on_real = -np.log1p(np.exp(-np.sin(real[:, 0]) - real[:, 1] / 3))
    on_fake = -np.log1p(np.exp(np.sin(fake[:, 0]) + fake[:, 1] / 3))
    error = math.sqrt((on_real.var() + on_fake.var()) / count)
    found = divergences.value(logits, p.log_density(grid.points), q.log_density(grid.points), grid)
    assert found == pytest.approx(on_real.mean() + on_fake.mean(), abs=4 * error)


def test_the_optimal_discriminator() -> None:
    p, q = PAIRS[0]
    x = p.sample(20, np.random.default_rng(0))
    found = divergences.optimal_discriminator(p.log_density(x), q.log_density(x))
    np.testing.assert_allclose(found, p.density(x) / (p.density(x) + q.density(x)), rtol=1e-13)
    far = np.array([[60.0, 60.0], [1e3, 0.0]])
    assert (p.density(far) + q.density(far)).max() < 1e-300
    assert divergences.optimal_discriminator(p.log_density(far), q.log_density(far)).max() < 1e-300
    nothing = np.array([-math.inf, -math.inf, 0.0])
    assert divergences.optimal_discriminator(nothing, np.array([-math.inf, 0.0, -math.inf])).tolist() == [0.5, 0, 1]


def test_where_a_density_is_zero() -> None:
    """Uniform on the unit square and on its left half: KL one way is log 2, the other way infinite."""
    grid = Grid(np.array([[0.0, 0.0], [1.0, 1.0]]), (10, 10))
    whole, half = np.zeros(100), np.where(grid.points[:, 0] < 0.5, math.log(2), -math.inf)
    assert divergences.kl(half, whole, grid) == pytest.approx(math.log(2), rel=1e-14)
    assert divergences.kl(whole, half, grid) == math.inf
    exact = (math.log(4 / 3) + math.log(2 / 3) / 2 + math.log(2) / 2) / 2
    assert divergences.jsd(half, whole, grid) == pytest.approx(exact, rel=1e-13)
    best = divergences.optimal_logits(half, whole)
    found = divergences.value(best, half, whole, grid)
    assert found == pytest.approx(2 * exact - math.log(4), rel=1e-13)


def test_errors_of_grids() -> None:
    p = gaussian(0, 0, 1.0)
    small = Grid(np.array([[-2.0, -2.0], [2.0, 2.0]]), (50, 50))
    log_p = p.log_density(small.points)
    with pytest.raises(MiniganError, match=r"density of p integrates to 0\.9\d+ on this grid, expected 1"):
        divergences.kl(log_p, log_p, small)
    assert divergences.kl(log_p, log_p, Grid(small.box, (50, 50), tolerance=0.1)) == 0
    with pytest.raises(MiniganError, match="widen the box"):
        divergences.jsd(np.full(2500, math.nan), log_p, small)
    with pytest.raises(MiniganError, match=r"log density of q has shape \(3,\), expected \(2500,\)"):
        divergences.kl(np.full(2500, -math.log(16)), np.zeros(3), small)
    flat = np.full(2500, -math.log(16))
    with pytest.raises(MiniganError, match="logits have shape"):
        divergences.value(np.zeros((2500, 1)), flat, flat, small)
    with pytest.raises(MiniganError, match="is empty"):
        Grid(np.array([[0.0, 0.0], [0.0, 1.0]]), (10, 10))
    with pytest.raises(MiniganError, match="too fine"):
        Grid.covering(gaussian(0, 0, 1e-4), gaussian(10, 0, 1.0))
