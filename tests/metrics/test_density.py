"""Kernel density estimates against their stated errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigan import MiniganError
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data import mixtures
from minigan.data.mixtures import GaussianMixture, squared_distances
from minigan.metrics import divergences
from minigan.metrics.density import KernelDensity, comparable_estimates
from minigan.metrics.divergences import Grid
from minigan.metrics.modes import score_samples

NAMES = ["grid", "ring", "swiss-roll", "two-gaussians"]


def gaussian(x: float, y: float, sigma: float) -> GaussianMixture:
    return GaussianMixture("one", ((x, y),), sigma)


def test_the_standard_error_of_a_kernel_density_is_the_observed_one() -> None:
    """What it estimates is known: a mixture smoothed by its kernel is a wider mixture."""
    target, h, repeats = gaussian(0, 0, 1.0), 0.3, 200
    points = np.array([[0.0, 0.0], [1.0, 0.5], [-2.0, 1.0]])
    smoothed = gaussian(0, 0, math.hypot(1, h)).density(points)
    rng = np.random.default_rng(0)
    estimates = [KernelDensity(target.sample(500, rng), h) for _ in range(repeats)]
    found = np.array([e.density(points) for e in estimates])
    stated = np.sqrt(np.mean([e.standard_error(points) ** 2 for e in estimates], axis=0))
    np.testing.assert_allclose(found.std(axis=0), stated, rtol=4 / math.sqrt(2 * repeats))
    assert (np.abs(found.mean(axis=0) - smoothed) < 4 * stated / math.sqrt(repeats)).all()


def test_the_bias_of_a_kernel_density_is_that_of_smoothing() -> None:
    target, h = gaussian(0, 0, 1.0), 0.2
    points = np.array([[0.0, 0.0], [1.0, 0.0], [1.5, 1.5]])
    exact = gaussian(0, 0, math.hypot(1, h)).density(points) - target.density(points)
    found = KernelDensity(target.sample(100_000, np.random.default_rng(0)), h).bias(points)
    np.testing.assert_allclose(found, exact, atol=0.2 * np.abs(exact).max())
    assert np.sign(found[0]) == -1 and np.sign(found[2]) == 1


@pytest.mark.slow
def test_the_bandwidth_has_the_largest_likelihood() -> None:
    for name in NAMES:
        samples = mixtures.get(name).sample(300, np.random.default_rng(3))
        distances = squared_distances(samples, samples)
        others = ~np.eye(300, dtype=bool)

        def likelihood(h: float, distances: np.ndarray = distances, others: np.ndarray = others) -> float:
            kernels = np.exp(-distances / (2 * h**2)) / (2 * math.pi * h**2)
            return float(np.log((kernels * others).sum(axis=1) / 299 + 1e-300).mean())

        found = KernelDensity(samples).bandwidth
        tried = found * np.geomspace(0.1, 10, 401)
        assert likelihood(found) >= max(likelihood(h) for h in tried) - 1e-3


@pytest.mark.slow
def test_a_kernel_density_comes_nearer_with_more_samples() -> None:
    target = mixtures.get("two-gaussians")
    grid = Grid(target.box + np.array([[-3.0], [3.0]]), (80, 80))
    log_p = target.log_density(grid.points)
    found = []
    for count in (100, 2_000):
        estimate = KernelDensity(target.sample(count, np.random.default_rng(0)))
        found.append(divergences.kl(log_p, np.maximum(estimate.log_density(grid.points), -700), grid))
    assert found[0] > 4 * found[1] > 0


def test_errors_of_kernel_densities() -> None:
    with pytest.raises(MiniganError, match="from 2 samples, expected 3 to 10000"):
        KernelDensity([[0.0, 0.0], [1.0, 1.0]])
    with pytest.raises(MiniganError, match="exact copy"):
        KernelDensity(np.ones((5, 2)))
    with pytest.raises(MiniganError, match=r"bandwidth is -1"):
        KernelDensity(np.zeros((3, 2)), -1)
    with pytest.raises(MiniganError, match=r"the samples are not finite"):
        KernelDensity([[math.nan, 0.0]], 1)


# Samples of the plane.


def test_samples_that_are_not_finite_have_no_density() -> None:
    with pytest.raises(UsageError, match="not finite in 1 of 3 rows"):
        comparable_estimates(mixtures.get("ring"), np.array([[0, 0], [0, np.nan], [1, 1]]))


def test_the_density_on_a_grid_is_that_at_its_points() -> None:
    estimate = KernelDensity(random.generator(0, "test").standard_normal((50, 2)), 0.3)
    x, y = np.linspace(-2, 1, 7), np.linspace(-1, 3, 5)
    meet = np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1)
    np.testing.assert_allclose(estimate.on_grid(x, y), estimate.density(meet).reshape(5, 7), rtol=1e-12)


def test_the_densities_of_data_and_samples_are_estimated_alike() -> None:
    """From as many points, by one bandwidth: a perfect generator must not look worse than the data."""
    ring = mixtures.get("ring")
    samples = ring.sample(400, random.generator(5, "test"))
    of_data, of_samples = comparable_estimates(ring, samples)
    assert len(of_data.samples) == len(of_samples.samples) == 400
    assert of_data.bandwidth == of_samples.bandwidth
    assert score_samples(of_data.samples, ring).covered == 8
    np.testing.assert_array_equal(of_samples.samples, samples)
