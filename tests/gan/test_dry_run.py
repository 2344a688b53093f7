"""Dry runs of a GAN: they find the kernels of its steps, and change nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.environment import needs_numba
from support.small_gan import BATCH, DATA, make_gan

import minigan as mg
from minigan.gan import dry_run
from minigan_kernels import compile_ahead

REAL = np.random.default_rng(3).standard_normal((BATCH, DATA)).astype(np.float32)


def _same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("options", [{"rich": True}, {"ema_decay": 0.9}])
def test_a_copy_of_a_gan_trains_as_the_gan_does_and_apart_from_it(options: dict) -> None:
    gan = make_gan(dtype="float32", **options)
    gan.train_step(REAL)
    before, twin = gan.state(), copy.deepcopy(gan)
    for _ in range(4):
        twin.train_step(REAL)
    assert _same(gan.state(), before)
    for _ in range(4):
        gan.train_step(REAL)
    assert _same(gan.state(), twin.state())


@needs_numba
@pytest.mark.parametrize("options", [{"rich": True}, {"discriminator_norm": True, "ema_decay": 0.9}])
def test_a_dry_run_finds_the_kernels_of_a_training_and_changes_nothing(
    options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    mg.use("numpy", "numba", replay=False)
    gan, plain = (make_gan(dtype="float32", **options) for _ in range(2))
    before = gan.state()
    with dry_run.announced_training(gan, lambda: REAL):
        found = set(compile_ahead.needed())
    assert _same(gan.state(), before)

    launched = set()
    monkeypatch.setattr(compile_ahead, "note", lambda name, dtype: launched.add((name, dtype)))
    for _ in range(3):
        gan.train_step(REAL)
    gan.sample(gan.latent(2, "samples"))
    assert found == launched
    for _ in range(3):
        plain.train_step(REAL)
    assert _same(gan.state(), plain.state())


@needs_numba
def test_a_dry_run_in_the_middle_of_a_step_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the first step of a program that announces nothing, with the first kernel missing somewhere in it."""
    mg.use("numpy", "numba", replay=False)
    gan, plain = (make_gan(dtype="float32", rich=True) for _ in range(2))
    plain.train_step(REAL)
    note, launches, found = compile_ahead.note, [], []

    def in_the_middle(name: str, dtype: np.dtype) -> bool:
        if note(name, dtype):
            return True
        launches.append(name)
        if not found and name == "bias_act_grad":  # in a backward pass
            found.extend(compile_ahead.needed())
        return False

    monkeypatch.setattr(compile_ahead, "note", in_the_middle)
    gan.train_step(REAL)
    assert {name for name, _ in found} == set(launches)
    assert _same(gan.state(), plain.state())


class _OwnTanh(mg.nn.Module):
    calls = 0

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        _OwnTanh.calls += 1
        return mg.ops.tanh(x)

    def penalty(self, critic: Any, real: mg.Tensor, fake: mg.Tensor, draws: Any) -> mg.Tensor:
        return mg.ops.mean(self.forward(real))


def _own_layer() -> mg.GAN:
    gan = make_gan(dtype="float32")
    gan.generator.layers = (*gan.generator.layers[:-1], _OwnTanh())
    return gan


def _own_method() -> mg.GAN:
    return make_gan(dtype="float32", penalty=_OwnTanh().penalty)


def _own_function() -> mg.GAN:
    def penalty(*_: object) -> None:
        _OwnTanh.calls += 1

    return make_gan(dtype="float32", penalty=penalty)


@needs_numba
@pytest.mark.parametrize("make", [_own_layer, _own_method, _own_function])
def test_a_dry_run_calls_no_code_of_the_user(make: Callable[[], mg.GAN]) -> None:
    mg.use("numpy", "numba", replay=False)
    gan = make()
    for announced in (dry_run.announced_training(gan, lambda: REAL), dry_run.announced_step(gan, gan.draw(REAL))):
        before = _OwnTanh.calls
        with announced:
            assert compile_ahead.needed() == []
    assert _OwnTanh.calls == before


@pytest.mark.parametrize("name", sorted(mg.recipes.RECIPES))
def test_a_dry_run_of_each_recipe_calls_minigan_only(name: str) -> None:
    assert dry_run._is_known(mg.recipes.get(name).build(), {})


@needs_numba
def test_a_recorded_step_contains_no_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    mg.use("numpy", "numba", replay=True)
    gan, found = make_gan(dtype="float32", rich=True), []
    for _ in range(2):
        gan.train_step(REAL)
    note = compile_ahead.note

    def in_the_middle(name: str, dtype: np.dtype) -> bool:
        found.extend(compile_ahead.needed())
        return note(name, dtype)

    monkeypatch.setattr(compile_ahead, "note", in_the_middle)
    gan.train_step(REAL)
    assert found == []
    gan.train_step(REAL)
    assert gan.replay.fallback_reason is None


@needs_numba
def test_a_gan_that_cannot_be_copied_has_no_dry_run() -> None:
    gan = make_gan(dtype="float32")
    gan.generator.file = memoryview(b"")  # cannot be copied
    with dry_run.announced_training(gan, lambda: REAL):
        assert compile_ahead.needed() == []
