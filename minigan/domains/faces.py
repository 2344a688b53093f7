"""Pictures without labels, such as faces: judged by a Frechet distance in the principal components of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minigan.core import random
from minigan.data import Dataset
from minigan.domains.domain import Evaluation, EvaluationRequest
from minigan.domains.images import ImageDomain
from minigan.metrics.embeddings import COMPONENTS, PrincipalComponents
from minigan.metrics.frechet import frechet_distance

_SAMPLES, _SPLITS = 2000, 10


@dataclass(frozen=True)
class FaceDomain(ImageDomain):
    """Images of which `evaluate` compares samples and data as Gaussians in the data's principal components."""

    evaluates_at_end: ClassVar[bool] = True

    def can_evaluate(self, data: Dataset) -> bool:
        return True

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Facts: pca_frechet, of the samples; pca_frechet_floor, the mean of that between two halves of the data."""
        data: Dataset = request.load()
        embedding = PrincipalComponents.of(data.images, COMPONENTS)
        real, count = embedding(data.images), request.count or _SAMPLES
        distance = frechet_distance(real, embedding(request.sample(count, request.seed)))
        floor, components = between_halves(real, request.seed), embedding.axes.shape[1]
        return Evaluation(
            {"pca_frechet": distance, "pca_frechet_floor": floor, "components": components, "pictures": count},
            [
                f"Frechet distance in {components} principal components of {len(data):,} pictures   {distance:8.3f}",
                f"its floor, between two halves of these pictures ({_SPLITS} splits)  {floor:8.3f}",
            ],
            measured=f"{count:,} samples",
        )


def between_halves(features: np.ndarray, seed: int) -> float:
    """The mean Frechet distance of two random halves of real `features` (N, d), N >= 4."""
    distances = []
    for split in range(_SPLITS):
        order = random.generator(seed, "halves of the data", split).permutation(len(features))
        half = len(features) // 2
        distances.append(frechet_distance(features[order[:half]], features[order[half:]]))
    return float(np.mean(distances))
