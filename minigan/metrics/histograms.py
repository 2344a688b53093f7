"""How often each class occurs, compared with how often it should."""

from __future__ import annotations

import numpy as np

from minigan.core.errors import UsageError


def histogram_divergence(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """KL(shares || expected) in nats, (...,), of `counts` (..., k) of k classes; expected (k,): positive shares.

    For n independent draws from `expected` its mean is about (k - 1) / (2 n). Raises UsageError if a class is not
    expected at all, since the divergence would be infinite as soon as it occurs.
    """
    counts, expected = np.asarray(counts, np.float64), np.asarray(expected, np.float64)
    if expected.ndim != 1 or counts.shape[-1:] != expected.shape or not (expected > 0).all():
        raise UsageError(
            f"counts of shape {counts.shape} cannot be compared with expected shares of shape {expected.shape}, "
            "expected a positive share for each class; leave classes that do not occur out"
        )
    shares = counts / counts.sum(axis=-1, keepdims=True)
    ratios = np.where(shares > 0, shares / (expected / expected.sum()), 1)
    divergence: np.ndarray = (shares * np.log(ratios)).sum(axis=-1)
    return np.maximum(divergence, 0)
