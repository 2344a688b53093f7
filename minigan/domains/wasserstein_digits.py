"""Digits on which a Wasserstein critic is trained: does its distance follow the quality of the samples?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from minigan.core import random
from minigan.data import Dataset
from minigan.domains.domain import Evaluation, EvaluationRequest, RunOptions
from minigan.domains.images import ImageDomain
from minigan.figures import charts
from minigan.metrics.correlation import rank_correlation
from minigan.metrics.kernel_distance import kernel_distance

_REAL = 1000  # pictures with which samples are compared
_LEAST_POINTS = 3
_MEASURED, _LOSS = "kernel_distance", "discriminator_loss"


@dataclass(frozen=True)
class WassersteinDigitDomain(ImageDomain):
    """Images whose samples are compared with real ones at each picture of progress.

    real: pixels (n, H * W * C) of real pictures in [0, 1]; see `showing`.
    """

    real: np.ndarray | None = field(default=None, repr=False, compare=False)

    samples_shown: ClassVar[int] = 256
    evaluates_at_end: ClassVar[bool] = True

    def showing(self, data: Dataset, run: RunOptions) -> WassersteinDigitDomain:
        count = min(_REAL, len(data))
        chosen = random.generator(0, "pictures to compare samples with").choice(len(data), count, replace=False)
        return dataclasses.replace(self, real=_pixels(data.images[np.sort(chosen)]))

    def measure(self, samples: np.ndarray) -> dict[str, float]:
        """kernel_distance: that of the samples' pixels and those of real pictures, unbiased."""
        return {} if self.real is None else {_MEASURED: kernel_distance(self.real, _pixels(samples))}

    def measured_in_words(self, measured: Mapping[str, float]) -> str:
        return f"kernel distance from real pictures {measured[_MEASURED]:.4f}" if _MEASURED in measured else ""

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """The scores of a classifier, and critic_correlation, the rank correlation along the run between the critic's
        distance and the kernel distance of the samples; critic_points, of how many pictures of progress."""
        scores = super().evaluate(request)
        series = critic_series(request.rows())
        if len(series) < _LEAST_POINTS:
            line = f"the run has {len(series)} pictures of progress, too few to compare the critic's distance with them"
            return dataclasses.replace(scores, lines=[*scores.lines, line])
        distances, measured = series[:, 1], series[:, 2]
        correlation = rank_correlation(distances, measured)
        facts = {
            "critic_correlation": correlation, "critic_points": len(series), "critic_first": float(distances[0]),
            "critic_last": float(distances[-1]), "kernel_distance_first": float(measured[0]),
            "kernel_distance_last": float(measured[-1]),
        }  # fmt: skip
        lines = [
            f"critic's distance, first and last picture          {distances[0]:7.3g} {distances[-1]:7.3g}",
            f"kernel distance of the samples there               {measured[0]:7.3g} {measured[-1]:7.3g}",
            f"rank correlation of both over {len(series):3} pictures         {correlation:7.2f}",
        ]
        picture = {"critic": charts.pixels((7, 4), 110, lambda figure: _draw(figure, series))}
        return dataclasses.replace(
            scores, facts=scores.facts | facts, lines=[*scores.lines, *lines], pictures=scores.pictures | picture
        )


def critic_series(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(step, critic's distance, kernel distance) of each picture of progress after the start, (n, 3).

    The distance is -discriminator_loss, mean D(x) - mean D(G(z)), and here its mean over the rows of metrics since the
    picture before.
    """
    series, since = [], list[float]()
    for row in rows:
        if _LOSS in row:
            since.append(-row[_LOSS])
        if _MEASURED in row and since:
            series.append((row["step"], float(np.mean(since)), row[_MEASURED]))
            since = []
    return np.array(series, np.float64).reshape(-1, 3)


def _pixels(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64) / 255


def _draw(figure: Any, series: np.ndarray) -> None:
    """Both series over the steps, each on its own axis."""
    left = figure.subplots()
    for axes, column, label, colour in (
        (left, 1, "critic's distance", "C0"),
        (left.twinx(), 2, "kernel distance", "C1"),
    ):
        axes.plot(series[:, 0], series[:, column], color=colour)
        axes.set_ylabel(label, color=colour)
    left.set_xlabel("step")
