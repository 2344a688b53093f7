"""Precision, recall, density and coverage against their published definitions, and on known cases."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.metrics.manifolds import manifold_scores


def radius(points: np.ndarray, i: int, k: int) -> float:
    return float(sorted(np.linalg.norm(points[i] - points[j]) for j in range(len(points)) if j != i)[k - 1])


def test_they_agree_with_the_definitions() -> None:
    """Point by point: Kynkaanniemi et al., 2019, equations 1 and 2; Naeem et al., 2020, equations 3 and 4."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(40, 2)), rng.normal(0.9, 1.5, size=(30, 2))
    scores = manifold_scores(real, fake)

    def inside(point: np.ndarray, points: np.ndarray, k: int) -> list[bool]:
        return [bool(np.linalg.norm(point - points[i]) <= radius(points, i, k)) for i in range(len(points))]

    assert list(scores.precision) == [any(inside(x, real, 3)) for x in fake]
    assert list(scores.recall) == [any(inside(x, fake, 3)) for x in real]
    np.testing.assert_allclose(scores.density, [sum(inside(x, real, 5)) / 5 for x in fake])
    holds = [any(np.linalg.norm(fake - real[i], axis=1) <= radius(real, i, 5)) for i in range(len(real))]
    assert list(scores.coverage) == holds
    assert 0 < scores.precision.mean() < 1 and 0 < scores.recall.mean() < 1 and 0 < scores.coverage.mean() < 1


def test_copied_data_are_precise_and_complete() -> None:
    x = np.random.default_rng(1).normal(size=(200, 3))
    scores = manifold_scores(x, x)
    assert scores.precision.all() and scores.recall.all() and scores.coverage.all()


def test_points_far_from_the_origin_have_the_same_scores() -> None:
    """Where products of coordinates lose all digits of the differences; these points are moved without rounding."""
    real, fake = np.round(np.random.default_rng(5).normal(size=(2, 100, 3)) * 2**20) / 2**20
    here, there = manifold_scores(real, fake), manifold_scores(real + 2**24, fake + 2**24)
    for name in ("precision", "recall", "density", "coverage"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name))


def test_equal_distributions_reach_the_expected_density_and_coverage() -> None:
    """Naeem et al., 2020, section 3.4: density has the mean 1, and coverage about 1 - 2^-k."""
    rng = np.random.default_rng(2)
    scores = [manifold_scores(*rng.normal(size=(2, 300, 2))) for _ in range(20)]
    assert np.mean([s.density.mean() for s in scores]) == pytest.approx(1, abs=0.03)
    assert np.mean([s.coverage.mean() for s in scores]) == pytest.approx(1 - 2**-5, abs=0.01)


def test_dropped_modes_lower_recall_and_coverage_alone() -> None:
    rng = np.random.default_rng(3)
    modes = 10 * np.eye(5)
    real, fake = (modes[rng.integers(k, size=500)] + rng.normal(size=(500, 5)) for k in (5, 2))
    scores = manifold_scores(real, fake)
    assert scores.precision.mean() > 0.85
    assert scores.recall.mean() == pytest.approx(2 / 5, abs=0.08) == scores.coverage.mean()


def test_samples_far_off_lower_precision_and_density_alone() -> None:
    rng = np.random.default_rng(4)
    real, fake = rng.normal(size=(2, 400, 3))
    fake[::4] += 30
    scores = manifold_scores(real, fake)
    assert scores.precision.mean() < 0.76 and scores.density.mean() < 0.85 and scores.recall.mean() > 0.8


def test_too_few_points_are_refused() -> None:
    with pytest.raises(UsageError, match="more than 5 points"):
        manifold_scores(np.zeros((5, 2)), np.zeros((50, 2)))
