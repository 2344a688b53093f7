"""A replayed step gives the bits of a plain one under every rule of training; other steps run plainly."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.replayed_gans import GANS, STEPS, bits, dense_network, make_gan, real_batch, train

import minigan as mg
from minigan import GAN, Rules, Tensor, ops
from minigan.core import backend
from minigan.gan import ema, losses, penalties
from minigan.nn import Dense, LeakyReLU, Module, Sequential
from minigan.optim import SGD, Adam


@pytest.fixture(autouse=True)
def _frequent_ema_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ema, "_UPDATE_EVERY", 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", GANS)
def test_replayed_steps_give_the_bits_of_plain_ones(kind: str, dtype: str, kernels: str) -> None:
    plain, replayed = GANS[kind](dtype), GANS[kind](dtype)
    assert train(plain, range(STEPS), replay=False) == train(replayed, range(STEPS), replay=True)
    assert bits(plain) == bits(replayed)
    assert plain.replay.steps == 0
    if (backend.current().name, kernels) == ("cupy", "reference"):
        assert "cuBLAS" in (replayed.replay.fallback_reason or "")
        return
    assert replayed.replay.fallback_reason is None
    assert replayed.replay.steps >= STEPS - 3 * 4  # for each signature two are plain, one is recorded, and one compared


def test_changes_between_steps_take_effect() -> None:
    """Loaded states, assigned weights, sampling and changed learning rates act as they do without replay."""

    def results(replay: bool) -> list[Any]:
        gan, other = GANS["images"]("float32"), GANS["images"]("float32")
        found: list[Any] = train(gan, range(6), replay)
        saved = gan.state()
        found += train(gan, range(6, 8), replay)
        gan.sample(np.zeros((3, 2), np.float32))
        next(iter(gan.discriminator.parameters().values())).assign(saved["discriminator.0.weight"] * 0.5)
        found += train(gan, range(8, 10), replay)
        gan.load_state(saved)
        gan.generator_optimizer.learning_rate = 0.1
        found += train(gan, range(6, 8), replay)
        other.load_state(gan.state())
        return [
            *found,
            *train(other, range(8, 12), replay),
            *train(gan, range(8, 12), replay),
            bits(gan),
            bits(other),
        ]

    assert results(replay=False) == results(replay=True)


def _replace_optimizer(gan: GAN) -> None:
    gan.discriminator_optimizer = Adam(gan.discriminator.parameters(), 0.03)


def _replace_discriminator(gan: GAN) -> None:
    gan.discriminator = dense_network(1, dropout=0.1).astype("float32")
    _replace_optimizer(gan)


def _change_slope(gan: GAN) -> None:
    gan.discriminator[1].slope = 0.7


def _move_memory(gan: GAN) -> None:
    optimizer = gan.generator_optimizer
    optimizer.moments = {name: array * 2.0 for name, array in optimizer.moments.items()}


CHANGES: dict[str, Callable[[GAN], Any]] = {
    "loss": lambda gan: setattr(gan, "loss", losses.get("hinge")),
    "eval mode": lambda gan: gan.discriminator.eval(),
    "decay": lambda gan: setattr(gan.discriminator_optimizer, "beta1", 0.9),
    "optimiser": _replace_optimizer,
    "discriminator": _replace_discriminator,
    "slope": _change_slope,
    "dropout": lambda gan: setattr(gan.discriminator[2], "rate", 0.0),
    "moments": _move_memory,
    "average": lambda gan: setattr(gan, "ema", ema.EMA(gan.generator, 0.5)),
    "rules": lambda gan: setattr(gan, "rules", Rules(simultaneous=True)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_gan_is_recorded_again(change: str) -> None:
    def results(replay: bool) -> list[Any]:
        gan = GANS["dropout"]("float32")
        found: list[Any] = train(gan, range(7), replay)
        CHANGES[change](gan)
        found += [*train(gan, range(7, 18), replay), bits(gan)]
        assert (gan.replay.steps >= 5) == replay
        return found

    assert results(replay=False) == results(replay=True)


@pytest.mark.slow
def test_networks_that_were_replaced_are_not_kept() -> None:
    gan, replaced = GANS["dropout"]("float32"), []
    for number in range(9):
        train(gan, range(6), replay=True)
        replaced.append(weakref.ref(gan.discriminator))
        _replace_discriminator(gan)
        assert gan.replay.steps == 2 * (number + 1)
    gc.collect()
    assert sum(network() is not None for network in replaced) <= 4


def test_a_network_moved_to_another_optimiser_raises_as_without_replay() -> None:
    gan = GANS["plain"]("float32")
    train(gan, range(6), replay=True)
    Adam(gan.discriminator.parameters(), 0.1)
    with pytest.raises(RuntimeError, match="another optimiser"):
        train(gan, range(6, 7), replay=True)


def test_an_unhashable_loss_can_be_replayed() -> None:
    @dataclasses.dataclass
    class Scaled(losses.NonSaturating):
        scale: float = 1.0

        def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
            return super().generator(fake_logits, real_logits) * self.scale

    def results(replay: bool) -> list[Any]:
        gan = make_gan(loss=Scaled(), networks=(dense_network(2, dropout=0.1), dense_network(1, dropout=0.1)))
        found: list[Any] = train(gan, range(6), replay)
        gan.loss.scale = 3.0  # type: ignore[attr-defined]
        return [*found, *train(gan, range(6, 12), replay), bits(gan)]

    assert results(replay=False) == results(replay=True)


class _Scaled(losses.Hinge):
    scale = 1.0

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        return super().generator(fake_logits) * self.scale


class _Nested(losses.Loss):
    """A loss that computes with what lies deeper in its attributes."""

    def __init__(self) -> None:
        self.weights, self.layer, self.parts = {"all": [1.0]}, LeakyReLU(0.2), (_Scaled(),)

    def discriminator(self, real_logits: Any, fake_logits: Any) -> Tensor:
        return self.parts[0].discriminator(real_logits, self.layer(fake_logits)) * self.weights["all"][0]

    def generator(self, fake_logits: Any, real_logits: Any = None) -> Tensor:
        return self.parts[0].generator(fake_logits)


DEEPER_CHANGES: dict[str, Callable[[Any], None]] = {
    "number in a list in a dict": lambda loss: loss.weights["all"].__setitem__(0, 3.0),
    "layer in a loss": lambda loss: setattr(loss.layer, "slope", 0.7),
    "loss in a loss": lambda loss: setattr(loss.parts[0], "scale", 3.0),
}


@pytest.mark.parametrize("change", DEEPER_CHANGES)
def test_changes_deep_in_a_loss_take_effect(change: str) -> None:
    def results(replay: bool) -> list[Any]:
        gan = make_gan(loss=_Nested(), networks=(dense_network(2), dense_network(1)))
        found: list[Any] = train(gan, range(6), replay)
        assert (gan.replay.steps > 0) == replay
        DEEPER_CHANGES[change](gan.loss)
        return [*found, *train(gan, range(6, 12), replay), bits(gan)]

    assert results(replay=False) == results(replay=True)


def test_an_interrupted_replay_leaves_no_stale_packed_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are packed again, and `grad` refuses a graph from before."""
    gan = GANS["images"]("float32")
    train(gan, range(9), replay=True)
    x = real_batch(gan, 0)
    older = ops.sum(gan.discriminator(x))
    for recording in gan.replay._recordings.values():
        recording._calls.append((_interrupt, ()))
    with pytest.raises(KeyboardInterrupt):
        train(gan, range(9, 10), replay=True)
    twin = GANS["images"]("float32")
    twin.load_state(gan.state())
    np.testing.assert_array_equal(gan.discriminator(x).numpy(), twin.discriminator(x).numpy())
    with pytest.raises(RuntimeError, match="changed since"):
        mg.grad(older, gan.discriminator)


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_sampling_between_steps_needs_no_new_recording() -> None:
    gan, plain = GANS["images"]("float32"), GANS["images"]("float32")
    for step in range(40):
        for each, replay in ((gan, True), (plain, False)):
            train(each, range(step, step + 1), replay)
            if step % 3 == 0:
                each.ema = None if step == 0 else each.ema
                for _ in range(2):
                    each.sample(np.zeros((12, 2), np.float32))
                    each.discriminator(real_batch(each, step))
    assert bits(gan) == bits(plain)
    assert gan.replay.fallback_reason is None
    assert gan.replay.steps > 20


def test_many_signatures_of_inputs_are_not_recorded_again_and_again() -> None:
    gan, plain = GANS["plain"]("float32"), GANS["plain"]("float32")
    recordings = []
    for step in range(120):
        for each, replay in ((gan, True), (plain, False)):
            mg.use("numpy", "auto", replay=replay)
            each.train_step(real_batch(each, step, count=4 + step % 12))
        recordings.append(len(gan.replay._recordings))
    assert bits(gan) == bits(plain)
    assert max(recordings) == 8
    assert gan.replay.steps >= 8 * 5


def test_each_shape_has_a_recording() -> None:
    plain, replayed = GANS["average"]("float32"), GANS["average"]("float32")
    for gan, replay in ((plain, False), (replayed, True)):
        mg.use("numpy", "auto", replay=replay)
        for step in range(24):
            gan.train_step(real_batch(gan, step, count=12 + 4 * (step % 2)))
    assert bits(plain) == bits(replayed)
    assert replayed.replay.steps >= 8


class OwnNumbers(Module):
    """NumPy code in the middle of a network, as a user might write it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * Tensor(np.abs(x.data).max() * np.ones((), x.dtype))


class OwnControlFlow(Module):
    """A network with a branch that depends on the numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x if ops.mean(x).item() > 0 else x * 2.0


class Counting(Module):
    """A network whose result depends on a Python counter of its calls."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * float(self.calls)


class HiddenState(Module):
    """A network with state that changes from call to call and that no recording can see."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def forward(self, x: Tensor) -> Tensor:
        return x * float(1 + next(self.numbers))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (OwnNumbers, "no operation has made"),
        (OwnControlFlow, "reads a number"),
        (Counting, "change from step to step"),
        (HiddenState, "does not do the same"),
    ],
)
def test_a_step_that_cannot_be_replayed_runs_plainly(module: type[Module], reason: str) -> None:
    def network(outputs: int) -> Sequential:
        rng = np.random.default_rng(0)
        return Sequential(Dense(2, 8, rng), module(), Dense(8, outputs, rng))

    plain, replayed = (make_gan(networks=(network(2), network(1))) for _ in range(2))
    assert train(plain, range(20), replay=False) == train(replayed, range(20), replay=True)
    assert bits(plain) == bits(replayed)
    assert replayed.replay.steps == 0
    assert reason in (replayed.replay.fallback_reason or "")


def test_a_penalty_without_draw_runs_plainly() -> None:
    def penalty(critic: Any, real: Tensor, fake: Tensor, draws: np.random.Generator) -> Tensor:
        return penalties.r1(critic, real + Tensor(draws.standard_normal(real.shape, dtype=real.dtype.type)))

    plain, replayed = (make_gan(penalty=penalty) for _ in range(2))
    assert train(plain, range(6), replay=False) == train(replayed, range(6), replay=True)
    assert "has no attribute 'draw'" in (replayed.replay.fallback_reason or "")


def test_an_observed_step_runs_plainly_and_reports_every_gradient() -> None:
    gan, seen = GANS["critic"]("float32"), []
    for step in range(8):
        observe = (lambda player, gradients: seen.append((player, len(gradients)))) if step == 5 else None
        gan.train_step(real_batch(gan, step), observe)
    counts = {name: len(getattr(gan, f"{name}_optimizer").parameters) for name in ("discriminator", "generator")}
    assert seen == [("discriminator", counts["discriminator"])] * 3 + [("generator", counts["generator"])]
    assert gan.replay.steps == 3


class ReportingStep(GAN):
    """A GAN that reports a number that no operation has made."""

    def run_step(self, inputs: Any, observe: Any = None) -> dict[str, Tensor]:
        return super().run_step(inputs, observe) | {"step": Tensor(float(self.step))}


def test_a_report_with_a_number_that_no_operation_has_made_is_not_replayed() -> None:
    rng = np.random.default_rng(0)
    generator, discriminator = Sequential(Dense(2, 2, rng)), Sequential(Dense(2, 1, rng))
    optimizers = SGD(generator.parameters(), 0.1), SGD(discriminator.parameters(), 0.1)
    gan = ReportingStep(generator, discriminator, losses.get("hinge"), *optimizers, latent_size=2)
    assert [gan.train_step(real_batch(gan, step))["step"].item() for step in range(12)] == list(range(12))
    assert "no operation has made" in (gan.replay.fallback_reason or "")


def test_an_environment_variable_switches_replay_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGAN_REPLAY", "0")
    mg.use("numpy", "auto")
    gan = GANS["plain"]("float32")
    for step in range(6):
        gan.train_step(real_batch(gan, step))
    assert gan.replay.steps == 0
    monkeypatch.setenv("MINIGAN_REPLAY", "perhaps")
    with pytest.raises(mg.errors.UsageError, match="MINIGAN_REPLAY is 'perhaps'"):
        mg.use("numpy", "auto")


def test_later_replays_do_not_change_earlier_reports() -> None:
    gan = GANS["plain"]("float32")
    reports = [gan.train_step(real_batch(gan, step)) for step in range(8)]
    values = [[value.item() for value in report.values()] for report in reports]
    for step in range(8, 12):
        gan.train_step(real_batch(gan, step))
    assert [[value.item() for value in report.values()] for report in reports] == values
    assert len({tuple(row) for row in values}) == 8
