"""A distance of samples from the data that is cheap enough to be measured again and again during training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan.core import random
from minigan.data import Dataset
from minigan.metrics import frechet
from minigan.metrics.embeddings import LEAST_SIDE, Embedding, PrincipalComponents, RandomConvolutions

FRECHET_DISTANCE = "frechet_distance"
_MOST_REAL, _MOST_SAMPLES = 5_000, 1_000
_MOST_FOR_COMPONENTS = 1_000


@dataclass(frozen=True, eq=False)
class FeatureDistance:
    """The Frechet distance of samples from real pictures in fixed features, which do not depend on the run.

    embedding: of pictures. mean, covariance: of the real features. samples: how many to measure: always as many, since
    the distance depends on the number.
    """

    embedding: Embedding
    mean: np.ndarray
    covariance: np.ndarray
    samples: int

    @classmethod
    def to(cls, data: Dataset) -> FeatureDistance:
        """The distance from at most 5,000 pictures of `data`, of at most 1,000 samples.

        The features are those of random convolutions, or principal components of pictures too small for them.
        """
        order = random.generator(0, "pictures compared").permutation(len(data))
        real = data.images[np.sort(order[:_MOST_REAL])]
        small = min(data.image_shape[:2]) < LEAST_SIDE
        embedding: Embedding = (
            PrincipalComponents.of(real[:_MOST_FOR_COMPONENTS]) if small else RandomConvolutions(data.image_shape)
        )
        return cls(embedding, *frechet.moments(embedding(real)), min(_MOST_SAMPLES, len(data)))

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """{"frechet_distance"} of `samples` (N, H, W, C) uint8."""
        of_samples = frechet.moments(self.embedding(samples))
        return {FRECHET_DISTANCE: frechet.distance_of_gaussians(self.mean, self.covariance, *of_samples)}
