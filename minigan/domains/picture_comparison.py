"""Samples of pictures compared with real ones, by their features, their classes, and the training examples."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from minigan.core import random
from minigan.data import Dataset
from minigan.domains.comparison_table import memorisation_lines, table
from minigan.domains.domain import Evaluation
from minigan.domains.reference import Reference
from minigan.metrics import Classifier, comparison, intervals
from minigan.metrics.comparison import Measure
from minigan.metrics.embeddings import Embedding
from minigan.metrics.histograms import histogram_divergence
from minigan.metrics.memorisation import RARE, memorisation

_RESAMPLES = 1_000


def default_count(data: Dataset) -> int:
    """How many samples to compare with pictures of `data`: as many as the floor has, but not too many."""
    return min(comparison.MOST, max(comparison.LEAST, len(data) // 2))


def compare_pictures(
    real: Reference, samples: np.ndarray, training: Dataset, classifier: Classifier | None
) -> Evaluation:
    """`samples` (n, H, W, C) uint8 compared with `real` ones, and with those on which the run was `training`.

    classifier: of the classes of `training`, None if it has no labels.

    Facts: "measures", for each embedding by its key the measures by name, each {"value", "interval": [low, high],
    "floor", "samples"}; "features", what the embeddings are; "memorisation" (see _memorised); and, with a classifier,
    "class_divergence", a measure.
    """
    measures = {embedding.key: _compared(embedding, real.images, samples) for embedding in real.embeddings}
    facts: dict[str, Any] = {
        "features": {embedding.key: str(embedding) for embedding in real.embeddings},
        "measures": {key: {name: asdict(one) for name, one in of.items()} for key, of in measures.items()},
        "memorisation": _memorised(real, samples, training.images),
    }
    lines: list[str] = []
    for embedding in real.embeddings:
        lines += ["", *table(str(embedding), measures[embedding.key])]
    if classifier:
        divergence = compare_classes(classifier, training, samples)
        facts["class_divergence"] = asdict(divergence)
        lines += ["", *table("classes", {"class_divergence": divergence})]
    return Evaluation(facts, [*lines, "", *memorisation_lines(facts["memorisation"])])


def _compared(embedding: Embedding, real: np.ndarray, samples: np.ndarray) -> dict[str, Measure]:
    count = min(comparison.MOST, len(real) // 2)
    of_real = embedding(real[: 2 * count])
    return comparison.compare(of_real[:count], of_real[count:], embedding(samples[: comparison.MOST]))


def compare_classes(classifier: Classifier, data: Dataset, samples: np.ndarray) -> Measure:
    """KL(classes of the samples || classes of `data`) in nats, with the classes that `classifier` sees in `samples`.

    The interval is plus and minus 1.96 standard deviations of 1,000 bootstrap resamples; the floor is the divergence of
    the classes that it sees in as many pictures drawn from `data`.
    """
    assert data.labels is not None
    expected = np.unique(data.labels, return_counts=True)[1] / len(data)
    rng = random.generator(0, "pictures classified")
    real = data.images[np.sort(rng.integers(len(data), size=len(samples)))]
    value, floor = (
        float(histogram_divergence(_class_counts(classifier, images), expected)) for images in (samples, real)
    )
    counts = _class_counts(classifier, samples)
    replicates = histogram_divergence(rng.multinomial(len(samples), counts / len(samples), _RESAMPLES), expected)
    low, high = intervals.about(value, replicates)
    return Measure(value, (max(0.0, low), high), floor, len(samples))


def _class_counts(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    return np.bincount(classifier.probabilities(images).argmax(axis=1), minlength=len(classifier.classes))


def _memorised(real: Reference, samples: np.ndarray, training: np.ndarray) -> dict[str, Any]:
    """Whether samples repeat training pictures, beside real ones that are held out, or else training pictures.

    share, interval: of samples that are so much closer to one training picture than to the next nine as only 1% of the
    real ones are; floor: that 1%. distance, real_distance: the medians of the distance to the nearest, in pixels of 0
    to 255 (root mean square).
    """
    found = memorisation(samples, training, real.images if real.held_out else None)
    share, n = float(found.copies.mean()), len(found.copies)
    return {
        "share": share, "interval": intervals.of_share(share, n), "floor": RARE, "samples": n,
        "distance": float(np.median(found.of_samples[:, 0])), "real_distance": float(np.median(found.of_real[:, 0])),
    }  # fmt: skip
