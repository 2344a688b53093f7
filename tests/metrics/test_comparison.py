"""The comparison of samples with real examples: equal, copied, and collapsed samples, each beside its floor."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.metrics.comparison import Measure, compare, frechet_measure
from minigan.metrics.frechet import frechet_distance
from minigan.metrics.kernel_distance import kernel_distance
from minigan.metrics.manifolds import manifold_scores

RNG = np.random.default_rng(0)
MODES = 6 * np.eye(5)
NAMES = [
    "frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage", "two_sample_accuracy",
]  # fmt: skip


def draw(n: int, modes: int = 5) -> np.ndarray:
    return MODES[RNG.integers(modes, size=n)] + RNG.normal(size=(n, 5))


REAL, OTHER = draw(300), draw(300)


@pytest.fixture(scope="module")
def equal() -> dict[str, Measure]:
    return compare(REAL, OTHER, draw(300))


def test_equal_distributions_reach_the_floor(equal: dict[str, Measure]) -> None:
    assert list(equal) == NAMES
    for name, measure in equal.items():
        low, high = measure.interval
        assert low <= measure.value <= high and measure.samples == 300
        assert low - (high - low) <= measure.floor <= high + (high - low), name


def test_values_and_floors_are_those_of_the_measures(equal: dict[str, Measure]) -> None:
    assert equal["frechet_distance"].floor == frechet_distance(REAL, OTHER)
    assert equal["kernel_distance"].floor == pytest.approx(kernel_distance(REAL, OTHER))
    assert equal["recall"].floor == manifold_scores(REAL, OTHER).recall.mean()


def test_copied_data_are_perfect_in_all_but_memorisation() -> None:
    copied = compare(REAL, OTHER, REAL)
    assert copied["frechet_distance"].value == pytest.approx(0, abs=1e-9)
    assert copied["kernel_distance"].value < copied["kernel_distance"].interval[1]
    assert all(copied[name].value == 1 for name in ("precision", "recall", "coverage"))


def test_a_collapse_to_two_modes_is_seen_by_each_measure_but_precision(equal: dict[str, Measure]) -> None:
    collapsed = compare(REAL, OTHER, draw(300, modes=2))
    for name in ("frechet_distance", "kernel_distance", "two_sample_accuracy"):
        assert collapsed[name].interval[0] > equal[name].interval[1]
    for name in ("recall", "coverage"):
        assert collapsed[name].interval[1] < equal[name].interval[0]
    assert collapsed["precision"].value > 0.8


def test_the_interval_of_the_frechet_distance_holds_its_mean() -> None:
    """Its replicates are shifted, since they repeat points, so an interval of their percentiles would miss it."""
    draws = [frechet_measure(draw(60), OTHER[:60], 1.5 * draw(60), RNG) for _ in range(60)]
    mean = np.mean([measure.value for measure in draws])
    held = [measure.interval[0] <= mean <= measure.interval[1] for measure in draws]
    assert np.mean(held) > 0.8


def test_it_is_a_pure_function_and_takes_as_many_of_each() -> None:
    fake = draw(80)
    assert compare(REAL, OTHER, fake) == compare(REAL[:80], OTHER[:80], fake)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(UsageError, match="19 samples were to be compared"):
        compare(REAL, OTHER, draw(19))
