"""Intervals hold what they estimate in about 95% of all draws."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.metrics import intervals


def test_the_bootstrap_interval_of_a_mean_covers_it() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(250):
        low, high = intervals.of_mean(rng.exponential(size=80), rng)
        held.append(low <= 1 <= high)
    assert 0.90 <= np.mean(held) <= 0.97  # somewhat below 95% for so few skewed numbers


def test_the_interval_of_a_share_covers_it() -> None:
    rng = np.random.default_rng(1)
    intervals_found = [intervals.of_share(k / 50, 50) for k in rng.binomial(50, 0.1, 2_000)]
    assert 0.93 <= np.mean([low <= 0.1 <= high for low, high in intervals_found]) <= 0.98


def test_wilson_at_the_edges() -> None:
    """Wilson, 1927: for k = 0 of n the interval is [0, z^2 / (n + z^2)]."""
    low, high = intervals.of_share(0, 20)
    assert low == pytest.approx(0, abs=1e-12) and high == pytest.approx(1.959964**2 / (20 + 1.959964**2), rel=1e-6)
    assert intervals.of_share(1, 20) == pytest.approx((1 - high, 1))


@pytest.mark.parametrize("n", [3, 20, 1_000, 2_000, 10_000])
def test_wilson_holds_the_share_in_spite_of_rounding(n: int) -> None:
    assert intervals.of_share(0.0, n)[0] == 0
    assert intervals.of_share(1.0, n)[1] == 1


def test_about_an_estimate_whose_replicates_are_shifted() -> None:
    replicates = 7 + np.random.default_rng(2).normal(size=100_000)
    assert intervals.about(5, replicates) == pytest.approx((5 - 1.96, 5 + 1.96), abs=0.02)


def test_counts_of_resamples_are_those_of_drawing_with_replacement() -> None:
    counts = intervals.resample_counts(50, 2_000, np.random.default_rng(3))
    assert (counts.sum(axis=1) == 50).all()
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)
