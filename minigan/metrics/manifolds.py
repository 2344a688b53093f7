"""Precision and recall, density and coverage: which samples lie among the real ones, and which real ones are reached.

The region of a sample is the union of balls about its points, each as wide as the distance to the point's k-th nearest
neighbour in the sample. All four are means over points, so that each point's contribution is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.core.errors import UsageError
from minigan.data.mixtures import as_points

PRECISION_NEIGHBOURS = 3  # as Kynkaanniemi et al., 2019
DENSITY_NEIGHBOURS = 5  # as Naeem et al., 2020


@dataclass(frozen=True, eq=False)
class ManifoldScores:
    """The contributions of single points; the scores are their means.

    precision (m,): whether each fake point lies in the region of the real ones; recall (n,): whether each real point
    lies in the region of the fakes (Kynkaanniemi et al., 2019, equations 1 and 2), k = 3. density (m,): in how many
    balls of real points each fake lies, over k; coverage (n,): whether the ball of each real point holds a fake (Naeem
    et al., 2020, equations 3 and 4), k = 5. Density may exceed 1; for equal distributions its mean is 1, and that of
    the coverage close to 1 - 2^-k.
    """

    precision: np.ndarray
    recall: np.ndarray
    density: np.ndarray
    coverage: np.ndarray


def manifold_scores(real: Any, fake: Any) -> ManifoldScores:
    """The scores of `fake` (m, d) against `real` (n, d).

    Raises UsageError unless both have more than k = 5 finite points of one dimension.
    """
    real, fake = as_points(real, "the real sample"), as_points(fake, "the fake sample")
    if real.shape[1] != fake.shape[1] or min(len(real), len(fake)) <= DENSITY_NEIGHBOURS:
        raise UsageError(
            f"samples of shapes {real.shape} and {fake.shape} cannot be compared, expected more than "
            f"{DENSITY_NEIGHBOURS} points of one dimension in each; draw others"
        )
    centre = real.mean(axis=0)  # smaller numbers round less
    real, fake = real - centre, fake - centre
    across = squared_distances(real, fake)
    of_real, of_fake = squared_distances(real, real), squared_distances(fake, fake)
    near_real = across <= squared_radii(of_real, PRECISION_NEIGHBOURS)[:, None]
    near_fake = across <= squared_radii(of_fake, PRECISION_NEIGHBOURS)[None, :]
    balls = across <= squared_radii(of_real, DENSITY_NEIGHBOURS)[:, None]
    return ManifoldScores(
        precision=np.any(near_real, axis=0),
        recall=np.any(near_fake, axis=1),
        density=balls.sum(axis=0) / DENSITY_NEIGHBOURS,
        coverage=np.any(balls, axis=1),
    )


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a_i - b_j|^2, (n, m), from (n, d) and (m, d): by one matrix product, and thus quick in many dimensions."""
    squares = (a * a).sum(axis=1)[:, None] - 2 * (a @ b.T) + (b * b).sum(axis=1)
    return np.maximum(squares, 0, out=squares)


def squared_radii(squares: np.ndarray, neighbours: int) -> np.ndarray:
    """The squared distance of each point to its k-th nearest other, (n,), from those of all pairs (n, n)."""
    others = squares.copy()
    np.fill_diagonal(others, np.inf)
    return np.partition(others, neighbours - 1, axis=1)[:, neighbours - 1]
