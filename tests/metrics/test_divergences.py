"""Divergences against closed forms; estimates from samples against their stated errors and floors."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest

from minigan import MiniganError
from minigan.data import mixtures
from minigan.data.mixtures import GaussianMixture, SwissRoll, squared_distances
from minigan.metrics import divergences, two_sample
from minigan.metrics.density import KernelDensity
from minigan.metrics.divergences import Grid

NAMES = ["grid", "ring", "swiss-roll", "two-gaussians"]


def gaussian(x: float, y: float, sigma: float) -> GaussianMixture:
    return GaussianMixture("one", ((x, y),), sigma)


def rotated_ring() -> GaussianMixture:
    """Between the modes of the ring: nothing in common with it."""
    turn = math.pi / 8
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    ring = mixtures.get("ring")
    return GaussianMixture("rotated", tuple((x, y) for x, y in ring.modes @ rotation.T), ring.sigma)


# Densities on a grid.


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.8, 1.3), (1.7, 0.6)])
def test_kl_of_gaussians(a: float, b: float) -> None:
    p, q = gaussian(0.3, -1.0, a), gaussian(-0.5, 0.2, b)
    grid = Grid.covering(p, q)
    exact = 2 * math.log(b / a) + (0.8**2 + 1.2**2) / (2 * b**2) + a**2 / b**2 - 1
    assert divergences.kl(p.log_density(grid.points), q.log_density(grid.points), grid) == pytest.approx(
        exact, rel=1e-10
    )


@pytest.mark.parametrize("distance", [0.1, 1.0, 4 * math.sqrt(2), 12.0])
def test_jsd_of_gaussians(distance: float) -> None:
    """Of equal covariance: an integral along the line through both means."""
    p, q = gaussian(0, 0, 1.0), gaussian(distance / math.sqrt(2), distance / math.sqrt(2), 1.0)

    def integrand(x: mpmath.mpf) -> mpmath.mpf:  # symmetric, so one of both halves is enough
        return mpmath.npdf(x) * (mpmath.log(2) - mpmath.log1p(mpmath.exp(distance * x - distance**2 / 2)))

    exact = float(mpmath.quad(integrand, mpmath.linspace(-12, 12, 25)))
    grid = Grid.covering(p, q)
    found = divergences.jsd(p.log_density(grid.points), q.log_density(grid.points), grid)
    assert found == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_at_the_optimum(name: str) -> None:
    target = mixtures.get(name)
    grid = Grid.covering(target)
    log_p = target.log_density(grid.points)
    assert divergences.jsd(log_p, log_p, grid) == pytest.approx(0, abs=1e-12)
    assert divergences.kl(log_p, log_p, grid) == pytest.approx(0, abs=1e-12)
    logits = divergences.optimal_logits(log_p, log_p)
    assert divergences.value(logits, log_p, log_p, grid) == pytest.approx(-math.log(4), abs=1e-12)
    assert divergences.optimal_value(log_p, log_p, grid) == pytest.approx(-math.log(4), abs=1e-12)
    assert (divergences.optimal_discriminator(log_p, log_p) == 0.5).all()


def test_disjoint_distributions_are_log_2_apart() -> None:
    p, q = mixtures.get("ring"), rotated_ring()
    grid = Grid.covering(p, q)
    log_p, log_q = p.log_density(grid.points), q.log_density(grid.points)
    assert divergences.jsd(log_p, log_q, grid) == pytest.approx(math.log(2), abs=1e-12)
    assert divergences.optimal_value(log_p, log_q, grid) == pytest.approx(0, abs=1e-12)


PAIRS = [
    (mixtures.get("two-gaussians"), gaussian(0.5, -0.5, 2.0)),
    (mixtures.get("ring"), GaussianMixture("wide", mixtures.get("ring").centres, 0.02)),
    (SwissRoll(), SwissRoll("blurred", 0.06)),
]


@pytest.mark.parametrize(("p", "q"), PAIRS, ids=lambda target: target.name)
def test_the_value_of_the_optimal_discriminator(p: mixtures.Target, q: mixtures.Target) -> None:
    """V(D*, G) = 2 JSD - log 4, by different sums; and no other discriminator has more."""
    grid = Grid.covering(p, q, spacing=0.5)
    log_p, log_q = p.log_density(grid.points), q.log_density(grid.points)
    best = divergences.optimal_logits(log_p, log_q)
    found = divergences.value(best, log_p, log_q, grid)
    assert abs(found - (2 * divergences.jsd(log_p, log_q, grid) - math.log(4))) <= 1e-6
    assert found == pytest.approx(divergences.optimal_value(log_p, log_q, grid), abs=1e-6)
    assert -math.log(4) < found < 0
    for other in (best + 0.1, best * 0.9, -best, np.zeros_like(best)):
        assert divergences.value(other, log_p, log_q, grid) < found - 1e-4


def test_the_value_by_chance_of_samples() -> None:
    p, q = PAIRS[0]
    grid, rng, count = Grid.covering(p, q), np.random.default_rng(0), 100_000
    logits = np.sin(grid.points[:, 0]) + grid.points[:, 1] / 3
    real, fake = p.sample(count, rng), q.sample(count, rng)
    on_real = -np.log1p(np.exp(-np.sin(real[:, 0]) - real[:, 1] / 3))
    on_fake = -np.log1p(np.exp(np.sin(fake[:, 0]) + fake[:, 1] / 3))
    error = math.sqrt((on_real.var() + on_fake.var()) / count)
    found = divergences.value(logits, p.log_density(grid.points), q.log_density(grid.points), grid)
    assert found == pytest.approx(on_real.mean() + on_fake.mean(), abs=4 * error)


def test_the_optimal_discriminator() -> None:
    p, q = PAIRS[0]
    x = p.sample(20, np.random.default_rng(0))
    found = divergences.optimal_discriminator(p.log_density(x), q.log_density(x))
    np.testing.assert_allclose(found, p.density(x) / (p.density(x) + q.density(x)), rtol=1e-13)
    far = np.array([[60.0, 60.0], [1e3, 0.0]])
    assert (p.density(far) + q.density(far)).max() < 1e-300
    assert divergences.optimal_discriminator(p.log_density(far), q.log_density(far)).max() < 1e-300
    nothing = np.array([-math.inf, -math.inf, 0.0])
    assert divergences.optimal_discriminator(nothing, np.array([-math.inf, 0.0, -math.inf])).tolist() == [0.5, 0, 1]


def test_where_a_density_is_zero() -> None:
    """Uniform on the unit square and on its left half: KL one way is log 2, the other way infinite."""
    grid = Grid(np.array([[0.0, 0.0], [1.0, 1.0]]), (10, 10))
    whole, half = np.zeros(100), np.where(grid.points[:, 0] < 0.5, math.log(2), -math.inf)
    assert divergences.kl(half, whole, grid) == pytest.approx(math.log(2), rel=1e-14)
    assert divergences.kl(whole, half, grid) == math.inf
    exact = (math.log(4 / 3) + math.log(2 / 3) / 2 + math.log(2) / 2) / 2
    assert divergences.jsd(half, whole, grid) == pytest.approx(exact, rel=1e-13)
    best = divergences.optimal_logits(half, whole)
    found = divergences.value(best, half, whole, grid)
    assert found == pytest.approx(2 * exact - math.log(4), rel=1e-13)


def test_errors_of_grids() -> None:
    p = gaussian(0, 0, 1.0)
    small = Grid(np.array([[-2.0, -2.0], [2.0, 2.0]]), (50, 50))
    log_p = p.log_density(small.points)
    with pytest.raises(MiniganError, match=r"density of p integrates to 0\.9\d+ on this grid, expected 1"):
        divergences.kl(log_p, log_p, small)
    assert divergences.kl(log_p, log_p, Grid(small.box, (50, 50), tolerance=0.1)) == 0
    with pytest.raises(MiniganError, match="widen the box"):
        divergences.jsd(np.full(2500, math.nan), log_p, small)
    with pytest.raises(MiniganError, match=r"log density of q has shape \(3,\), expected \(2500,\)"):
        divergences.kl(np.full(2500, -math.log(16)), np.zeros(3), small)
    flat = np.full(2500, -math.log(16))
    with pytest.raises(MiniganError, match="logits have shape"):
        divergences.value(np.zeros((2500, 1)), flat, flat, small)
    with pytest.raises(MiniganError, match="is empty"):
        Grid(np.array([[0.0, 0.0], [0.0, 1.0]]), (10, 10))
    with pytest.raises(MiniganError, match="too fine"):
        Grid.covering(gaussian(0, 0, 1e-4), gaussian(10, 0, 1.0))


# Densities from samples.


def test_the_standard_error_of_a_kernel_density_is_the_one_seen() -> None:
    """What it estimates is known: a mixture smoothed by its kernel is a wider mixture."""
    target, h, repeats = gaussian(0, 0, 1.0), 0.3, 200
    points = np.array([[0.0, 0.0], [1.0, 0.5], [-2.0, 1.0]])
    smoothed = gaussian(0, 0, math.hypot(1, h)).density(points)
    rng = np.random.default_rng(0)
    estimates = [KernelDensity(target.sample(500, rng), h) for _ in range(repeats)]
    found = np.array([e.density(points) for e in estimates])
    stated = np.sqrt(np.mean([e.standard_error(points) ** 2 for e in estimates], axis=0))
    np.testing.assert_allclose(found.std(axis=0), stated, rtol=4 / math.sqrt(2 * repeats))
    assert (np.abs(found.mean(axis=0) - smoothed) < 4 * stated / math.sqrt(repeats)).all()


def test_the_bias_of_a_kernel_density_is_that_of_smoothing() -> None:
    target, h = gaussian(0, 0, 1.0), 0.2
    points = np.array([[0.0, 0.0], [1.0, 0.0], [1.5, 1.5]])
    exact = gaussian(0, 0, math.hypot(1, h)).density(points) - target.density(points)
    found = KernelDensity(target.sample(100_000, np.random.default_rng(0)), h).bias(points)
    np.testing.assert_allclose(found, exact, atol=0.2 * np.abs(exact).max())
    assert np.sign(found[0]) == -1 and np.sign(found[2]) == 1


def test_the_bandwidth_is_the_likeliest_one() -> None:
    for name in NAMES:
        samples = mixtures.get(name).sample(300, np.random.default_rng(3))
        distances = squared_distances(samples, samples)
        others = ~np.eye(300, dtype=bool)

        def likelihood(h: float, distances: np.ndarray = distances, others: np.ndarray = others) -> float:
            kernels = np.exp(-distances / (2 * h**2)) / (2 * math.pi * h**2)
            return float(np.log((kernels * others).sum(axis=1) / 299 + 1e-300).mean())

        found = KernelDensity(samples).bandwidth
        tried = found * np.geomspace(0.1, 10, 401)
        assert likelihood(found) >= max(likelihood(h) for h in tried) - 1e-3


def test_a_kernel_density_comes_nearer_with_more_samples() -> None:
    target = mixtures.get("two-gaussians")
    grid = Grid(target.box + np.array([[-3.0], [3.0]]), (80, 80))
    log_p = target.log_density(grid.points)
    found = []
    for count in (100, 2_000):
        estimate = KernelDensity(target.sample(count, np.random.default_rng(0)))
        found.append(divergences.kl(log_p, np.maximum(estimate.log_density(grid.points), -700), grid))
    assert found[0] > 4 * found[1] > 0


def test_errors_of_kernel_densities() -> None:
    with pytest.raises(MiniganError, match="from 2 samples, expected 3 to 10000"):
        KernelDensity([[0.0, 0.0], [1.0, 1.0]])
    with pytest.raises(MiniganError, match="exact copy"):
        KernelDensity(np.ones((5, 2)))
    with pytest.raises(MiniganError, match=r"bandwidth is -1"):
        KernelDensity(np.zeros((3, 2)), -1)
    with pytest.raises(MiniganError, match=r"the samples are not finite"):
        KernelDensity([[math.nan, 0.0]], 1)


# Samples against samples.


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7])
def test_assignment_is_the_best_of_all(n: int) -> None:
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


def test_wasserstein_of_gaussians() -> None:
    """W2(N(0, I), N(m, s^2 I))^2 = |m|^2 + 2 (s - 1)^2; samples come as near as two of the same are."""
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


@pytest.mark.parametrize(
    "compare", [two_sample.maximum_mean_discrepancy, two_sample.classifier_two_sample_test], ids=["mmd", "c2st"]
)
def test_a_collapsed_generator_is_told_from_the_data(compare) -> None:  # type: ignore[no-untyped-def]
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
    with pytest.raises(MiniganError, match="cannot be told apart fairly"):
        two_sample.classifier_two_sample_test(x[:5], x[:5])
