"""Mode coverage: which modes of a mixture a generator reaches, how often, and how sharply.

The protocol of PacGAN (Lin et al., 2018, section 4.1, after VEEGAN): a sample within 3 sigma of the nearest mode is
of high quality (HQ), and a mode with at least one HQ sample among 2,500 is covered. Since one sample proves little,
there are also a strict count and the width of each mode. A perfect generator does not score 100%, so that each score is
printed with the value that a perfect generator reaches: a ceiling, or a floor for so many samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.core.errors import UsageError
from minigan.data.mixtures import Target, as_points, squared_distances

SAMPLES = 2_500
STRICT_SAMPLES = 25_000
_RADIUS = 3.0  # sigmas, within which a sample is of high quality
_CUT = _RADIUS**2 / 2  # the largest u = r^2 / (2 sigma^2) of an HQ sample; in the plane u is exponential with mean 1
_STRICT_SHARE = 0.2  # of a mode's fair share
_POINTS_AT_ONCE = 100_000

PERFECT_HIGH_QUALITY = -math.expm1(-_CUT)
"""The share of a Gaussian's samples within 3 sigma, 1 - exp(-4.5) = 98.89%: the HQ share of a perfect generator."""


@dataclass(frozen=True)
class ModeScores:
    """How samples are distributed over the modes of a mixture.

    counts: the samples of high quality at each mode. high_quality: their share among all samples. A share above the
    ceiling means that the modes are too narrow; the ceiling supposes modes at least 6 sigma apart. sigma_ratios: the
    width of each mode over that of the mixture: the root mean square of both coordinates about the samples' own mean,
    of the samples within 3 sigma of the mode, corrected for that truncation as if they were Gaussian about the mode;
    inf for a width that no truncated Gaussian has, NaN for less than two samples.
    """

    samples: int
    counts: tuple[int, ...]
    sigma_ratios: tuple[float, ...]

    @property
    def modes(self) -> int:
        """The number of modes of the mixture."""
        return len(self.counts)

    @property
    def covered(self) -> int:
        """The modes with at least one sample of high quality."""
        return sum(count > 0 for count in self.counts)

    @property
    def strictly_covered(self) -> int:
        """The modes with at least 20% of their fair share, samples / modes, in samples of high quality."""
        return sum(count >= _STRICT_SHARE * self.samples / self.modes for count in self.counts)

    @property
    def high_quality(self) -> float:
        """The share of all samples within 3 sigma of the nearest mode."""
        return sum(self.counts) / self.samples

    @property
    def reverse_kl(self) -> float:
        """KL(found || uniform) = log k - entropy of the HQ counts, in nats; NaN without any sample of high quality."""
        total = sum(self.counts)
        if not total:
            return math.nan
        shares = [count / total for count in self.counts if count]
        return max(0.0, math.log(self.modes) + sum(share * math.log(share) for share in shares))

    @property
    def perfect_kl(self) -> float:
        """The reverse KL of a perfect generator's finite sample, on average: (k - 1) / (2 n), to first order in 1/n."""
        return (self.modes - 1) / (2 * self.samples)

    @property
    def perfect_sigma_error(self) -> float:
        """The standard error of a perfect generator's sigma ratio, from its fair share of the samples."""
        return sigma_ratio_error(self.samples * PERFECT_HIGH_QUALITY / self.modes)

    def __str__(self) -> str:
        low, high = self.sigma_range
        undefined = " (no sample is near a mode)" if not sum(self.counts) else ""
        return "\n".join([
            f"{self.samples} samples",
            f"  modes covered    {self.covered} of {self.modes}",
            f"  strictly         {self.strictly_covered} of {self.modes} (at least 20% of a fair share)",
            f"  high quality     {self.high_quality:.2%} (ceiling, a perfect generator: {PERFECT_HIGH_QUALITY:.2%})",
            f"  reverse KL       {self.reverse_kl:.4f} (floor, a perfect generator: {self.perfect_kl:.4f}){undefined}",
            f"  sigma ratio      {low:.3f} to {high:.3f} (a perfect generator: 1 +- {self.perfect_sigma_error:.3f})",
        ])  # fmt: skip

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The smallest and the largest sigma ratio among the modes that have one, NaN if none has."""
        ratios = [ratio for ratio in self.sigma_ratios if not math.isnan(ratio)]
        return (min(ratios), max(ratios)) if ratios else (math.nan, math.nan)


@dataclass(frozen=True)
class ModeReport:
    """The scores by PacGAN's protocol on 2,500 samples, and the strict ones on 25,000 others."""

    pacgan: ModeScores
    strict: ModeScores

    def __str__(self) -> str:
        return f"{self.pacgan}\n{self.strict}"


def evaluate(sample: Callable[[int], Any], target: Target) -> ModeReport:
    """Score a generator; `sample(count)` returns that many of its points, (count, 2)."""
    return ModeReport(*(score_samples(_draw(sample, count), target) for count in (SAMPLES, STRICT_SAMPLES)))


def score_samples(samples: Any, target: Target) -> ModeScores:
    """How `samples` (n, 2) are distributed over the modes of `target`.

    Raises UsageError if they are not finite points, or `target` has no modes.
    """
    points, modes = as_points(samples, "the samples", dimensions=2), target.modes
    if not len(modes):
        raise UsageError(f"'{target.name}' has no modes to cover, expected a mixture; compare it by its density")
    nearest, is_near = _nearest(points, modes, _RADIUS * target.sigma)
    hq_points, mode_of_point = points[is_near], nearest[is_near]
    counts = np.bincount(mode_of_point, minlength=len(modes))
    ratios = [_sigma_ratio(hq_points[mode_of_point == mode], target.sigma) for mode in range(len(modes))]
    return ModeScores(len(points), tuple(map(int, counts)), tuple(ratios))


def sigma_ratio_error(count: float) -> float:
    """The standard error of a sigma ratio near 1, from `count` samples of high quality.

    For an exponential u cut at c, dE[u]/d(s^2) = Var[u] at s = 1, so the error of s is 1 / (2 sqrt(count Var[u])).
    """
    if count <= 0:
        return math.nan
    variance = 1 - _CUT**2 * math.exp(-_CUT) / PERFECT_HIGH_QUALITY**2
    return 1 / (2 * math.sqrt(count * variance))


def _draw(sample: Callable[[int], Any], count: int) -> np.ndarray:
    """`sample(count)` as float64, (count, 2); raises UsageError if it is anything else."""
    points = as_points(sample(count), "the samples", dimensions=2)
    if len(points) != count:
        raise UsageError(f"`sample({count})` returned {len(points)} points, expected {count}; correct it")
    return points


def _nearest(points: np.ndarray, modes: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The nearest mode of each point, (n,), and whether it is within `radius`, (n,)."""
    which, is_near = np.empty(len(points), int), np.empty(len(points), bool)
    for start in range(0, len(points), _POINTS_AT_ONCE):
        chunk = slice(start, start + _POINTS_AT_ONCE)
        distances = squared_distances(points[chunk], modes)
        which[chunk] = distances.argmin(axis=1)
        is_near[chunk] = distances.min(axis=1) <= radius**2
    return which, is_near


def _sigma_ratio(points: np.ndarray, sigma: float) -> float:
    """The width of `points` (n, 2) over sigma, corrected for the truncation at 3 sigma."""
    if len(points) < 2:
        return math.nan
    mean_u = points.var(axis=0, ddof=1).mean() / sigma**2  # E[u | u <= cut], since u is the sum of both over 2
    if mean_u >= _CUT / 2:  # that of a uniform disc, the limit of ever wider Gaussians
        return math.inf
    low, high = 0.0, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _truncated_mean(middle) < mean_u else (low, middle)
    return (low + high) / 2


def _truncated_mean(ratio: float) -> float:
    """E[u | u <= _CUT] for an exponential u of mean ratio^2: increasing, from 0 to _CUT / 2."""
    c = _CUT / ratio**2
    return ratio**2 - _CUT / math.expm1(c) if c < 700 else ratio**2
