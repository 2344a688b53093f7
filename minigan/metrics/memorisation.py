"""Memorisation: whether samples repeat training examples.

A distance alone does not tell: a blurred or grey sample is closer to all examples than a sharp one. A copy is close to
one example and not to others, so its distance to the nearest is compared with those to the next ones (as Yoon et al.,
2023, do with the second).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.core.errors import UsageError
from minigan.metrics.nearest import nearest

NEIGHBOURS = 10
RARE = 0.01
"""The share of real examples whose ratio is below the limit under which a sample counts as a copy."""


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Distances to the ten nearest training examples in ascending order, as `nearest` measures them.

    of_samples (n, 10), of_real (m, 10): from the samples, and from real examples, which are not compared with
    themselves.
    """

    of_samples: np.ndarray
    of_real: np.ndarray

    @property
    def limit(self) -> float:
        """The ratio of nearest to next distances that `RARE` of the real examples stay below."""
        return float(np.quantile(_ratios(self.of_real), RARE))

    @property
    def copies(self) -> np.ndarray:
        """Whether the ratio of each sample is below `limit`, (n,)."""
        return np.asarray(_ratios(self.of_samples) < self.limit)


def memorisation(samples: Any, training: Any, real: Any | None = None, *, most: int = 1000) -> Memorisation:
    """The distances of `samples` (n, ...) to `training` examples (N, ...), beside those of `real` ones.

    real: held-out examples (m, ...); None: training examples, each compared with all others. most: so many samples and
    so many real examples, evenly spaced, are compared. A share of `RARE` of samples is expected to be `copies` for a
    generator that draws from the distribution of the data. Raises UsageError for fewer than 11 training examples.
    """
    training = np.asarray(training)
    if len(training) <= NEIGHBOURS:
        raise UsageError(f"there are {len(training)} training examples, expected more than {NEIGHBOURS}; take more")
    of_samples = nearest(_spread(samples, most), training, NEIGHBOURS)[1]
    if real is not None:
        return Memorisation(of_samples, nearest(_spread(real, most), training, NEIGHBOURS)[1])
    of_training = nearest(_spread(training, most), training, NEIGHBOURS + 1)[1]
    return Memorisation(of_samples, of_training[:, 1:])  # the first is the example itself


def _spread(examples: Any, most: int) -> np.ndarray:
    examples = np.asarray(examples)
    return examples[np.linspace(0, len(examples) - 1, min(most, len(examples))).astype(int)]


def _ratios(distances: np.ndarray) -> np.ndarray:
    """The nearest distance over the mean of the next ones, (n,), 1 if all of them are 0."""
    rest = distances[:, 1:].mean(axis=1)
    return np.divide(distances[:, 0], rest, out=np.ones(len(rest)), where=rest > 0)
