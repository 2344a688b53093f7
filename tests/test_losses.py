"""The games: autodiff, closed forms and finite differences agree; exact for logits of any size."""

from __future__ import annotations

from collections.abc import Callable

import differences
import numpy as np
import pytest

from minigan import MiniganError, Tensor, grad, losses

NAMES = ["minimax", "non-saturating"]


@pytest.fixture(params=NAMES)
def loss(request: pytest.FixtureRequest) -> losses.Minimax:
    return losses.get(request.param)


def test_the_table_holds_what_these_tests_cover() -> None:
    assert sorted(losses.LOSSES) == NAMES


def test_finite_differences(loss: losses.Minimax, make_rng: Callable) -> None:
    rng = make_rng()
    real, fake = rng.standard_normal((7, 1)) * 2, rng.standard_normal((5, 1)) * 2
    differences.check_first_order(loss.discriminator, [real, fake])
    differences.check_second_order(loss.discriminator, [real, fake])
    differences.check_first_order(loss.generator, [fake])
    differences.check_second_order(loss.generator, [fake])


def test_autodiff_equals_the_closed_forms(loss: losses.Minimax, make_rng: Callable) -> None:
    rng = make_rng()
    real, fake = Tensor(rng.standard_normal((7, 1)) * 5), Tensor(rng.standard_normal((5, 1)) * 5)
    found = [*grad(loss.discriminator(real, fake), [real, fake]), *grad(loss.generator(fake), [fake])]
    expected = [*loss.discriminator_logit_grads(real, fake), loss.generator_logit_grads(fake)]
    for f, e in zip(found, expected, strict=True):
        assert f.shape == e.shape
        np.testing.assert_allclose(f.numpy(), e.numpy(), rtol=1e-14)


def test_values_are_those_of_the_definition(loss: losses.Minimax, make_rng: Callable) -> None:
    rng = make_rng(1)
    real, fake = rng.standard_normal((9, 1)), rng.standard_normal((4, 1))
    d_real, d_fake = 1 / (1 + np.exp(-real)), 1 / (1 + np.exp(-fake))
    game = np.log(d_real).mean() + np.log(1 - d_fake).mean()
    assert loss.discriminator(Tensor(real), Tensor(fake)).item() == pytest.approx(-game, rel=1e-13)
    expected = np.log(1 - d_fake).mean() if loss.name == "minimax" else -np.log(d_fake).mean()
    assert loss.generator(Tensor(fake)).item() == pytest.approx(expected, rel=1e-13)


def test_minimax_is_a_zero_sum_game(make_rng: Callable) -> None:
    fake = Tensor(make_rng().standard_normal((6, 1)))
    real = Tensor(make_rng(1).standard_normal((6, 1)))
    loss = losses.get("minimax")
    of_discriminator = grad(loss.discriminator(real, fake), [fake])[0].numpy()
    of_generator = grad(loss.generator(fake), [fake])[0].numpy()
    np.testing.assert_array_equal(of_discriminator, -of_generator)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-4, 1.0, 30.0, 1e4])
def test_exact_for_logits_of_any_size(loss: losses.Minimax, size: float, dtype: type) -> None:
    """Every value and gradient is compared in a wider type, for confident logits of either sign."""

    def softplus(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def logistic(x: np.ndarray) -> np.ndarray:
        return np.exp(-softplus(-x))

    rtol, atol = 8 * float(np.finfo(dtype).eps), np.finfo(dtype).smallest_subnormal
    for sign_real in (1, -1):
        for sign_fake in (1, -1):
            real, fake = np.array([[sign_real * size]], dtype), np.array([[sign_fake * size]], dtype)
            r, f = (x.astype(np.longdouble) for x in (real, fake))
            leaves = [Tensor(real), Tensor(fake)]
            with np.errstate(over="raise", invalid="raise", divide="raise"):
                d, g = loss.discriminator(*leaves), loss.generator(leaves[1])
                found = [d, g, *grad(d, leaves), *grad(g, leaves[1:])]
            if loss.name == "minimax":
                of_generator, its_gradient = -softplus(f), -logistic(f)
            else:
                of_generator, its_gradient = softplus(-f), -logistic(-f)
            expected = [softplus(-r) + softplus(f), of_generator, -logistic(-r), logistic(f), its_gradient]
            for one, two in zip(found, expected, strict=True):
                assert one.dtype == dtype
                assert np.isfinite(one.numpy()).all()
                np.testing.assert_allclose(one.numpy().reshape(1, 1), two, rtol=rtol, atol=atol)


def test_the_best_discriminator_measures_the_jensen_shannon_divergence() -> None:
    """With D = p / (p + q) everywhere: V = 2 JSD(p, q) - log 4, and no D does better (Goodfellow et al., 2014)."""
    counts_p, counts_q = np.array([6, 3, 2, 1]), np.array([1, 2, 3, 6])
    p, q = counts_p / counts_p.sum(), counts_q / counts_q.sum()
    best = np.log(p / q)
    real, fake = np.repeat(best, counts_p)[:, None], np.repeat(best, counts_q)[:, None]
    middle = (p + q) / 2
    divergence = ((p * np.log(p / middle)).sum() + (q * np.log(q / middle)).sum()) / 2
    for name in NAMES:
        loss = losses.get(name)
        value = -loss.discriminator(Tensor(real), Tensor(fake)).item()
        assert value == pytest.approx(2 * divergence - np.log(4), rel=1e-13)
        for shift in np.eye(4) * 0.01:
            worse = best + shift
            other = loss.discriminator(
                Tensor(np.repeat(worse, counts_p)[:, None]), Tensor(np.repeat(worse, counts_q)[:, None])
            )
            assert -other.item() < value


def test_both_generators_want_the_same_but_one_saturates() -> None:
    hopeless = Tensor(np.full((1, 1), -20.0))  # D is sure that it is fake
    weak = grad(losses.get("minimax").generator(hopeless), [hopeless])[0].item()
    strong = grad(losses.get("non-saturating").generator(hopeless), [hopeless])[0].item()
    assert weak < 0
    assert strong < 0
    assert abs(weak) < 1e-8
    assert abs(strong) > 0.99


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(MiniganError, match=r"minmax.*did you mean 'minimax'"):
        losses.get("minmax")
    with pytest.raises(MiniganError, match=r"minimax.*non-saturating"):
        losses.get("zzz")
