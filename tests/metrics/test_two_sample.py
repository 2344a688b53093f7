"""Distances and tests between two samples, against closed forms and under the hypothesis of one distribution."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from minigan import MiniganError
from minigan.data import mixtures
from minigan.data.mixtures import GaussianMixture
from minigan.metrics import two_sample


def gaussian(x: float, y: float, sigma: float) -> GaussianMixture:
    return GaussianMixture("one", ((x, y),), sigma)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7])
def test_the_assignment_is_the_cheapest_of_all_permutations(n: int) -> None:
    rng = np.random.default_rng(n)
    for costs in (rng.standard_normal((n, n)), rng.integers(0, 3, (n, n)).astype(float), np.zeros((n, n))):
        rows = np.arange(n)
        best = min(costs[rows, list(order)].sum() for order in itertools.permutations(range(n)))
        found = two_sample.assign(costs)
        assert sorted(found) == list(rows)
        assert costs[rows, found].sum() == pytest.approx(best, abs=1e-12)


def test_wasserstein_of_a_moved_sample() -> None:
    """A map x -> A x + b with A symmetric and positive definite is the optimal one, for any sample (Brenier)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2))
    moved = rng.permutation(x @ np.array([[1.5, 0.4], [0.4, 0.7]]))
    exact = math.sqrt(((x @ np.array([[0.5, 0.4], [0.4, -0.3]])) ** 2).sum(axis=1).mean())
    assert two_sample.wasserstein2(x, moved) == pytest.approx(exact, rel=1e-12)
    assert two_sample.wasserstein2(x, rng.permutation(x + np.array([3.0, -4.0]))) == pytest.approx(5, rel=1e-12)
    assert two_sample.wasserstein2(x, rng.permutation(x)) == 0


@pytest.mark.slow
def test_wasserstein_of_gaussians() -> None:
    """W2(N(0, I), N(m, s^2 I))^2 = |m|^2 + 2 (s - 1)^2; up to the distance of two samples of one distribution."""
    rng, n = np.random.default_rng(1), 600
    p, q = gaussian(0, 0, 1.0), gaussian(1.0, 2.0, 1.8)
    found = two_sample.wasserstein2(p.sample(n, rng), q.sample(n, rng))
    floor = sum(two_sample.wasserstein2(t.sample(n, rng), t.sample(n, rng)) for t in (p, q))
    assert found == pytest.approx(math.sqrt(5 + 2 * 0.8**2), abs=floor)
    assert floor < 0.8


def test_wasserstein_sees_how_far_disjoint_distributions_are() -> None:
    """Where the JSD is log 2 at any distance."""
    x = gaussian(0, 0, 0.01).sample(50, np.random.default_rng(0))
    found = [two_sample.wasserstein2(x, x + np.array([far, 0.0])) for far in (1.0, 2.0, 4.0)]
    assert found == pytest.approx([1, 2, 4], rel=1e-12)


def test_the_discrepancy_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    x, y, h = rng.standard_normal((4, 2)), rng.standard_normal((3, 2)) + 1, 0.7

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-((a - b) ** 2).sum() / (2 * h**2))

    within = sum(k(a, b) for a, b in itertools.permutations(x, 2)) / 12
    within += sum(k(a, b) for a, b in itertools.permutations(y, 2)) / 6
    exact = within - 2 * sum(k(a, b) for a in x for b in y) / 12
    assert two_sample.maximum_mean_discrepancy(x, y, h).value == pytest.approx(exact, rel=1e-13)


def test_the_discrepancy_of_gaussians() -> None:
    """E k(x, y) for x, y ~ N(., s^2 I): h^2 / (h^2 + 2 s^2) exp(-|m|^2 / (2 (h^2 + 2 s^2)))."""
    h, m, count, repeats = 0.8, 1.0, 100, 60
    scale = h**2 + 2
    exact = 2 * h**2 / scale * (1 - math.exp(-(m**2) / (2 * scale)))
    rng = np.random.default_rng(0)
    p, q = gaussian(0, 0, 1.0), gaussian(m, 0, 1.0)
    for other, wanted in ((p, 0.0), (q, exact)):
        found = [
            two_sample.maximum_mean_discrepancy(
                p.sample(count, rng), other.sample(count, rng), h, relabellings=20
            ).value
            for _ in range(repeats)
        ]
        assert np.mean(found) == pytest.approx(wanted, abs=4 * np.std(found) / math.sqrt(repeats))
    assert min(found) > 0


@pytest.mark.slow
def test_tests_of_two_samples_hold_their_level() -> None:
    """Of 200 pairs from one distribution 5% exceed the floor, give or take chance."""
    rng, repeats = np.random.default_rng(0), 200
    ring = mixtures.get("ring")
    found = [
        two_sample.maximum_mean_discrepancy(ring.sample(40, rng), ring.sample(40, rng), relabellings=99, seed=i)
        for i in range(repeats)
    ]
    assert abs(sum(c.differs for c in found) - 0.05 * repeats) < 4 * math.sqrt(0.05 * 0.95 * repeats)
    assert np.mean([c.p_value for c in found]) == pytest.approx(0.5, abs=4 / math.sqrt(12 * repeats))


@pytest.mark.slow
@pytest.mark.parametrize(
    "compare", [two_sample.maximum_mean_discrepancy, two_sample.classifier_two_sample_test], ids=["mmd", "c2st"]
)
def test_a_collapsed_generator_is_told_apart_from_the_data(compare) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(2)
    grid = mixtures.get("grid")
    real, again = grid.sample(500, rng), grid.sample(500, rng)
    half = GaussianMixture("half", grid.centres[:12], grid.sigma).sample(500, rng)
    same, other = compare(real, again), compare(real, half)
    assert not same.differs and same.p_value > 0.05
    assert other.differs and other.p_value < 0.01
    assert "floor, real against real" in str(other)


def test_a_classifier_reaches_the_best_accuracy() -> None:
    """Of two Gaussians a distance of 2 sigma apart: Phi(1) = 84.1%."""
    rng = np.random.default_rng(0)
    found = two_sample.classifier_two_sample_test(
        gaussian(0, 0, 1).sample(2000, rng), gaussian(2, 0, 1).sample(2000, rng)
    )
    best = 0.5 * math.erfc(-1 / math.sqrt(2))
    error = math.sqrt(best * (1 - best) / 2000)
    assert best - 5 * error < found.value < best + 4 * error


def test_the_same_seed_gives_the_same_answer() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 60, 2))
    for compare in (two_sample.maximum_mean_discrepancy, two_sample.classifier_two_sample_test):
        assert compare(x, y, seed=5) == compare(x, y, seed=5)


def test_errors_of_comparisons() -> None:
    x = np.zeros((30, 2))
    with pytest.raises(MiniganError, match=r"\(30, 2\) and \(29, 2\) cannot be paired"):
        two_sample.wasserstein2(x, x[1:])
    with pytest.raises(MiniganError, match="the second sample are not finite"):
        two_sample.wasserstein2(x, np.full((30, 2), math.nan))
    with pytest.raises(MiniganError, match="square matrix"):
        two_sample.assign(np.zeros((2, 3)))
    with pytest.raises(MiniganError, match="cannot be compared"):
        two_sample.maximum_mean_discrepancy(x, x[:1])
    with pytest.raises(MiniganError, match=r"bandwidth is 0\.0"):
        two_sample.maximum_mean_discrepancy(x, x)
    with pytest.raises(MiniganError, match="relabellings is 3"):
        two_sample.maximum_mean_discrepancy(x, x, 1.0, relabellings=3)
    with pytest.raises(MiniganError, match="cannot be compared fairly"):
        two_sample.classifier_two_sample_test(x[:5], x[:5])
