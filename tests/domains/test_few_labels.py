"""Pictures of which few labels are used: batches, held-out pictures, data that are refused, and short runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.idx_files import assert_one_sentence
from support.runs import write_idx

from minigan import recipes
from minigan.core.errors import UsageError
from minigan.data import mnist
from minigan.data.held_out import HeldOutDataset, with_held_out
from minigan.domains import semi_supervised
from minigan.gan import GAN
from minigan.gan.semi_supervised import UNLABELLED
from minigan.training.config import RunConfig

SGAN, FEATURES = recipes.get("mnist-sgan"), recipes.get("features")


def config(recipe: recipes.Recipe = SGAN, data_dir: Path | None = None, **changes: Any) -> RunConfig:
    return RunConfig(
        recipe=recipe.name, settings=recipe.resolve(changes), data_dir=str(data_dir) if data_dir else None, seed=3
    )


@pytest.fixture(scope="module")
def digits() -> HeldOutDataset:
    """The embedded digits without the last tenth, which is held out."""
    return with_held_out(mnist.embedded(), None)


@pytest.mark.parametrize("step", [0, 7])
def test_a_batch_has_labelled_pictures_first_and_is_pure_in_the_step(digits: HeldOutDataset, step: int) -> None:
    run = config(batch_size=40, labelled_share=0.25)
    batch = SGAN.domain.batches(digits, run)
    x, y = batch(step)
    again = SGAN.domain.batches(digits, run)(step)
    np.testing.assert_array_equal(x.numpy(), again[0].numpy())
    np.testing.assert_array_equal(y.numpy(), again[1].numpy())
    assert x.shape == (40, 784)
    assert (y.numpy()[:10] >= 0).all()
    assert (y.numpy()[10:] == UNLABELLED).all()
    few = SGAN.domain.labelled(digits, run.settings)
    known = {picture.tobytes(): label for picture, label in zip(few.images, few.labels, strict=True)}
    shown = SGAN.domain.present(x.numpy())
    assert [known[picture.tobytes()] for picture in shown[:10]] == y.numpy()[:10].tolist()


def test_labels_are_equally_many_of_each_class_and_each_is_seen_equally_often(digits: HeldOutDataset) -> None:
    run = config(labels=50, batch_size=40, labelled_share=0.25)
    few = SGAN.domain.labelled(digits, run.settings)
    np.testing.assert_array_equal(np.bincount(few.labels), np.full(10, 5))
    batch = SGAN.domain.batches(digits, run)
    seen = np.concatenate([batch(step)[1].numpy()[:10] for step in range(5)])
    np.testing.assert_array_equal(np.bincount(seen.astype(int)), np.full(10, 5), "an epoch of the labelled pictures")


def test_another_label_seed_draws_other_pictures_and_the_runs_seed_does_not(digits: HeldOutDataset) -> None:
    few = [SGAN.domain.labelled(digits, SGAN.resolve({"label_seed": seed})).images for seed in (0, 0, 1)]
    np.testing.assert_array_equal(few[0], few[1])
    assert (few[0] != few[2]).any()


def test_held_out_pictures_are_in_no_batch(tmp_path: Path) -> None:
    """In a folder with a test set this is held out, and all training pictures are used."""
    embedded = mnist.embedded()
    assert embedded.labels is not None
    for split, part in (("train", slice(0, 300)), ("t10k", slice(300, 350))):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", embedded.images[part, :, :, 0])
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", embedded.labels[part].astype(np.uint8))
    data = SGAN.domain.load(config(data_dir=tmp_path), progress=False)
    assert len(data) == 300
    np.testing.assert_array_equal(data.held_out.images, embedded.images[300:350])
    data = SGAN.domain.load(config(), progress=False)
    assert (len(data), len(data.held_out)) == (9000, 1000)


@pytest.mark.parametrize(
    ("recipe", "changes", "mention"),
    [
        (SGAN, {"labels": 105}, "expected equally many for each of the 10 classes, such as 100"),
        (SGAN, {"labels": 5}, "such as 10"),
        (SGAN, {"classes": 1, "labels": 5}, "at least 2 classes"),
        (SGAN, {"labelled_share": 1.0}, "expected between 0 and 1"),
        (SGAN, {"batch_size": 1}, "at least 2"),
        (FEATURES, {"packing": 2}, "leave packing and spectral_norm out"),
    ],
)
def test_impossible_settings_are_refused(recipe: recipes.Recipe, changes: dict[str, Any], mention: str) -> None:
    with pytest.raises(UsageError, match=mention) as error:
        recipe.resolve(changes)
    assert_one_sentence(error)


@pytest.mark.parametrize("recipe", [SGAN, FEATURES], ids=["sgan", "features"])
def test_data_without_enough_labels_are_refused(recipe: recipes.Recipe, tmp_path: Path) -> None:
    pictures = np.zeros((60, 28, 28), np.uint8)
    write_idx(tmp_path / "train-images-idx3-ubyte", pictures)
    run = config(recipe, tmp_path, labels=50)
    for labels, mention in (
        (None, "have no labels"),
        (np.zeros(60, np.uint8), "all of the class 0"),
        (np.arange(60, dtype=np.uint8) % 9, "9 numbers from 0 to 8"),
        (np.minimum(np.arange(60), 9).astype(np.uint8), "has 1 of class 0; ask for at most 10"),
    ):
        if labels is not None:
            write_idx(tmp_path / "train-labels-idx1-ubyte", labels)
        with pytest.raises(UsageError, match=mention) as error:
            recipe.domain.load(run, progress=False)
        assert_one_sentence(error)


def test_a_test_set_without_labels_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((60, 28, 28), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(60, dtype=np.uint8) % 10)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
    with pytest.raises(UsageError, match="test pictures") as error:
        SGAN.domain.load(config(data_dir=tmp_path, labels=50), progress=False)
    assert_one_sentence(error)


def evaluated(recipe: recipes.Recipe, gan: GAN, data: HeldOutDataset, settings: dict[str, Any]) -> dict[str, Any]:
    """The facts of the evaluation of `gan` on 500 held-out pictures."""

    @contextlib.contextmanager
    def progress(title: str) -> Iterator[Any]:
        yield lambda step, steps: None

    request: Any = SimpleNamespace(gan=gan, settings=settings, load=lambda: data, count=500, progress=progress)
    return recipe.domain.evaluate(request).facts


def test_a_short_run_classifies_most_digits(digits: HeldOutDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 120 steps the discriminator is far better than chance; the baseline is of the same network."""
    monkeypatch.setattr(semi_supervised, "_SUPERVISED_STEPS", 60)
    run = config(generator_widths=[64], discriminator_widths=[64, 64])
    gan = SGAN.build(steps=120, seed=0, generator_widths=[64], discriminator_widths=[64, 64])
    batch = SGAN.domain.batches(digits, run)
    for step in range(120):
        gan.train_step(batch(step))
    facts = evaluated(SGAN, gan, digits, run.settings)
    assert facts["accuracy"] > 0.5
    assert facts["errors"] == round((1 - facts["accuracy"]) * 500)
    assert facts["accuracy_supervised"] > 0.2, "after 60 steps"
    assert (facts["labels"], facts["test_pictures"]) == (100, 500)


def test_features_of_an_untrained_discriminator_are_better_than_pixels(digits: HeldOutDataset) -> None:
    changes = {"labels": 100, "discriminator_widths": [16, 16], "generator_widths": [8, 8], "generator_dense": 0}
    gan = FEATURES.build(seed=0, **changes)
    facts = evaluated(FEATURES, gan, digits, config(FEATURES, **changes).settings)
    assert facts["accuracy_untrained"] > facts["accuracy_pixels"] > 0.6
    assert abs(facts["accuracy"] - facts["accuracy_untrained"]) < 0.1, "it has not been trained either"


def test_a_restored_gan_takes_the_same_steps(digits: HeldOutDataset) -> None:
    """The noise in the discriminator goes on where it was."""
    changes = {"generator_widths": [8], "discriminator_widths": [8, 8], "batch_size": 12}
    batch = SGAN.domain.batches(digits, config(**changes))
    one, two = (SGAN.build(steps=8, seed=0, **changes) for _ in range(2))
    for step in range(4):
        one.train_step(batch(step))
    two.load_state(one.state())
    for step in range(4, 8):
        one.train_step(batch(step))
        two.train_step(batch(step))
    for name, values in one.state().items():
        np.testing.assert_array_equal(values, two.state()[name], name)
