"""Samples compared with real examples in features of both: each measure with its interval and its floor.

The floor of a measure is its value for further real examples in the place of the samples, as many of them. A perfect
generator reaches it, and cannot be told from the data beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError
from minigan.metrics import frechet, intervals
from minigan.metrics.kernel_distance import KernelMatrices
from minigan.metrics.manifolds import manifold_scores
from minigan.metrics.two_sample import classifier_two_sample_test

LEAST = 20
"""Fewer samples cannot be compared."""

MOST = 5_000
"""So many samples are compared at most by their Frechet distance."""

MOST_PAIRS = 2_000
"""So many samples are compared at most pair by pair, by all other measures."""

_GAUSSIAN_RESAMPLES = 50  # each takes the roots of two covariances
_KERNEL_RESAMPLES = 200


@dataclass(frozen=True)
class Measure:
    """value: for the samples. interval: its 95% interval. floor: for real examples in their place. samples: how many of
    each."""

    value: float
    interval: intervals.Interval
    floor: float
    samples: int


def compare(real: np.ndarray, other: np.ndarray, fake: np.ndarray) -> dict[str, Measure]:
    """The measures of `fake` features (m, d) against `real` ones (n, d), by name; other (k, d): further real ones.

    As many of each are taken, the first ones. Intervals: Frechet distance, plus and minus 1.96 standard deviations of
    50 bootstrap resamples of both sides; kernel distance, percentiles of 200 of them without pairs of copies;
    density, percentiles of 1,000 resamples of the fakes, with the regions as they are; precision, recall and coverage,
    which are shares of points, again with the regions as they are, and the test's accuracy, Wilson's. Raises UsageError
    for fewer than 20 of one kind.
    """
    count = min(MOST, len(real), len(other), len(fake))
    if count < LEAST:
        raise UsageError(
            f"{len(fake):,} samples were to be compared with {len(real):,} and {len(other):,} real ones, expected at "
            f"least {LEAST} of each; take more."
        )
    pairs = min(MOST_PAIRS, count)
    rng = random.generator(0, "bootstrap")
    measures = {"frechet_distance": frechet_measure(real[:count], other[:count], fake[:count], rng)}
    return measures | _pairwise(real[:pairs], other[:pairs], fake[:pairs], rng)


def frechet_measure(real: np.ndarray, other: np.ndarray, fake: np.ndarray, rng: np.random.Generator) -> Measure:
    """The Frechet distance of `fake` features (n, d) from `real` ones (n, d), as in `compare`."""
    value = frechet.frechet_distance(real, fake)
    n = len(real)
    replicates = [
        frechet.distance_of_gaussians(*frechet.moments(real, of_real), *frechet.moments(fake, of_fake))
        for of_real, of_fake in zip(
            intervals.resample_counts(n, _GAUSSIAN_RESAMPLES, rng),
            intervals.resample_counts(n, _GAUSSIAN_RESAMPLES, rng),
            strict=True,
        )
    ]
    low, high = intervals.about(value, np.array(replicates))
    return Measure(value, (max(0.0, low), high), frechet.frechet_distance(real, other), n)


def _pairwise(real: np.ndarray, other: np.ndarray, fake: np.ndarray, rng: np.random.Generator) -> dict[str, Measure]:
    n = len(real)
    matrices = KernelMatrices(real, fake)
    replicates = matrices.resampled(
        *(intervals.resample_counts(n, _KERNEL_RESAMPLES, rng).astype(np.float64) for _ in range(2))
    )
    measures = {
        "kernel_distance": Measure(
            matrices.distance(), intervals.percentiles(replicates), KernelMatrices(real, other).distance(), n
        )
    }
    scores, floors = manifold_scores(real, fake), manifold_scores(real, other)
    for name in ("precision", "recall", "density", "coverage"):
        values, floor = getattr(scores, name), float(getattr(floors, name).mean())
        value = float(values.mean())
        interval = intervals.of_mean(values, rng) if name == "density" else intervals.of_share(value, n)
        measures[name] = Measure(value, interval, floor, n)
    accuracy, tested = classifier_two_sample_test(real, fake).value, 2 * (n - n // 2)
    floor = classifier_two_sample_test(real, other).value
    measures["two_sample_accuracy"] = Measure(accuracy, intervals.of_share(accuracy, tested), floor, n)
    return measures
