"""mg.save, mg.load and mg.load_run: what is saved comes back bit by bit, and what does not fit changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_gan import make_conditional_gan, make_gan, real_batch

import minigan as mg
from minigan import GAN, cli, nn
from minigan.core.errors import CheckpointError, UsageError
from minigan.nn import Dense
from minigan.training.gan_loop import GANLoop
from minigan.training.trained_run import draw_samples
from minigan.training.trained_run import load_run as load_recipe_run

PARTS: dict[str, Callable[[GAN], Any]] = {
    "GAN": lambda gan: gan,
    "module": lambda gan: gan.discriminator,
    "optimizer": lambda gan: gan.generator_optimizer,
    "average": lambda gan: gan.ema,
}


def trained(steps: int = 3) -> GAN:
    gan = make_gan(rich=True, ema_decay=0.9)
    for step in range(steps):
        gan.train_step(real_batch(step))
    return gan


@pytest.mark.parametrize("kind", PARTS)
def test_what_is_loaded_is_what_was_saved(kind: str, tmp_path: Path) -> None:
    saved, into = PARTS[kind](trained()), PARTS[kind](make_gan(rich=True, ema_decay=0.9))
    path = mg.save(tmp_path / "more" / "file.safetensors", saved)
    assert mg.load(path, into) is into
    for name, array in saved.state().items():
        np.testing.assert_array_equal(into.state()[name], array)
    first = path.read_bytes()
    assert mg.save(path, into).read_bytes() == first  # equal numbers, equal bytes


def test_a_loaded_gan_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    gan = trained()
    other = mg.load(mg.save(tmp_path / "gan", gan), make_gan(rich=True, ema_decay=0.9))
    for step in range(3, 6):
        gan.train_step(real_batch(step)), other.train_step(real_batch(step))
    for name, array in gan.state().items():
        np.testing.assert_array_equal(other.state()[name], array)


def test_the_kind_is_checked(tmp_path: Path) -> None:
    for saved_kind, saved in PARTS.items():
        path = mg.save(tmp_path / saved_kind, saved(trained()))
        for kind, into in PARTS.items():
            if kind != saved_kind:
                with pytest.raises(
                    CheckpointError, match=r"holds the numbers of an? .*, not of an? .*; load it into such"
                ):
                    mg.load(path, into(trained()))


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    path, into = mg.save(tmp_path / "gan", trained()), make_gan()
    before = into.state()
    with pytest.raises(
        CheckpointError, match=r"does not fit this GAN: .* is (missing|not known here); build it as it was"
    ):
        mg.load(path, into)
    assert all(np.array_equal(array, before[name]) for name, array in into.state().items())


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = mg.save(tmp_path / "layer", Dense(2, 2, np.random.default_rng(0)))
    whole, into = path.read_bytes(), Dense(2, 2, np.random.default_rng(1))
    before = into.state()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError):
            mg.load(path, into)
    for length in (0, 7, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is damaged or not minigan's"):
            mg.load(path, into)
    assert all(np.array_equal(array, before[name]) for name, array in into.state().items())


def test_it_says_what_cannot_be_saved_or_loaded(tmp_path: Path) -> None:
    layer = Dense(2, 2, np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"Dense cannot be saved or loaded, expected a Module.*; make an object of it"):
        mg.save(tmp_path / "x", Dense)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a dict cannot be saved or loaded"):
        mg.save(tmp_path / "x", {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is a folder; name a file"):
        mg.save(tmp_path, layer)
    with pytest.raises(CheckpointError, match="there is no file"):
        mg.load(tmp_path / "x", layer)
    with pytest.raises(CheckpointError, match="is a folder; load_run loads the GAN of a run"):
        mg.load(tmp_path, layer)


# Runs.


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(GANLoop, "_save_final_pictures", lambda self, rows, notice: None)
    data = np.random.default_rng(0).integers(0, 256, (30, 2, 2), dtype=np.uint8)
    make_gan().fit(
        data, out=tmp_path / "run", steps=12, batch_size=4, checkpoint_every=4, log_every=3, sample_every=6,
        progress=False,
    )  # fmt: skip
    return tmp_path / "run"


def test_a_run_of_fit_is_loaded_into_the_gan_as_it_was_built(run: Path) -> None:
    gan = make_gan()
    loaded = mg.load_run(run, gan)
    assert loaded.gan is gan and gan.step == 12 and loaded.shape == (2, 2)
    assert loaded.history["step"].tolist() == [3, 6, 9, 12] and loaded.config["made_by"] == "gan.fit"
    samples = loaded.sample(5, seed=2)
    assert samples.shape == (5, 2, 2)
    np.testing.assert_array_equal(loaded.sample(3, seed=2), samples[:3])
    assert not np.array_equal(loaded.sample(5, seed=3), samples)
    assert mg.load_run(run, make_gan(), checkpoint=8).gan.step == 8


def test_samples_have_the_form_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes for bytes; a tanh in [-1, 1] becomes 0 to 255."""
    monkeypatch.setattr(GANLoop, "_save_final_pictures", lambda self, rows, notice: None)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 4, 4), dtype=np.uint8)

    def build() -> GAN:
        rng = np.random.default_rng(1)
        g = mg.nn.Sequential(Dense(3, 16, rng), mg.nn.Tanh())
        d = mg.nn.Sequential(Dense(16, 1, rng))
        return GAN(g, d, latent_size=3)

    build().fit(pixels, out=tmp_path / "run", steps=2, batch_size=4, progress=False)
    run = mg.load_run(str(tmp_path / "run"), build())
    samples = run.sample(4)
    values = run.gan.sample(run.gan.latent_from(mg.core.random.generator(1, "samples", 0), 4)).numpy()
    np.testing.assert_array_equal(samples, np.rint((values + 1) * 127.5).astype(np.uint8).reshape(4, 4, 4))


def test_a_run_of_a_recipe_needs_no_gan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GANLoop, "_save_final_pictures", lambda self, rows, notice: None)
    small = ["--set", "generator_widths=8", "--set", "discriminator_widths=8", "--set", "batch_size=8"]
    assert cli.main(["train", "ring", "--steps", "20", "--out", str(tmp_path / "run"), "--quiet", *small]) == 0
    loaded = mg.load_run(tmp_path / "run")
    assert loaded.shape == (2,) and loaded.gan.step == 20 and loaded.history[-1]["step"] == 20
    expected = draw_samples(load_recipe_run(tmp_path / "run"), 6, seed=4)
    np.testing.assert_array_equal(loaded.sample(6, seed=4), expected)
    with pytest.raises(UsageError, match="is a run of a recipe, which builds its GAN; leave gan out"):
        mg.load_run(tmp_path / "run", make_gan())


def test_a_run_that_cannot_be_loaded_says_so(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a run of gan\.fit, whose networks are your own code; .*load_run\("):
        mg.load_run(run)
    with pytest.raises(UsageError, match="there is no checkpoint '5'"):
        mg.load_run(run, make_gan(), checkpoint=5)
    gan = make_gan(rich=True)
    before = gan.state()
    with pytest.raises(CheckpointError, match="does not fit what it is loaded into"):
        mg.load_run(run, gan)
    assert all(np.array_equal(array, before[name]) for name, array in gan.state().items())
    with pytest.raises(CheckpointError, match="there is no run in"):
        mg.load_run(tmp_path / "nowhere")
    (run / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        mg.load_run(run, make_gan())
    with pytest.raises(UsageError, match="the number of samples must be a whole number from 1 up"):
        mg.training.Run(make_gan(), mg.domains.ArrayView((4,)), mg.training.History(), {}).sample(0)


def test_each_sample_of_a_run_has_its_condition(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    own = rng.uniform(-1, 1, (60, 4)), rng.standard_normal((60, 2))
    make_conditional_gan().fit(own, out=tmp_path / "run", steps=2, batch_size=4, progress=False)
    run = mg.load_run(tmp_path / "run", make_conditional_gan())
    assert run.sample(3, condition=own[1][:3]).shape == (3, 4)
    with pytest.raises(UsageError, match="there are 2 conditions for 3 samples"):
        run.sample(3, condition=own[1][:2])


def test_numbers_of_numpy_are_numbers_of_settings(tmp_path: Path) -> None:
    own = np.random.default_rng(2).standard_normal((60, 2))
    networks = (nn.mlp([3, 4, 2], 0), nn.mlp([2, 4, 1], 0))
    gan = GAN(*networks, latent_size=np.prod((3, 1)), seed=np.int64(1))
    gan.fit(
        own,
        out=tmp_path / "run",
        batch_size=np.int64(8),
        steps=np.int64(2),
        value_range=(np.float32(-1), np.float32(1)),
        progress=False,
    )
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (recorded["steps"], recorded["seed"], recorded["value_range"]) == (2, 1, [-1.0, 1.0])
    assert recorded["gan"]["latent_size"] == 3
