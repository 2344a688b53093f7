"""Distributions with exact densities: the densities integrate to 1, and draws follow them."""

from __future__ import annotations

import dataclasses
import math

import mpmath
import numpy as np
import pytest
from support.environment import EXHAUSTIVE

from minigan import MiniganError
from minigan.data import mixtures
from minigan.data.mixtures import GaussianMixture, SwissRoll, Target

NAMES = ["grid", "ring", "swiss-roll", "two-gaussians"]


@pytest.fixture(params=NAMES)
def target(request: pytest.FixtureRequest) -> Target:
    return mixtures.get(request.param)


def cells(target: Target, spacing: float) -> tuple[np.ndarray, float, tuple[int, int]]:
    """Middles of square cells that fill the target's box, about `spacing` sigmas wide."""
    (left, bottom), (right, top) = target.box
    columns, rows = (math.ceil(side / (spacing * target.sigma)) for side in (right - left, top - bottom))
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = bottom + (np.arange(rows) + 0.5) * (top - bottom) / rows
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    return points, (right - left) / columns * (top - bottom) / rows, (columns, rows)


def test_these_tests_cover_all_distributions() -> None:
    assert sorted(mixtures.TARGETS) == NAMES


def test_the_distributions_are_those_of_the_papers() -> None:
    ring, grid, two = (mixtures.get(name) for name in ("ring", "grid", "two-gaussians"))
    assert (ring.sigma, grid.sigma, two.sigma) == (0.01, 0.05, 1.0)
    assert len(ring.modes) == 8 and np.allclose(np.linalg.norm(ring.modes, axis=1), 1, atol=1e-15)
    neighbours = np.linalg.norm(ring.modes - np.roll(ring.modes, 1, axis=0), axis=1)
    np.testing.assert_allclose(neighbours, 2 * math.sin(math.pi / 8), rtol=1e-14)
    assert sorted(map(tuple, grid.modes)) == [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
    assert two.modes.tolist() == [[-2, -2], [2, 2]]


def test_densities_integrate_to_one(target: Target) -> None:
    points, area, _ = cells(target, 0.8)
    assert area * target.density(points).sum() == pytest.approx(1, abs=1e-11)


def test_a_density_is_the_exponential_of_its_logarithm(target: Target) -> None:
    points = target.sample(50, np.random.default_rng(0))
    np.testing.assert_allclose(target.density(points), np.exp(target.log_density(points)), rtol=1e-14)


def test_a_mixture_is_the_mean_of_its_gaussians() -> None:
    mixture = GaussianMixture("three", ((0.0, 0.0), (1.0, -1.0), (0.5, 2.0)), 0.7)
    x = np.array([[0.3, -0.2], [2.0, 1.0]])
    bells = [
        np.exp(-((x - c) ** 2).sum(axis=1) / (2 * 0.7**2)) / (2 * math.pi * 0.7**2) for c in np.array(mixture.centres)
    ]
    np.testing.assert_allclose(mixture.density(x), np.mean(bells, axis=0), rtol=1e-14)


def test_the_log_density_is_accurate_far_away() -> None:
    ring = mixtures.get("ring")
    expected = -(99.0**2) / (2 * 0.01**2) - math.log(8 * 2 * math.pi * 0.01**2)
    assert ring.log_density([[100.0, 0.0]])[0] == pytest.approx(expected, rel=1e-14)
    assert ring.density([[100.0, 0.0]])[0] == 0


def test_the_swiss_roll_is_the_integral_along_its_curve() -> None:
    roll, last = SwissRoll(), 4.5 * math.pi
    t = 7.7
    on_the_curve = np.array([t * math.cos(t), t * math.sin(t)]) / last
    points = np.array([on_the_curve, on_the_curve + 0.05, on_the_curve - [0.1, 0.02], [0.0, -1 / 3 + 0.01], [0.0, 1.0]])

    def exact(x: float, y: float) -> float:
        def bell(s: mpmath.mpf) -> mpmath.mpf:
            away = (s * mpmath.cos(s) / last - x) ** 2 + (s * mpmath.sin(s) / last - y) ** 2
            return mpmath.exp(-away / (2 * mpmath.mpf(0.03) ** 2))

        pieces = mpmath.linspace(1.5 * mpmath.pi, 4.5 * mpmath.pi, 40)
        return float(mpmath.quad(bell, pieces) / (3 * mpmath.pi) / (2 * mpmath.pi * mpmath.mpf(0.03) ** 2))

    np.testing.assert_allclose(roll.density(points), [exact(*p) for p in points], rtol=1e-11)


def test_the_quadrature_of_the_swiss_roll_has_the_stated_error() -> None:
    roll = SwissRoll()
    points, _, _ = cells(roll, 2.0)
    fine = mixtures.log_gaussian_sum(points, *mixtures._spiral_quadrature(roll.sigma, 32), roll.sigma)
    counts = fine >= fine.max() + math.log(1e-12)
    assert np.abs(roll.log_density(points) - fine)[counts].max() < 1e-9


def test_moments_of_samples() -> None:
    count = 100_000
    for name in ("ring", "grid", "two-gaussians"):
        target = mixtures.get(name)
        x = target.sample(count, np.random.default_rng(1))
        covariance = np.cov(target.modes.T, bias=True) + target.sigma**2 * np.eye(2)
        spread = math.sqrt(covariance.max())
        np.testing.assert_allclose(x.mean(axis=0), 0, atol=4.5 * spread / math.sqrt(count))
        np.testing.assert_allclose(np.cov(x.T), covariance, atol=4.5 * 1.5 * spread**2 / math.sqrt(count))


def test_moments_of_the_swiss_roll() -> None:
    """By hand: of t cos t, t sin t and t^2, t uniform, and the noise."""
    count, sigma, first, last = 100_000, 0.03, 1.5 * math.pi, 4.5 * math.pi
    x = SwissRoll(sigma=sigma).sample(count, np.random.default_rng(1))
    integrals = np.array([last + first, 2.0])  # cos t + t sin t and sin t - t cos t, at 4.5 pi less at 1.5 pi
    mean_square = (last**3 - first**3) / (3 * (last - first)) / last**2 + 2 * sigma**2
    squares = (x**2).sum(axis=1)
    assert squares.mean() == pytest.approx(mean_square, abs=4 * squares.std() / math.sqrt(count))
    errors = 4 * x.std(axis=0) / math.sqrt(count)
    assert (np.abs(x.mean(axis=0) - integrals / (last - first) / last) < errors).all()


@pytest.mark.slow
@pytest.mark.exhaustive
def test_histograms_of_samples_follow_the_density(target: Target) -> None:
    count = 200_000 if EXHAUSTIVE else 60_000
    points, area, (columns, rows) = cells(target, 0.2)
    probabilities = (area * target.density(points)).reshape(columns, rows)
    edges = [np.linspace(*side, n + 1) for side, n in zip(target.box.T, (columns, rows), strict=True)]
    counts, _, _ = np.histogram2d(*target.sample(count, np.random.default_rng(2)).T, bins=edges)
    statistic, degrees = chi_square(counts.reshape(-1), count * probabilities.reshape(-1))
    assert degrees > 20
    assert abs(statistic - degrees) < 4 * math.sqrt(2 * degrees)


def chi_square(counts: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """Pearson's statistic and its degrees of freedom, cells merged until each expects at least 100."""
    groups = (np.cumsum(expected) // 100).astype(int)
    found, wanted = np.bincount(groups, counts), np.bincount(groups, expected)
    found, wanted = found[wanted > 50], wanted[wanted > 50]
    return float(((found - wanted) ** 2 / wanted).sum()), len(found) - 1


def test_draws_depend_on_the_generator_alone(target: Target) -> None:
    first, again, other = (target.sample(10, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.shape == (10, 2) and first.dtype == np.float64
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_modes(target: Target) -> None:
    assert target.modes.shape == (0 if target.name == "swiss-roll" else len(target.modes), 2)
    target.modes[:] = 7  # a copy: the distribution itself cannot be changed
    assert not (target.modes == 7).any()
    with pytest.raises(dataclasses.FrozenInstanceError):
        target.sigma = 1.0  # type: ignore[misc]


def test_errors() -> None:
    with pytest.raises(MiniganError, match="did you mean 'ring'"):
        mixtures.get("rings")
    ring = mixtures.get("ring")
    with pytest.raises(MiniganError, match="count is 0"):
        ring.sample(0, np.random.default_rng(0))
    with pytest.raises(MiniganError, match=r"shape \(3,\), expected \(n, 2\)"):
        ring.density(np.zeros(3))
    with pytest.raises(MiniganError, match=r"shape \(4, 3\)"):
        SwissRoll().density(np.zeros((4, 3)))
    with pytest.raises(MiniganError, match="not finite in 1 of 2 rows"):
        ring.log_density([[0.0, 0.0], [math.nan, 0.0]])
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(MiniganError, match="sigma is"):
            SwissRoll(sigma=wrong)
    with pytest.raises(MiniganError, match="no centres"):
        GaussianMixture("none", (), 1.0)
