"""The divergence of a histogram from expected shares."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.metrics.histograms import histogram_divergence


def test_known_divergences() -> None:
    expected = np.array([0.5, 0.25, 0.25])
    counts = np.array([[20, 10, 10], [8, 0, 0], [4, 4, 0]])
    third = 0.5 * math.log(1) + 0.5 * math.log(2)
    np.testing.assert_allclose(histogram_divergence(counts, expected), [0, math.log(2), third], atol=1e-12)


def test_a_perfect_sampler_has_the_expected_mean() -> None:
    expected = np.full(10, 0.1)
    counts = np.random.default_rng(0).multinomial(500, expected, size=4_000)
    assert histogram_divergence(counts, expected).mean() == pytest.approx(9 / 1_000, rel=0.03)


def test_a_class_that_is_not_expected() -> None:
    with pytest.raises(UsageError, match="a positive share for each class"):
        histogram_divergence(np.ones(3), np.array([0.5, 0.5, 0]))
