"""Points of the plane, drawn from a distribution whose density is known."""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.data import mixtures
from minigan.data.points import Points
from minigan.domains.domain import Domain, Evaluation, EvaluationRequest, RunOptions, Settings
from minigan.domains.view import Artefact
from minigan.figures import density_map
from minigan.metrics import density, modes
from minigan.metrics.two_sample import classifier_two_sample_test, maximum_mean_discrepancy, wasserstein2

_MAX_COMPARED = 1_000  # samples; their optimal assignment takes half a second
_MIN_TESTED = 21  # samples; the two-sample tests need as many
_STRICT_TIMES = 10  # the strict protocol uses this many times the samples of PacGAN's protocol


@dataclass(frozen=True)
class PointDomain(Domain[Points]):
    """Points of the plane from the distribution called `target` (see minigan.data.mixtures), new ones at every step.

    If `scaled`, networks get points that are divided by their root mean square.
    """

    shape: tuple[int, ...] = field(default=(2,), init=False)
    target: str
    scaled: bool = True

    samples_shown: ClassVar[int] = modes.SAMPLES
    samples_per_evaluated: ClassVar[int] = _STRICT_TIMES

    @functools.cached_property
    def points(self) -> Points:
        """The data: the distribution and the scale at which networks see it."""
        return Points(mixtures.get(self.target), scaled=self.scaled)

    def in_words(self, settings: Settings) -> str:
        return "points of the plane"

    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> Points:
        if run.data_dir or run.download:
            raise UsageError(
                f"the recipe '{run.recipe}' draws its points from a known distribution and takes no data; leave "
                f"--{'data-dir' if run.data_dir else 'download'} out."
            )
        return self.points

    def batches(self, data: Points, run: RunOptions) -> Callable[[int], Tensor]:
        count = run.settings["batch_size"] * run.settings.get("n_critic", 1)
        return lambda step: data.batch(count, run.seed, step, run.dtype)

    def noise(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        return rng.standard_normal((count, *self.shape)).astype(dtype)

    def example_batch(self, count: int, settings: Settings, *, seed: int, dtype: str) -> Tensor:
        """Points of the distribution."""
        return self.points.batch(count, seed, 0, dtype)

    def present(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float64) * self.points.scale

    def draw(self, samples: np.ndarray) -> np.ndarray:
        return self._map.with_points(samples)

    @functools.cached_property
    def _map(self) -> density_map.DensityMap:
        return density_map.DensityMap(self.points.target.box, self.points.target.log_density)

    def arrays(self, samples: np.ndarray) -> dict[str, Any]:
        return {"points": samples}

    def artefacts(self) -> dict[str, Artefact]:
        return {"contours.png": self._save_contours}

    def _save_contours(self, path: Path, samples: np.ndarray) -> None:
        """Write contours of two estimated densities side by side: of the target and of the samples."""
        target = self.points.target
        of_data, of_samples = density.comparable_estimates(target, samples)
        panels = [
            density_map.Contours(f"the data: '{target.name}'", of_data.samples, of_data.on_grid),
            density_map.Contours("the generator", of_samples.samples, of_samples.on_grid),
        ]
        density_map.save_contours(path, target.box, panels)

    def measure(self, samples: np.ndarray) -> dict[str, float]:
        """The coverage of the modes; for a distribution without modes the mean log density at the samples."""
        target = self.points.target
        if not len(target.modes):
            return {"log_density": float(target.log_density(samples).mean())}
        scores = modes.score_samples(samples, target)
        return {
            "modes": scores.covered,
            "high_quality": scores.high_quality,
            "reverse_kl": scores.reverse_kl if any(scores.counts) else math.log(scores.modes),
        }

    def score(self, measured: Mapping[str, float]) -> float | None:
        return measured["log_density"] if "log_density" in measured else -measured["reverse_kl"]

    def measured_in_words(self, measured: Mapping[str, float]) -> str:
        if "modes" in measured:
            return (
                f"{measured['modes']:.0f} modes, {measured['high_quality']:.1%} of high quality, reverse KL "
                f"{measured['reverse_kl']:.4f}"
            )
        return f"log density of the samples {measured['log_density']:.3f}" if "log_density" in measured else ""

    def check_evaluation(self, run: str, data_dir: Path | None) -> None:
        if data_dir:
            raise UsageError(f"{run} draws its points from a known distribution; leave --data-dir out.")

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Evaluate samples by PacGAN's protocol, and a stricter one with ten times as many samples, if the distribution
        has modes; and by two-sample tests."""
        target, n = self.points.target, request.count or modes.SAMPLES
        samples = request.sample(min(n, _MAX_COMPARED), request.seed)
        rng = random.generator(request.seed, "real points")
        real, more_real = target.sample(len(samples), rng), target.sample(len(samples), rng)
        comparisons = []
        if len(samples) >= _MIN_TESTED:
            comparisons = [maximum_mean_discrepancy(real, samples), classifier_two_sample_test(real, samples)]
        facts: dict[str, Any] = {}
        lines: list[str] = []
        if len(target.modes):
            strict = request.count * _STRICT_TIMES if request.count else modes.STRICT_SAMPLES
            report = modes.ModeReport(
                *(
                    modes.score_samples(request.sample(count, request.seed + i), target)
                    for i, count in enumerate((n, strict))
                )
            )
            facts |= {"pacgan": _facts(report.pacgan), "strict": _facts(report.strict)}
            lines.append(str(report))
        distance, floor = wasserstein2(real, samples), wasserstein2(real, more_real)
        facts |= {"wasserstein2": distance, "wasserstein2_floor": floor, "compared": len(samples)}
        lines.append(f"{len(samples):,} samples")
        lines.append(f"  Wasserstein-2    {distance:.4f} (floor, real against real: {floor:.4f})")
        for comparison in comparisons:
            facts[comparison.name] = dataclasses.asdict(comparison)
            lines.append(f"  {comparison}")
        return Evaluation(facts, lines)

    @property
    def samples_per_pass(self) -> int:
        return 10_000

    @property
    def bytes_per_sample(self) -> int:
        return 100  # including the temporary arrays of measuring and drawing


def _facts(scores: modes.ModeScores) -> dict[str, Any]:
    low, high = scores.sigma_range
    return {
        "samples": scores.samples,
        "modes": scores.modes,
        "covered": scores.covered,
        "strictly_covered": scores.strictly_covered,
        "high_quality": scores.high_quality,
        "reverse_kl": None if math.isnan(scores.reverse_kl) else scores.reverse_kl,
        "sigma_ratios": [None if math.isnan(ratio) else min(ratio, 1e308) for ratio in (low, high)],
    }
