"""Inpainting by search: the gradient of its objective, and that it finds what can be found in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from minigan import GAN, Rules, Tensor, gradcheck, nn
from minigan.gan.latent_search import LatentSearch, context_weights, objective, search

SIZE, NUMBERS = 3, 12
RNG = np.random.default_rng(3)


def linear_gan(**options) -> GAN:
    """G(z) = W z, whose best latent vector for known numbers is that of weighted ridge regression."""
    rng = np.random.default_rng(1)
    generator = nn.Sequential(nn.Dense(SIZE, NUMBERS, rng, bias=False))
    discriminator = nn.Sequential(nn.Dense(NUMBERS * options.pop("packing", 1), 5, rng), nn.Tanh(), nn.Dense(5, 1, rng))
    return GAN(generator.astype("float64"), discriminator.astype("float64"), latent_size=SIZE, **options)


def problem(count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    return RNG.standard_normal((count, NUMBERS)), RNG.random((count, NUMBERS)) * (RNG.random((count, NUMBERS)) < 0.6)


OPTIONS = LatentSearch(candidates=200, starts=3, exploring=20, kept=1, steps=400, prior_weight=0.0, norm_weight=0.5)


def test_the_gradient_of_the_objective():
    gan, (targets, weights) = linear_gan(), problem()
    options = dataclasses.replace(OPTIONS, prior_weight=0.7)

    def f(latent: Tensor) -> Tensor:
        return objective(gan.generator, gan.discriminator, latent, Tensor(targets), Tensor(weights), options)

    assert gradcheck(f, [RNG.standard_normal((4, SIZE))]).ok


def test_the_objective_is_what_the_paper_says():
    gan, (targets, weights) = linear_gan(), problem()
    latent = RNG.standard_normal((4, SIZE))
    options = dataclasses.replace(OPTIONS, prior_weight=0.7)
    found = objective(gan.generator, gan.discriminator, Tensor(latent), Tensor(targets), Tensor(weights), options)
    samples = gan.generator(Tensor(latent))
    score = 1 / (1 + np.exp(-gan.discriminator(samples).numpy()[:, 0]))
    expected = (weights * (samples.numpy() - targets) ** 2).sum(axis=1) - 0.7 * np.log(score)
    np.testing.assert_allclose(found.numpy(), expected + 0.5 * (latent**2).sum(axis=1))


def test_in_a_linear_generator_it_finds_the_solution_of_ridge_regression():
    gan, (targets, weights) = linear_gan(), problem()
    found = search(gan, targets, weights, OPTIONS)
    w = gan.generator.parameters()["0.weight"].numpy()  # (SIZE, NUMBERS)
    for x, c, z in zip(targets, weights, found.latent[:, 0], strict=True):
        expected = np.linalg.solve((w * c) @ w.T + OPTIONS.norm_weight * np.eye(SIZE), (w * c) @ x)
        np.testing.assert_allclose(z, expected, atol=1e-3)
    np.testing.assert_allclose(found.samples, found.latent[:, 0] @ w)


def test_more_steps_never_leave_it_where_it_started_and_unknown_numbers_do_not_matter():
    gan, (targets, weights) = linear_gan(), problem()
    options = dataclasses.replace(OPTIONS, prior_weight=0.3)
    values = [
        search(gan, targets, weights, dataclasses.replace(options, exploring=steps // 2, steps=steps)).objective
        for steps in (0, 30, 200)
    ]
    assert (values[0] > values[1]).all()
    assert (values[1] > values[2]).all()
    other = np.where(weights > 0, targets, 99.0)
    np.testing.assert_array_equal(
        search(gan, other, weights, options).latent, search(gan, targets, weights, options).latent
    )


def test_each_picture_is_searched_for_alone_and_the_networks_stay_as_they_are():
    gan, (targets, weights) = linear_gan(ema_decay=0.9), problem()
    before = gan.state()
    together = search(gan, targets, weights, OPTIONS).latent
    alone = [search(gan, targets[i : i + 1], weights[i : i + 1], OPTIONS).latent[0] for i in range(len(targets))]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    for name, values in gan.state().items():
        np.testing.assert_array_equal(values, before[name])


def test_the_pictures_are_means_over_the_kept_vectors_which_come_in_order():
    gan, (targets, weights) = linear_gan(), problem()
    found = search(gan, targets, weights, dataclasses.replace(OPTIONS, kept=3, steps=21))
    assert found.latent.shape == (4, 3, SIZE)
    assert (np.diff(found.objective, axis=1) > 0).all()
    w = gan.generator.parameters()["0.weight"].numpy()
    np.testing.assert_allclose(found.samples, (found.latent @ w).mean(axis=1))
    best = search(gan, targets, weights, dataclasses.replace(OPTIONS, steps=21))
    assert (abs(best.latent - found.latent).max(axis=2).min(axis=1) < 1e-9).all(), "the one kept is one of the three"


def test_weights_are_larger_near_the_hole_and_0_in_it():
    known = np.ones((1, 11, 11), bool)
    known[0, 4:7, 4:7] = False
    weights = context_weights(known, window=3)[0]
    assert (weights[4:7, 4:7] == 0).all()
    assert weights[3, 5] / weights[0, 0] == pytest.approx(1 + 3 * 3 / 9)  # three of nine pixels around are unknown
    assert weights[known[0]].mean() == pytest.approx(1)


def test_what_cannot_be_searched_is_refused():
    targets, weights = problem()
    with pytest.raises(ValueError, match="set prior_weight 0"):
        search(linear_gan(packing=2, rules=Rules(packing=2)), targets, weights, LatentSearch())
    search(linear_gan(packing=2, rules=Rules(packing=2)), targets, weights, dataclasses.replace(OPTIONS, steps=30))
    with pytest.raises(ValueError, match="that of the generator's samples"):
        search(linear_gan(), targets[:, :5], weights[:, :5], OPTIONS)


def test_a_picture_without_known_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="no known pixel"):
        context_weights(np.stack([np.ones((4, 4), bool), np.zeros((4, 4), bool)]))
