"""Correlation of pictures and distance of grey levels, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.metrics.looks import correlation, grey_distance

RNG = np.random.default_rng(3)
PICTURES = RNG.integers(0, 128, (4, 5, 6, 1), dtype=np.uint8)


def test_correlation_is_that_of_numpy_and_ignores_brightness_and_contrast() -> None:
    others = RNG.integers(0, 256, PICTURES.shape, dtype=np.uint8)
    each = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(PICTURES, others, strict=True)]
    assert correlation(PICTURES, others) == pytest.approx(np.mean(each))
    assert correlation(PICTURES, PICTURES // 2 * 2 + 100) == pytest.approx(1, abs=1e-3)
    assert correlation(PICTURES, 255 - PICTURES) == pytest.approx(-1)


def test_a_picture_of_one_grey_level_correlates_with_nothing() -> None:
    flat = np.full_like(PICTURES, 7)
    assert correlation(PICTURES, flat) == 0
    with pytest.raises(ValueError, match="expected one shape"):
        correlation(PICTURES, PICTURES[:2])


def test_the_distance_of_grey_levels_is_the_mean_difference_of_the_sorted_bytes() -> None:
    """For as many bytes on both sides that is the Wasserstein-1 distance (Villani, 2003, theorem 2.18)."""
    others = RNG.integers(0, 256, PICTURES.shape, dtype=np.uint8)
    expected = np.abs(np.sort(PICTURES.ravel()).astype(float) - np.sort(others.ravel())).mean()
    assert grey_distance(PICTURES, others) == pytest.approx(expected)
    assert grey_distance(PICTURES, PICTURES + np.uint8(20)) == pytest.approx(20)
    assert grey_distance(PICTURES, PICTURES[::-1]) == 0
