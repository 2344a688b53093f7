"""Intervals of 95% about estimates, by resampling (Efron and Tibshirani, 1993) where there is no formula."""

from __future__ import annotations

import math

import numpy as np

LEVEL = 0.95
_DEVIATIONS = 1.959963984540054  # of a Gaussian, between whose plus and minus 95% lie
_RESAMPLES = 1000

Interval = tuple[float, float]


def resample_counts(n: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of n points occurs in each resample of n with replacement: (resamples, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples)


def of_mean(values: np.ndarray, rng: np.random.Generator) -> Interval:
    """The bootstrap interval of the mean of `values` (n,), by percentiles of the means of resamples."""
    values = values.astype(np.float64)
    return percentiles(resample_counts(len(values), _RESAMPLES, rng) @ values / len(values))


def percentiles(replicates: np.ndarray) -> Interval:
    """The middle 95% of the replicates of an estimate, (r,)."""
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def about(estimate: float, replicates: np.ndarray) -> Interval:
    """`estimate` plus and minus 1.96 standard deviations of its replicates (r,).

    For estimates whose replicates are shifted, since a resample repeats points: a Frechet distance is larger between
    resamples than between samples.
    """
    margin = _DEVIATIONS * float(np.std(replicates, ddof=1))
    return estimate - margin, estimate + margin


def of_share(share: float, n: int) -> Interval:
    """Wilson's interval of a probability from the share of n independent trials (Wilson, 1927); it holds the share."""
    z2 = _DEVIATIONS**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    margin = _DEVIATIONS / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if share <= 0 else max(0.0, centre - margin)  # rounding leaves about 1e-19, and the share outside
    return low, 1.0 if share >= 1 else min(1.0, centre + margin)
