"""Spearman's rank correlation and the shares of modes, against known values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.metrics.correlation import rank_correlation
from minigan.metrics.discrete import mode_divergence


def test_series_that_rise_and_fall_together() -> None:
    x = np.array([3.0, 1.0, 2.0, 10.0])
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)


def test_the_formula_of_the_rank_differences() -> None:
    """1 - 6 sum d^2 / (n (n^2 - 1)), without equal numbers."""
    x, y = [1, 2, 3, 4, 5], [2, 1, 5, 3, 4]
    assert rank_correlation(x, y) == pytest.approx(1 - 6 * (1 + 1 + 4 + 1 + 1) / (5 * 24))


def test_equal_numbers_share_their_ranks() -> None:
    """Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)."""
    assert rank_correlation([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0


def test_too_few_numbers() -> None:
    with pytest.raises(UsageError, match="at least 3; give more numbers"):
        rank_correlation([1, 2], [1, 2])
    with pytest.raises(UsageError, match="have no rank correlation"):
        rank_correlation([1, 2, 3], [1, 2])


def test_modes_and_their_divergence_from_equal_shares() -> None:
    assert mode_divergence(np.arange(20) % 5, 5) == (5, pytest.approx(0, abs=1e-12))
    assert mode_divergence(np.full(7, 3), 5) == (1, pytest.approx(math.log(5)))
    modes, divergence = mode_divergence(np.array([0, 0, 0, 1]), 4)
    assert (modes, divergence) == (2, pytest.approx(math.log(4) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_a_perfect_sampler_has_the_divergence_of_its_count() -> None:
    """(k - 1) / (2 N), PacGAN's floor: 0.019 for 26,000 samples of 1,000 modes."""
    drawn = [mode_divergence(np.random.default_rng(s).integers(1000, size=26_000), 1000)[1] for s in range(5)]
    assert np.mean(drawn) == pytest.approx(999 / 52_000, rel=0.05)
