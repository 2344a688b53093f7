"""The Frechet distance of Gaussians against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.metrics.frechet import distance_of_gaussians, frechet_distance, moments, square_root


def rotation(d: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))[0]


def test_commuting_covariances_have_a_closed_form() -> None:
    """Then the distance is |m_x - m_y|^2 + sum (sigma_x - sigma_y)^2 along the common axes."""
    d, axes = 7, rotation(7)
    of_x, of_y = np.linspace(0.1, 3, d), np.linspace(2, 0.5, d)
    cov_x, cov_y = (axes * sigma**2 @ axes.T for sigma in (of_x, of_y))
    mean = np.arange(d) / 3
    expected = (mean**2).sum() + ((of_x - of_y) ** 2).sum()
    assert distance_of_gaussians(mean, cov_x, np.zeros(d), cov_y) == pytest.approx(expected, rel=1e-12)


def test_covariances_of_the_plane_that_do_not_commute() -> None:
    """For 2 x 2 matrices tr (A B)^(1/2) = sqrt(tr(A B) + 2 sqrt(det A det B))."""
    a, b = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[0.5, -0.3], [-0.3, 3.0]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    zero = np.zeros(2)
    assert distance_of_gaussians(zero, a, zero, b) == pytest.approx(expected, rel=1e-12)


def test_it_is_symmetric_and_zero_for_equal_samples_of_few_points_in_many_dimensions() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 20, 50))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-8)  # singular covariances
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)
    assert frechet_distance(x, x + 2) == pytest.approx(4 * 50, rel=1e-9)


def test_samples_approach_the_distance_of_their_distributions() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 40_000, 3))
    assert frechet_distance(x, 2 * y + 1) == pytest.approx(3 * (1 + 1), rel=0.02)


def test_moments_count_points_as_often_as_they_occur() -> None:
    x = np.random.default_rng(2).normal(size=(5, 3))
    counts = np.array([2, 0, 1, 1, 3])
    mean, cov = moments(x, counts)
    repeated = np.repeat(x, counts, axis=0)
    np.testing.assert_allclose(mean, repeated.mean(axis=0))
    np.testing.assert_allclose(cov, np.cov(repeated, rowvar=False))


def test_the_root_of_a_singular_matrix() -> None:
    v = np.array([[1.0, 2.0, -1.0]])
    np.testing.assert_allclose(square_root(v.T @ v) @ square_root(v.T @ v), v.T @ v, atol=1e-12)


def test_samples_that_do_not_fit_are_refused() -> None:
    for x, y in (((5, 2), (5, 3)), ((1, 2), (5, 2))):
        with pytest.raises(UsageError, match="two or more points of one dimension"):
            frechet_distance(np.zeros(x), np.zeros(y))
    with pytest.raises(UsageError, match="not finite"):
        frechet_distance(np.full((5, 2), np.nan), np.zeros((5, 2)))
