"""Gradient penalties: closed forms, the points they use, finite differences, no NaN at zero gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.critics import smooth_critic
from support.environment import EXHAUSTIVE

import minigan as mg
from minigan import MiniganError, Parameter, Tensor, grad, ops
from minigan.core import random
from minigan.gan import losses, penalties

NAMES = ["dragan", "r1", "r1+r2", "r2", "wgan-gp", "zero-centred"]
ONE_CENTRED = ["dragan", "wgan-gp"]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def _batches(make_rng: Callable, *shape: int, dtype: str = "float64") -> tuple[Tensor, Tensor]:
    return tuple(Tensor(make_rng(seed).standard_normal(shape).astype(dtype)) for seed in (1, 2))  # type: ignore[return-value]


def _draws() -> np.random.Generator:
    return random.generator(4, "draws of a test")


def test_the_table_holds_what_these_tests_cover() -> None:
    assert sorted(penalties.PENALTIES) == NAMES


def test_an_unknown_name_suggests_the_nearest() -> None:
    assert penalties.get("r1") is penalties.r1
    with pytest.raises(MiniganError, match=r"no penalty 'wgangp'; did you mean 'wgan-gp'"):
        penalties.get("wgangp")
    with pytest.raises(MiniganError, match=r"no penalty 'dragn'; did you mean 'dragan'"):
        penalties.get("r1+dragn")


@pytest.mark.parametrize(
    ("names", "fakes"), [("r1+r2", 5), ("r1+r2", 3), ("r2+zero-centred", 5), ("wgan-gp+dragan+r1", 5)]
)
def test_a_sum_of_penalties(names: str, fakes: int, make_rng: Callable) -> None:
    """The sum of values and of derivatives for every weight; one generator serves the penalties in turn."""
    critic, shape = smooth_critic("mlp")
    real, fake = (Tensor(make_rng(seed).standard_normal((n, *shape))) for seed, n in ((1, 5), (2, fakes)))
    together = penalties.get(names)(critic, real, fake, _draws())
    draws, separate = _draws(), Tensor(0.0)
    for part in names.split("+"):
        separate = separate + penalties.get(part)(critic, real, fake, draws)
    assert together.item() == pytest.approx(separate.item(), rel=1e-14)
    weights = list(critic.parameters().values())
    for one, two in zip(grad(together, weights), grad(separate, weights), strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-12, atol=1e-15)


# Closed forms.


def _linear(w: Tensor) -> penalties.Critic:
    """x . w for each example: its gradient is w everywhere."""
    return lambda x: ops.reshape(x, (len(x), -1)) @ w


# The penalty of the linear critic, and its gradient, as functions of w.
OF_A_LINEAR_CRITIC: dict[str, tuple[Callable, Callable]] = {
    "r1": (lambda w: (w**2).sum() / 2, lambda w: w),
    "r2": (lambda w: (w**2).sum() / 2, lambda w: w),
    "r1+r2": (lambda w: (w**2).sum(), lambda w: 2 * w),
    "zero-centred": (lambda w: (w**2).sum(), lambda w: 2 * w),
    **{
        name: (
            lambda w: (np.linalg.norm(w) - 1) ** 2,
            lambda w: 2 * (np.linalg.norm(w) - 1) * w / np.linalg.norm(w),
        )
        for name in ONE_CENTRED
    },
}


@pytest.mark.parametrize("length", [1e-8, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 2)])
def test_penalty_of_a_linear_critic(name: str, shape: tuple[int, ...], length: float, make_rng: Callable) -> None:
    real, fake = _batches(make_rng, 4, *shape)
    w = make_rng(3).standard_normal((np.prod(shape), 1))
    w *= length / np.linalg.norm(w)
    weights = Tensor(w)
    penalty = penalties.get(name)(_linear(weights), real, fake, _draws())
    assert penalty.shape == ()
    value, gradient = OF_A_LINEAR_CRITIC[name]
    assert penalty.item() == pytest.approx(value(w), rel=1e-13, abs=1e-28)
    np.testing.assert_allclose(grad(penalty, [weights])[0].numpy(), gradient(w), rtol=1e-12, atol=1e-15)


def _bowl(x: Tensor) -> Tensor:
    """|x|^2 / 2 of each example: its gradient is x, the point at which the penalty takes it."""
    return ops.sum(ops.reshape(x * x, (len(x), -1)), axis=1) * 0.5


def _squares(x: np.ndarray) -> np.ndarray:
    return (x.reshape(len(x), -1) ** 2).sum(axis=1)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 2)])
def test_points_at_which_a_penalty_takes_the_gradient(name: str, shape: tuple[int, ...], make_rng: Callable) -> None:
    real, fake = _batches(make_rng, 5, *shape)
    r, f = real.numpy(), fake.numpy()
    u = make_rng(3).random((5, *(1 for _ in shape)))
    e = make_rng(3).standard_normal(r.shape)
    between = u * r + (1 - u) * f
    expected = {
        "r1": _squares(r).mean() / 2,
        "r2": _squares(f).mean() / 2,
        "r1+r2": (_squares(r).mean() + _squares(f).mean()) / 2,
        "zero-centred": _squares(between).mean(),
        "wgan-gp": ((np.sqrt(_squares(between)) - 1) ** 2).mean(),
        "dragan": ((np.sqrt(_squares(r + e * r.std() / 2)) - 1) ** 2).mean(),
    }
    draws = Tensor(e if name == "dragan" else u)
    assert penalties.get(name)(_bowl, real, fake, draws).item() == pytest.approx(expected[name], rel=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_draws_equal_those_of_the_generator(name: str, dtype: str, make_rng: Callable) -> None:
    real, fake = _batches(make_rng, 5, 2, 2, dtype=dtype)
    rng = _draws()
    draw = {"dragan": lambda: rng.standard_normal((5, 2, 2), dtype=dtype)}
    draws = draw.get(name, lambda: rng.random((5, 1, 1), dtype=dtype))()
    found = penalties.get(name)(_bowl, real, fake, _draws())
    assert found.dtype == dtype
    assert found.item() == penalties.get(name)(_bowl, real, fake, Tensor(draws)).item()


# Zero gradient.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finite_where_the_gradient_of_the_critic_is_zero(name: str, dtype: str, make_rng: Callable) -> None:
    """The derivative of the norm counts as 0 there, also for a norm whose square underflows."""
    real, fake = _batches(make_rng, 4, 3, dtype=dtype)
    tiny = np.finfo(dtype).tiny
    for size in (0.0, tiny, float(tiny) ** 0.5, float(tiny) ** 0.4):
        weights = Tensor(np.full((3, 1), size, dtype))
        with np.errstate(divide="raise", invalid="raise", over="raise"):
            penalty = penalties.get(name)(_linear(weights), real, fake, _draws())
            (first,) = grad(penalty, [weights], create_graph=True)
            (second,) = grad(ops.sum(first), [weights])
        assert penalty.item() == pytest.approx(1.0 if name in ONE_CENTRED else 0.0, abs=1e-6)
        assert np.isfinite(first.numpy()).all()
        assert np.isfinite(second.numpy()).all()
        assert size or not first.numpy().any()


@pytest.mark.parametrize("name", ONE_CENTRED)
def test_examples_without_gradient_do_not_affect_others(name: str) -> None:
    """relu(x . w) has no gradient for x . w < 0: half of the examples here."""
    w = Tensor(np.array([[0.6], [0.8]]))
    real = Tensor(np.array([[1.0, 1.0], [-1.0, -1.0]]))
    draws = Tensor(np.zeros((2, 2)) if name == "dragan" else np.ones((2, 1)))
    penalty = penalties.get(name)(lambda x: ops.relu(x @ w) * 3.0, real, real, draws)
    assert penalty.item() == pytest.approx((2**2 + 1) / 2, rel=1e-14)
    np.testing.assert_allclose(grad(penalty, [w])[0].numpy(), np.array([[0.6], [0.8]]) * 2 * 2 * 3 / 2, rtol=1e-14)


# Through a critic, to every weight.


def _require_right(f: Callable, inputs: list[np.ndarray], network: mg.nn.Module, order: int) -> None:
    report = mg.gradcheck(f, inputs, order=order, parameters=network.parameters(), modules=[network])
    assert report.verdict == mg.checking.Verdict.PASS, report
    assert abs(report.analytic - report.numeric) <= 1e-7 * abs(report.numeric), report


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_derivatives_through_a_critic(name: str, kind: str, kernels: str, make_rng: Callable) -> None:
    """First and second order, for all weights, both batches and the draws."""
    network, shape = smooth_critic(kind)
    real, fake = (x.numpy() for x in _batches(make_rng, 3, *shape))
    draws = (
        make_rng(3).standard_normal(real.shape) if name == "dragan" else make_rng(3).random((3, *(1 for _ in shape)))
    )
    for order in (1, 2):
        _require_right(lambda *args: penalties.get(name)(network, *args), [real, fake, draws], network, order)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (loss, kind)
        for loss in losses.LOSSES
        for kind in ("mlp", "conv")
        if loss == "non-saturating" or kind == "mlp" or EXHAUSTIVE
    ],
)
def test_derivatives_of_sums_with_losses(name: str, loss: str, kind: str, make_rng: Callable) -> None:
    """A discriminator's objective, first and second order, for all weights."""
    network, shape = smooth_critic(kind)
    batches = [x.numpy() for x in _batches(make_rng, 3, *shape)]

    def total(real: Tensor, fake: Tensor) -> Tensor:
        penalty = penalties.get(name)(network, real, fake, _draws())
        return losses.get(loss).discriminator(network(real), network(fake)) + penalty * 10.0

    for order in (1, 2):
        _require_right(total, batches, network, order)


def test_a_gradient_for_the_critic_keeps_the_graph_of_the_fakes(name: str, make_rng: Callable) -> None:
    """A gradient for the critic's weights, with keep_graph=False, does not release the graph behind the fakes."""
    w, seed = Parameter(np.ones((3, 1))), Parameter(np.ones((4, 3)))
    real, _ = _batches(make_rng, 4, 3)
    fake = ops.tanh(seed)
    penalty = penalties.get(name)(_linear(w), real, fake, _draws())
    grad(penalty, [w], keep_graph=False)
    assert grad(ops.sum(fake), [seed])[0].numpy().any()


# Wrong use.


@pytest.mark.parametrize("name", ["wgan-gp", "zero-centred"])
def test_batches_must_have_one_shape(name: str) -> None:
    real, fake = Tensor(np.ones((4, 3))), Tensor(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"as many of each, of one shape, got \(4, 3\) and \(1, 3\)"):
        penalties.get(name)(_bowl, real, fake, _draws())


@pytest.mark.parametrize(("draws", "found"), [(None, "none"), (Tensor(np.ones((4, 2))), r"a Tensor of shape \(4, 2\)")])
@pytest.mark.parametrize("name", ["wgan-gp", "zero-centred", "dragan"])
def test_draws_must_fit(name: str, draws: Tensor | None, found: str) -> None:
    real = Tensor(np.ones((4, 3)))
    with pytest.raises(ValueError, match=rf"needs draws of shape \(4, [13]\), or a random generator.*; got {found}"):
        penalties.get(name)(_bowl, real, real, draws)
