"""The Frechet distance of two samples, each taken as a Gaussian.

Heusel et al. (2017) call it FID in one particular feature space, that of the Inception network. In any other it is
another number, so the features must be named beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.core.errors import UsageError
from minigan.data.mixtures import as_points


def frechet_distance(x: Any, y: Any) -> float:
    """|m_x - m_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)) of samples (n, d) and (m, d) (Dowson and Landau, 1982).

    It is the squared Wasserstein-2 distance of the Gaussians with the means m and the covariances C of the samples, in
    the square of the features' unit. From finite samples it is too large, so compare it with the distance of two
    samples of real data of the same sizes. Raises UsageError unless both have two or more finite points of one
    dimension.
    """
    x, y = as_points(x, "the first sample"), as_points(y, "the second sample")
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise UsageError(
            f"samples of shapes {x.shape} and {y.shape} cannot be compared, expected two or more points of one "
            "dimension in each; draw others"
        )
    return distance_of_gaussians(*moments(x), *moments(y))


def moments(x: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) and the unbiased covariance (d, d) of `x` (n, d); counts (n,): how often each point occurs."""
    weights = np.ones(len(x)) if counts is None else counts.astype(np.float64)
    mean = weights @ x / weights.sum()
    centred = x - mean
    return mean, (centred.T * weights) @ centred / (weights.sum() - 1)


def distance_of_gaussians(mean_x: np.ndarray, cov_x: np.ndarray, mean_y: np.ndarray, cov_y: np.ndarray) -> float:
    """The squared Wasserstein-2 distance of two Gaussians with means (d,) and covariances (d, d).

    The trace of (C_x C_y)^(1/2) is the sum of the singular values of C_x^(1/2) C_y^(1/2). With both roots taken by
    eigenvalues, singular covariances do no harm, and no eigenvalue is squared, which would lose half of the digits.
    """
    common = np.linalg.svd(square_root(cov_x) @ square_root(cov_y), compute_uv=False).sum()
    means = float(((mean_x - mean_y) ** 2).sum())
    return max(0.0, means + float(np.trace(cov_x) + np.trace(cov_y) - 2 * common))


def square_root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric root of a symmetric positive semidefinite matrix; negative eigenvalues are rounding."""
    values, vectors = np.linalg.eigh(matrix)
    root: np.ndarray = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root
