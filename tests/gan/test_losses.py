"""The losses: autodiff, closed forms and finite differences agree, and are exact for logits of any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support import differences
from support.critics import smooth_critic

import minigan as mg
from minigan import MiniganError, Tensor, grad
from minigan.gan import losses

RELATIVISTIC = ["relativistic-average", "relativistic-pairing"]
NAMES = ["hinge", "least-squares", "minimax", "non-saturating", *RELATIVISTIC, "wasserstein"]


@pytest.fixture(params=NAMES)
def loss(request: pytest.FixtureRequest) -> losses.Loss:
    return losses.get(request.param)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-_softplus(-x))


def _below_one(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - x)


# The definitions, each written out in NumPy: (discriminator's loss, generator's loss) of real and fake logits.
DEFINITIONS: dict[str, tuple[Callable, Callable]] = {
    "minimax": (
        lambda r, f: -np.log(_sigmoid(r)).mean() - np.log(1 - _sigmoid(f)).mean(),
        lambda r, f: np.log(1 - _sigmoid(f)).mean(),
    ),
    "non-saturating": (
        lambda r, f: -np.log(_sigmoid(r)).mean() - np.log(1 - _sigmoid(f)).mean(),
        lambda r, f: -np.log(_sigmoid(f)).mean(),
    ),
    "least-squares": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda r, f: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "hinge": (lambda r, f: _below_one(r).mean() + _below_one(-f).mean(), lambda r, f: -f.mean()),
    "wasserstein": (lambda r, f: -(r.mean() - f.mean()), lambda r, f: -f.mean()),
    "relativistic-pairing": (
        lambda r, f: -np.log(_sigmoid(r - f)).mean(),
        lambda r, f: -np.log(_sigmoid(f - r)).mean(),
    ),
    "relativistic-average": (
        lambda r, f: -np.log(_sigmoid(r - f.mean())).mean() - np.log(1 - _sigmoid(f - r.mean())).mean(),
        lambda r, f: -np.log(_sigmoid(f - r.mean())).mean() - np.log(1 - _sigmoid(r - f.mean())).mean(),
    ),
}

# The gradients for one real and one fake logit, written out: (D by real, D by fake, G by fake).
GRADIENTS: dict[str, Callable] = {
    "minimax": lambda r, f: (-_sigmoid(-r), _sigmoid(f), -_sigmoid(f)),
    "non-saturating": lambda r, f: (-_sigmoid(-r), _sigmoid(f), -_sigmoid(-f)),
    "least-squares": lambda r, f: (r - 1, f, f - 1),
    "hinge": lambda r, f: (-1.0 * (r < 1), 1.0 * (f > -1), -np.ones_like(f)),
    "wasserstein": lambda r, f: (-np.ones_like(r), np.ones_like(f), -np.ones_like(f)),
    "relativistic-pairing": lambda r, f: (-_sigmoid(f - r), _sigmoid(f - r), -_sigmoid(r - f)),
    "relativistic-average": lambda r, f: (-2 * _sigmoid(f - r), 2 * _sigmoid(f - r), -2 * _sigmoid(r - f)),
}


def _logits(rng: np.random.Generator, loss: losses.Loss, size: float) -> tuple[np.ndarray, np.ndarray]:
    """(real, fake) logits; more real ones than fake ones unless the loss pairs them."""
    fakes = 7 if loss.name == "relativistic-pairing" else 5
    return rng.standard_normal((7, 1)) * size, rng.standard_normal((fakes, 1)) * size


def test_the_table_holds_what_these_tests_cover() -> None:
    assert sorted(losses.LOSSES) == NAMES == sorted(DEFINITIONS) == sorted(GRADIENTS)
    assert [name for name in NAMES if losses.get(name).relativistic] == RELATIVISTIC


def test_finite_differences(loss: losses.Loss, make_rng: Callable) -> None:
    real, fake = _logits(make_rng(), loss, 2)
    if loss.name == "hinge":  # whose kinks lie at real = 1 and fake = -1
        assert min(abs(real - 1).min(), abs(fake + 1).min()) > 2 * differences.FIRST_STEP
    of_generator = [fake, real] if loss.relativistic else [fake]
    for f, inputs in ((loss.discriminator, [real, fake]), (loss.generator, of_generator)):
        differences.check_first_order(f, inputs)
        differences.check_second_order(f, inputs)


def test_autodiff_equals_the_closed_forms(loss: losses.Loss, make_rng: Callable) -> None:
    real, fake = map(Tensor, _logits(make_rng(), loss, 5))
    found = [*grad(loss.discriminator(real, fake), [real, fake]), *grad(loss.generator(fake, real), [fake])]
    expected = [*loss.discriminator_logit_grads(real, fake), loss.generator_logit_grads(fake, real)]
    for f, e in zip(found, expected, strict=True):
        assert f.shape == e.shape
        np.testing.assert_allclose(f.numpy(), e.numpy(), rtol=1e-14, atol=1e-16)


def test_values_equal_the_definition(loss: losses.Loss, make_rng: Callable) -> None:
    real, fake = _logits(make_rng(1), loss, 1)
    of_discriminator, of_generator = (f(real, fake) for f in DEFINITIONS[loss.name])
    assert loss.discriminator(Tensor(real), Tensor(fake)).item() == pytest.approx(of_discriminator, rel=1e-13)
    assert loss.generator(Tensor(fake), Tensor(real)).item() == pytest.approx(of_generator, rel=1e-13)
    if not loss.relativistic:
        assert loss.generator(Tensor(fake)).item() == loss.generator(Tensor(fake), Tensor(real)).item()


def test_minimax_is_a_zero_sum_game(make_rng: Callable) -> None:
    fake = Tensor(make_rng().standard_normal((6, 1)))
    real = Tensor(make_rng(1).standard_normal((6, 1)))
    loss = losses.get("minimax")
    of_discriminator = grad(loss.discriminator(real, fake), [fake])[0].numpy()
    of_generator = grad(loss.generator(fake), [fake])[0].numpy()
    np.testing.assert_array_equal(of_discriminator, -of_generator)


def _exact_values(name: str, r: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The definitions for one real and one fake logit, in a form that is accurate for large logits."""
    if name in ("minimax", "non-saturating"):
        return _softplus(-r) + _softplus(f), -_softplus(f) if name == "minimax" else _softplus(-f)
    if name in RELATIVISTIC:
        times = 2 if name == "relativistic-average" else 1
        return times * _softplus(f - r), times * _softplus(r - f)
    of_discriminator, of_generator = DEFINITIONS[name]
    return of_discriminator(r, f), of_generator(r, f)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-4, 1.0, 30.0, 1e4])
def test_exact_for_logits_of_any_size(loss: losses.Loss, size: float, dtype: type) -> None:
    """Every value and gradient is compared in a wider type, for confident logits of either sign."""
    rtol, atol = 8 * float(np.finfo(dtype).eps), np.finfo(dtype).smallest_subnormal
    for sign_real in (1, -1):
        for sign_fake in (1, -1):
            real, fake = np.array([[sign_real * size]], dtype), np.array([[sign_fake * size]], dtype)
            r, f = (x.astype(np.longdouble) for x in (real, fake))
            leaves = [Tensor(real), Tensor(fake)]
            with np.errstate(over="raise", invalid="raise", divide="raise"):
                d, g = loss.discriminator(*leaves), loss.generator(leaves[1], leaves[0])
                found = [d, g, *grad(d, leaves), *grad(g, leaves[1:])]
                closed = [*loss.discriminator_logit_grads(*leaves), loss.generator_logit_grads(leaves[1], leaves[0])]
            gradients = GRADIENTS[loss.name](r, f)
            expected = [*_exact_values(loss.name, r, f), *gradients, *gradients]
            for one, two in zip([*found, *closed], expected, strict=True):
                assert one.dtype == dtype
                assert np.isfinite(one.numpy()).all()
                np.testing.assert_allclose(one.numpy().reshape(1, 1), np.reshape(two, (1, 1)), rtol=rtol, atol=atol)


# Known properties.

# The score of a discriminator that cannot tell reals from fakes, and both players' losses at it.
CHANCE_LEVEL = {
    "minimax": (0.0, np.log(4), -np.log(2)),
    "non-saturating": (0.0, np.log(4), np.log(2)),
    "least-squares": (0.5, 0.25, 0.125),
    "hinge": (0.0, 2.0, 0.0),
    "wasserstein": (0.0, 0.0, 0.0),
    "relativistic-pairing": (0.0, np.log(2), np.log(2)),
    "relativistic-average": (0.0, np.log(4), np.log(4)),
}


def test_fixed_point_where_the_discriminator_cannot_tell_reals_from_fakes(loss: losses.Loss) -> None:
    """At D = 1/2 everywhere the values are known, and the gradients of reals and fakes cancel."""
    score, of_discriminator, of_generator = CHANCE_LEVEL[loss.name]
    real, fake = Tensor(np.full((6, 1), score)), Tensor(np.full((6, 1), score))
    assert loss.discriminator(real, fake).item() == pytest.approx(of_discriminator, rel=1e-14, abs=0)
    assert loss.generator(fake, real).item() == pytest.approx(of_generator, rel=1e-14, abs=0)
    by_real, by_fake = (g.numpy() for g in loss.discriminator_logit_grads(real, fake))
    np.testing.assert_array_equal(by_real, -by_fake)
    assert (by_real < 0).all()
    assert (loss.generator_logit_grads(fake, real).numpy() < 0).all()  # descent raises the logits of the samples


COUNTS_P, COUNTS_Q = np.array([6, 3, 2, 1]), np.array([1, 2, 3, 6])
P, Q = COUNTS_P / COUNTS_P.sum(), COUNTS_Q / COUNTS_Q.sum()


def _of_scores(loss: losses.Loss, scores: np.ndarray) -> float:
    """The discriminator's loss for data from P and samples from Q, given its score of each of the four outcomes."""
    real, fake = np.repeat(scores, COUNTS_P)[:, None], np.repeat(scores, COUNTS_Q)[:, None]
    return loss.discriminator(Tensor(real), Tensor(fake)).item()


def _jensen_shannon() -> float:
    middle = (P + Q) / 2
    return float((P * np.log(P / middle)).sum() + (Q * np.log(Q / middle)).sum()) / 2


# The optimal score of each outcome, and the loss there.
OPTIMAL = {
    "minimax": (np.log(P / Q), np.log(4) - 2 * _jensen_shannon()),
    "non-saturating": (np.log(P / Q), np.log(4) - 2 * _jensen_shannon()),
    "least-squares": (P / (P + Q), (P * Q / (P + Q)).sum() / 2),
    "hinge": (np.sign(P - Q), 2 - np.abs(P - Q).sum()),
}


@pytest.mark.parametrize("name", OPTIMAL)
def test_the_optimal_discriminator_measures_a_divergence(name: str) -> None:
    """Jensen-Shannon: -V = log 4 - 2 JSD (Goodfellow et al., 2014); the hinge: total variation (Lim and Ye, 2017)."""
    loss, (best, value) = losses.get(name), OPTIMAL[name]
    assert _of_scores(loss, best) == pytest.approx(value, rel=1e-13)
    for shift in [*np.eye(4) * 0.01, *np.eye(4) * -0.01]:
        assert _of_scores(loss, best + shift) > value


def test_wasserstein_measures_a_distance() -> None:
    """W1 of outcomes 0, 1, 2, 3, by the critic -x, which is optimal as the data lie left of the samples."""
    distance = np.abs(np.cumsum(P - Q)).sum()
    assert -_of_scores(losses.get("wasserstein"), -np.arange(4.0)) == pytest.approx(distance, rel=1e-13)


@pytest.mark.parametrize("name", [*RELATIVISTIC, "wasserstein"])
def test_only_differences_of_scores_matter(name: str, make_rng: Callable) -> None:
    loss = losses.get(name)
    real, fake = map(Tensor, _logits(make_rng(2), loss, 2))
    assert loss.discriminator(real + 3, fake + 3).item() == pytest.approx(loss.discriminator(real, fake).item())
    by_real, by_fake = (g.numpy().sum() for g in loss.discriminator_logit_grads(real, fake))
    assert by_real == pytest.approx(-by_fake, rel=1e-14)


@pytest.mark.parametrize("name", RELATIVISTIC)
def test_the_relativistic_generator_loss_swaps_real_and_fake(name: str, make_rng: Callable) -> None:
    loss = losses.get(name)
    real, fake = map(Tensor, _logits(make_rng(3), loss, 2))
    assert loss.generator(fake, real).item() == loss.discriminator(fake, real).item()


@pytest.mark.parametrize("name", RELATIVISTIC)
def test_a_relativistic_generator_loss_needs_real_logits(name: str) -> None:
    fake = Tensor(np.zeros((2, 1)))
    for method in (losses.get(name).generator, losses.get(name).generator_logit_grads):
        with pytest.raises(ValueError, match=rf"'{name}' compares with real examples; give their logits"):
            method(fake)


@pytest.mark.parametrize("fakes", [1, 3])  # one would broadcast
def test_pairs_need_equal_numbers_of_logits(fakes: int) -> None:
    real, fake, loss = Tensor(np.zeros((2, 1))), Tensor(np.zeros((fakes, 1))), losses.get("relativistic-pairing")
    for method in (loss.discriminator, loss.discriminator_logit_grads):
        with pytest.raises(
            ValueError, match=rf"as many real logits as fake logits, got shapes \(2, 1\) and \({fakes}, 1"
        ):
            method(real, fake)


def test_only_the_minimax_generator_saturates() -> None:
    detected = Tensor(np.full((1, 1), -20.0))  # D is sure that it is fake
    weak = grad(losses.get("minimax").generator(detected), [detected])[0].item()
    strong = grad(losses.get("non-saturating").generator(detected), [detected])[0].item()
    assert weak < 0
    assert strong < 0
    assert abs(weak) < 1e-8
    assert abs(strong) > 0.99


# Through a critic, to every weight.


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_derivatives_through_a_critic(loss: losses.Loss, kind: str, kernels: str, make_rng: Callable) -> None:
    """First and second order, for all weights and both batches."""
    network, shape = smooth_critic(kind)
    real, fake = (make_rng(seed).standard_normal((3, *shape)) for seed in (4, 5))
    players = (
        lambda r, f: loss.discriminator(network(r), network(f)),
        lambda r, f: loss.generator(network(f), network(r)),
    )
    for player in players:
        for order in (1, 2):
            report = mg.gradcheck(player, [real, fake], order=order, parameters=network.parameters(), modules=[network])
            assert report.verdict == mg.checking.Verdict.PASS, report
            assert abs(report.analytic - report.numeric) <= 1e-7 * abs(report.numeric), report


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(MiniganError, match=r"minmax.*did you mean 'minimax'"):
        losses.get("minmax")
    with pytest.raises(MiniganError, match=r"minimax.*non-saturating"):
        losses.get("zzz")
