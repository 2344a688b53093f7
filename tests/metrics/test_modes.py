"""Mode coverage: a perfect sampler reaches ceiling and floor, and every way to fail shows in some score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigan import MiniganError
from minigan.data import mixtures
from minigan.data.mixtures import GaussianMixture, Target
from minigan.metrics import modes


@pytest.fixture(params=["ring", "grid"])
def target(request: pytest.FixtureRequest) -> Target:
    return mixtures.get(request.param)


def perfect(target: Target, count: int, seed: int = 0) -> np.ndarray:
    return target.sample(count, np.random.default_rng(seed))


def test_a_perfect_generator_scores_its_ceiling_and_its_floor(target: Target) -> None:
    repeats, count = 100, modes.SAMPLES
    scores = [modes.score_samples(perfect(target, count, seed), target) for seed in range(repeats)]
    assert all(s.covered == s.strictly_covered == len(target.modes) for s in scores)
    quality = modes.PERFECT_HIGH_QUALITY
    error = math.sqrt(quality * (1 - quality) / count)
    assert max(abs(s.high_quality - quality) for s in scores) < 4.5 * error
    assert np.mean([s.high_quality for s in scores]) == pytest.approx(quality, abs=4 * error / math.sqrt(repeats))
    # 2 n KL is chi-square distributed, with k - 1 degrees of freedom: mean k - 1, variance 2 (k - 1)
    degrees = len(target.modes) - 1
    statistic = np.mean([2 * sum(s.counts) * s.reverse_kl for s in scores])
    assert statistic == pytest.approx(degrees, abs=4 * math.sqrt(2 * degrees / repeats))


def test_ceiling_and_floors_are_the_known_figures() -> None:
    assert pytest.approx(1 - math.exp(-4.5), rel=1e-15) == modes.PERFECT_HIGH_QUALITY
    targets = mixtures.get("ring"), mixtures.get("grid")
    ring, grid = (modes.score_samples(perfect(target, modes.SAMPLES), target) for target in targets)
    assert (ring.perfect_kl, grid.perfect_kl) == (0.0014, 0.0048)


@pytest.mark.slow
def test_sigma_ratios_are_those_of_the_samples() -> None:
    grid = mixtures.get("grid")
    for true in (0.2, 0.5, 1.0, 1.25, 1.6):
        drawn = GaussianMixture("other", grid.centres, true * grid.sigma)
        found = modes.score_samples(perfect(drawn, 250_000), grid)
        per_mode = sum(found.counts) / found.modes
        assert np.mean(found.sigma_ratios) == pytest.approx(true, rel=8 * modes.sigma_ratio_error(per_mode))
        low, high = found.sigma_range
        assert 0.9 * true < low < true < high < 1.1 * true


def test_the_stated_error_of_a_sigma_ratio_is_the_observed_one() -> None:
    ring = mixtures.get("ring")
    scores = [modes.score_samples(perfect(ring, modes.SAMPLES, seed), ring) for seed in range(100)]
    ratios = np.array([s.sigma_ratios for s in scores])
    assert ratios.std() == pytest.approx(scores[0].perfect_sigma_error, rel=4 / math.sqrt(2 * ratios.size))
    assert ratios.mean() == pytest.approx(1, abs=4 * ratios.std() / math.sqrt(ratios.size))


def test_by_hand() -> None:
    target = GaussianMixture("two", ((0.0, 0.0), (10.0, 0.0)), 1.0)
    samples = [[0, 0], [0, 2.999], [0, 3.001], [7, 0], [12.9, 0], [5, 0], [10, 0], [8, 0]]
    found = modes.score_samples(samples, target)
    assert found.counts == (2, 4)
    assert found.high_quality == 6 / 8
    assert found.reverse_kl == pytest.approx(math.log(2) + math.log(1 / 3) / 3 + math.log(2 / 3) * 2 / 3, rel=1e-14)


def test_a_collapsed_generator_is_seen(target: Target) -> None:
    k = len(target.modes)
    one = target.modes[0] + target.sigma * np.random.default_rng(0).standard_normal((2500, 2))
    found = modes.score_samples(one, target)
    assert (found.covered, found.strictly_covered) == (1, 1)
    assert found.reverse_kl == pytest.approx(math.log(k), rel=1e-14)
    assert found.high_quality == pytest.approx(modes.PERFECT_HIGH_QUALITY, abs=0.01)  # which does not show the collapse
    assert sum(math.isnan(ratio) for ratio in found.sigma_ratios) == k - 1


def test_points_in_place_of_modes_are_seen(target: Target) -> None:
    found = modes.score_samples(np.tile(target.modes, (100, 1)), target)
    assert found.covered == len(target.modes)
    assert found.high_quality == 1 > modes.PERFECT_HIGH_QUALITY
    assert found.reverse_kl == pytest.approx(0, abs=1e-14)
    assert found.sigma_range == pytest.approx((0, 0), abs=1e-6)


def test_points_beside_the_modes_are_narrow_and_not_wide() -> None:
    ring = mixtures.get("ring")
    found = modes.score_samples(np.tile(ring.modes + 1.4 * ring.sigma / math.sqrt(2), (100, 1)), ring)
    assert found.sigma_range[1] < 1e-6


def test_strict_coverage_wants_a_fifth_of_a_fair_share() -> None:
    grid = mixtures.get("grid")
    for first, strictly in ((199, 24), (200, 25)):  # the fair share of 25,000 is 1,000
        rest = np.repeat(grid.modes[1:], (25_000 - first) // 24 + 1, axis=0)[: 25_000 - first]
        found = modes.score_samples(np.concatenate([np.repeat(grid.modes[:1], first, axis=0), rest]), grid)
        assert (found.samples, found.covered, found.strictly_covered) == (25_000, 25, strictly)


def test_uniform_noise_has_no_gaussian_width() -> None:
    target = GaussianMixture("one", ((0.0, 0.0),), 1.0)
    corners = np.array([[2.9, 0.0], [-2.9, 0.0], [0.0, 2.9], [0.0, -2.9]])
    assert modes.score_samples(corners, target).sigma_ratios == (math.inf,)


def test_far_from_every_mode(target: Target) -> None:
    found = modes.score_samples(np.full((10, 2), 50.0), target)
    assert (found.covered, found.high_quality) == (0, 0)
    assert math.isnan(found.reverse_kl)
    assert "no sample is near a mode" in str(found)


def test_the_protocol_draws_2500_and_25000(target: Target) -> None:
    rng, asked = np.random.default_rng(5), []

    def sample(count: int) -> np.ndarray:
        asked.append(count)
        return target.sample(count, rng)

    report = modes.evaluate(sample, target)
    assert asked == [2_500, 25_000] == [report.pacgan.samples, report.strict.samples]
    assert report.strict.strictly_covered == len(target.modes)
    low, high = report.strict.sigma_range
    assert abs(low - 1) < 4.5 * report.strict.perfect_sigma_error > abs(high - 1)


def test_each_score_is_printed_beside_its_bound() -> None:
    ring = mixtures.get("ring")
    text = str(modes.score_samples(perfect(ring, modes.SAMPLES), ring))
    assert "8 of 8" in text
    assert "98.89%" in text
    assert "0.0014" in text
    assert "1 +- 0.032" in text


def test_errors() -> None:
    ring = mixtures.get("ring")
    with pytest.raises(MiniganError, match="'swiss-roll' has no modes"):
        modes.score_samples(np.zeros((3, 2)), mixtures.get("swiss-roll"))
    with pytest.raises(MiniganError, match=r"the samples have shape \(3, 1\)"):
        modes.score_samples(np.zeros((3, 1)), ring)
    with pytest.raises(MiniganError, match="the samples are not finite in 2 of 3 rows"):
        modes.score_samples([[0, 0], [math.nan, 0], [0, math.inf]], ring)
    with pytest.raises(MiniganError, match=r"`sample\(2500\)` returned 7 points"):
        modes.evaluate(lambda count: np.zeros((7, 2)), ring)
