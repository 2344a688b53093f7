"""Kernel density estimates of samples of the plane."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data import mixtures
from minigan.metrics.density import KernelDensity, comparable_estimates
from minigan.metrics.modes import score_samples


def test_samples_that_are_not_finite_have_no_density():
    with pytest.raises(UsageError, match="not finite in 1 of 3 rows"):
        comparable_estimates(mixtures.get("ring"), np.array([[0, 0], [0, np.nan], [1, 1]]))


def test_the_density_on_a_grid_is_that_at_its_points():
    estimate = KernelDensity(random.generator(0, "test").standard_normal((50, 2)), 0.3)
    x, y = np.linspace(-2, 1, 7), np.linspace(-1, 3, 5)
    meet = np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1)
    np.testing.assert_allclose(estimate.on_grid(x, y), estimate.density(meet).reshape(5, 7), rtol=1e-12)


def test_the_densities_of_data_and_samples_are_estimated_alike():
    """From as many points, by one bandwidth: a perfect generator must not look worse than the data."""
    ring = mixtures.get("ring")
    samples = ring.sample(400, random.generator(5, "test"))
    of_data, of_samples = comparable_estimates(ring, samples)
    assert len(of_data.samples) == len(of_samples.samples) == 400
    assert of_data.bandwidth == of_samples.bandwidth
    assert score_samples(of_data.samples, ring).covered == 8
    np.testing.assert_array_equal(of_samples.samples, samples)
