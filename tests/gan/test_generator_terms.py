"""The generator's further term: its objective, schedules of both weights, replay, resumption, and mistakes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.small_gan import BATCH, DATA, LATENT, conditional_batch, make_conditional_gan, make_gan, real_batch

import minigan as mg
from minigan import GAN, Rules, Tensor, nn, ops
from minigan.core.errors import UsageError
from minigan.gan import dry_run
from minigan.optim.schedules import Linear


def distance(fake: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
    return ops.mean(ops.absolute(fake - real))


def toward_condition(fake: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
    assert condition is not None
    return ops.mean((fake[:, : condition.shape[1]] - condition) ** 2)


class Cyclic(nn.Module):
    """A generator with a term that passes its samples through one of its own networks."""

    def __init__(self) -> None:
        rng = np.random.default_rng(4)
        self.forth = nn.Sequential(nn.Dense(LATENT, DATA, rng), nn.BatchNorm(DATA), nn.Tanh())
        self.back = nn.Sequential(nn.Dense(DATA, DATA, rng), nn.Dropout(0.3, seed=2), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.forth(z)

    def cycle(self, fake: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
        return ops.mean((self.back(fake) - real) ** 2)


def cyclic_gan(**options: Any) -> GAN:
    generator, discriminator = Cyclic(), nn.mlp([DATA, 6, 1], np.random.default_rng(5))
    return GAN(generator, discriminator, latent_size=LATENT, ema_decay=0.9, generator_term=generator.cycle, **options)


def bits(gan: GAN) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in gan.state().items()}


def test_the_objective_and_its_gradient_are_the_weighted_sums() -> None:
    gan = make_gan(generator_term=distance, generator_term_weight=Linear(4.0, 0.0, 8), adversarial_weight=0.25)
    gan.step = 2  # the weight of the term is 3 there
    g_pass = gan.generator_pass(gan.draw(real_batch(0)).updates[0])
    term = np.abs(g_pass.fake.numpy() - real_batch(0)).mean()
    assert g_pass.term is not None
    assert g_pass.term.item() == pytest.approx(term, rel=1e-12)
    assert g_pass.objective.item() == pytest.approx(0.25 * g_pass.loss.item() + 3 * term, rel=1e-12)
    weights = gan.generator_optimizer.parameters
    parts = [mg.grad(part, weights) for part in (g_pass.loss, g_pass.term, g_pass.objective)]
    for of_loss, of_term, of_both in zip(*parts, strict=True):
        np.testing.assert_allclose(of_both.numpy(), 0.25 * of_loss.numpy() + 3 * of_term.numpy(), rtol=1e-9, atol=1e-15)


def test_a_step_reports_the_term_and_the_loss_without_their_weights() -> None:
    gan, plain = make_gan(generator_term=distance, generator_term_weight=7.0, adversarial_weight=0.5), make_gan()
    metrics, without = gan.train_step(real_batch(0)), plain.train_step(real_batch(0))
    assert metrics["generator_loss"].item() == without["generator_loss"].item()
    assert "generator_term" not in without
    fake = make_gan().generator_pass(make_gan().draw(real_batch(0)).updates[0]).fake
    assert metrics["generator_term"].item() == pytest.approx(np.abs(fake.numpy() - real_batch(0)).mean(), rel=1e-12)


def test_a_term_gets_the_samples_the_real_examples_and_the_conditions() -> None:
    gan = make_conditional_gan(generator_term=toward_condition, rules=Rules(instance_noise=0.5))
    x, y = conditional_batch(0)
    inputs = gan.draw((x, y)).updates[0]
    fake = gan.generator(inputs.latent, Tensor(y)).numpy()
    term = gan.generator_pass(inputs).term
    assert term is not None
    assert term.item() == pytest.approx(((fake[:, : y.shape[1]] - y) ** 2).mean(), rel=1e-12)


def test_without_adversarial_weight_the_generator_follows_the_term_alone_and_the_discriminator_learns() -> None:
    """Two discriminators that differ: the generators' weights are the same, to the bit."""
    gans = [make_gan(loss, generator_term=distance, adversarial_weight=0.0) for loss in ("minimax", "least-squares")]
    before = gans[0].state()
    for step in range(3):
        for gan in gans:
            gan.train_step(real_batch(step))
    first, second = (bits(gan) for gan in gans)
    assert all(first[name] == second[name] for name in first if name.startswith("generator."))
    for name, value in gans[0].state().items():
        if name.startswith("discriminator."):
            assert not np.array_equal(value, before[name]), name


GANS: dict[str, Callable[[], GAN]] = {
    "schedules": lambda: make_gan(
        dtype="float32", rich=True, generator_term=distance, generator_term_weight=Linear(3.0, 0.5, 6),
        adversarial_weight=lambda step: 0.0 if step < 3 else 0.1 * step,
    ),
    "conditional": lambda: make_conditional_gan("float32", generator_term=toward_condition, adversarial_weight=0.1),
    "unrolled": lambda: make_gan(dtype="float32", generator_term=distance, rules=Rules(unroll_steps=1, n_critic=2)),
    "of the generator": lambda: cyclic_gan(generator_term_weight=Linear(3.0, 0.5, 6), adversarial_weight=0.3),
}  # fmt: skip


def batch_of(gan: GAN, step: int) -> Any:
    if gan.generator_term is toward_condition:
        return conditional_batch(step, dtype="float32")
    count = gan.rules.n_critic * BATCH
    return np.random.default_rng([5, step]).uniform(-1, 1, (count, DATA)).astype(np.float32)


@pytest.mark.parametrize("kind", GANS)
def test_replayed_steps_give_the_bits_of_plain_ones(kind: str) -> None:
    replayed, plain = GANS[kind](), GANS[kind]()
    for step in range(8):
        of_replay = replayed.train_step(batch_of(replayed, step))
        of_plain = plain.train_step(batch_of(plain, step), lambda player, gradients: None)  # an observer prevents it
        assert {k: v.item() for k, v in of_replay.items()} == {k: v.item() for k, v in of_plain.items()}
    assert replayed.replay.fallback_reason is None
    assert bits(replayed) == bits(plain)


@pytest.mark.parametrize("kind", GANS)
def test_a_resumed_run_ends_with_the_same_bits(kind: str) -> None:
    straight, first, resumed = (GANS[kind]() for _ in range(3))
    for step in range(6):
        straight.train_step(batch_of(straight, step))
    for step in range(3):
        first.train_step(batch_of(first, step))
    resumed.load_state(first.state())
    for step in range(3, 6):
        resumed.train_step(batch_of(resumed, step))
    assert bits(resumed) == bits(straight)


def test_another_weight_between_steps_needs_no_new_recording() -> None:
    changed, fresh = (make_gan(dtype="float32", generator_term=distance, adversarial_weight=0.5) for _ in range(2))
    for gan in (changed, fresh):
        for step in range(3):
            gan.train_step(real_batch(step, "float32"))
    changed.generator_term_weight = fresh.generator_term_weight = 5.0
    changed.train_step(real_batch(3, "float32"))
    fresh.train_step(real_batch(3, "float32"), lambda player, gradients: None)
    assert bits(changed) == bits(fresh)


def test_a_copy_has_a_term_of_its_own_generator() -> None:
    gan = cyclic_gan()
    twin = copy.deepcopy(gan)
    assert twin.generator_term.__self__ is twin.generator  # type: ignore[union-attr]
    before = bits(gan)
    for step in range(3):
        twin.train_step(batch_of(twin, step))
    assert bits(gan) == before


def test_no_dry_run_calls_a_term_that_holds_a_module_of_the_original() -> None:
    network = nn.mlp([2, 2], np.random.default_rng(0))
    assert dry_run._is_known(distance.__class__, {})
    closure = (lambda module: lambda fake, real, condition: module(fake))(network)
    closure.__module__ = "minigan.test"
    assert not dry_run._is_known(closure, {})


def test_the_summary_names_the_term_and_the_weights() -> None:
    gan = make_gan(generator_term=distance, generator_term_weight=2.0, adversarial_weight=0.5)
    assert "generator_term=distance, generator_term_weight=2.0, adversarial_weight=0.5" in str(gan.summary())
    assert "weight" not in make_gan().summary().settings


def test_fit_writes_the_term_into_the_metrics(tmp_path) -> None:
    gan = make_gan(dtype="float32", generator_term=distance)
    history = gan.fit(np.concatenate([real_batch(i) for i in range(20)]), steps=4, batch_size=8, log_every=1,
                      out=tmp_path / "run", progress=False)  # fmt: skip
    assert len(history["generator_term"]) == 4
    assert '"generator_term"' in (tmp_path / "run" / "metrics.jsonl").read_text()


class Scored(nn.Module):
    """A term with weights: a score of the samples."""

    def __init__(self) -> None:
        self.network = nn.mlp([DATA, 1], np.random.default_rng(0))

    def forward(self, fake: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
        return ops.mean(self.network(fake))


def test_a_frozen_module_can_be_a_term() -> None:
    module = Scored().astype("float64").frozen()
    gan = make_gan(generator_term=module)
    before = module.state()
    for step in range(4):
        metrics = gan.train_step(real_batch(step))
    assert np.isfinite(metrics["generator_term"].item())
    assert gan.replay.fallback_reason is None
    assert all(np.array_equal(value, before[name]) for name, value in module.state().items())


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"generator_term": 3.0}, TypeError, "the generator term is 3.0; expected a function"),
        ({"generator_term": Scored}, TypeError, "the generator term is the class Scored; expected a function"),
        ({"generator_term": lambda fake, real: fake}, TypeError, "takes other arguments than it gets"),
        ({"generator_term": distance, "generator_term_weight": -1.0}, ValueError, "at least 0"),
        ({"generator_term": distance, "generator_term_weight": "1"}, TypeError, "a number or a schedule"),
        ({"adversarial_weight": -0.1}, ValueError, "adversarial_weight is -0.1, expected a number of at least 0"),
        ({"adversarial_weight": float("nan")}, ValueError, "adversarial_weight is nan"),
        ({"adversarial_weight": None}, TypeError, "adversarial_weight is None; expected a number or a schedule"),
        ({"adversarial_weight": 0}, ValueError, "the generator learns nothing"),
        ({"generator_term": Scored()}, ValueError, "freeze the module with frozen"),
    ],
)
def test_mistakes_are_refused_when_the_gan_is_made(options: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        make_gan(**options)


@pytest.mark.parametrize(
    ("term", "kind", "sentence"),
    [
        (lambda fake, real, condition: 1.0, TypeError, "the generator term is a float, expected a scalar Tensor"),
        (
            lambda fake, real, condition: fake - real,
            ValueError,
            r"the generator term has shape \(7, 4\), expected a sc",
        ),
    ],
)
def test_a_term_that_is_no_scalar_is_refused_in_the_first_step(term: Any, kind: type[Exception], sentence: str) -> None:
    gan = make_gan(generator_term=term)
    with pytest.raises(kind, match=sentence):
        gan.train_step(real_batch(0))


def test_fit_refuses_a_term_that_is_no_scalar_or_not_finite_before_any_step(tmp_path) -> None:
    data = np.concatenate([real_batch(i, "float32") for i in range(20)])
    for term, sentence in (
        (lambda fake, real, condition: fake - real, "the generator term has shape"),
        (
            lambda fake, real, condition: ops.mean(ops.log(fake - 5.0)),
            "the values of the generator term are not finite",
        ),
    ):
        gan = make_gan(dtype="float32", generator_term=term)
        with pytest.raises(UsageError, match=sentence):
            gan.fit(data, steps=4, batch_size=8, out=tmp_path / "run", progress=False)
        assert gan.step == 0 and not (tmp_path / "run").exists()
