"""Conditional recipes from the command line: training, resumption, samples of a class, and labels that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import write_idx

from minigan import cli
from minigan.data import mnist
from minigan.domains import LabelledImageDomain
from minigan.training.trained_run import draw_samples, load_run

TINY = [
    "--quiet", "--sample-every", "4", "--checkpoint-every", "4", "--set", "batch_size=8",
    "--set", "generator_widths=8,9", "--set", "discriminator_widths=8,7", "--set", "schedule_steps=8",
]  # fmt: skip
NAMES = ("mnist-cgan", "mnist-acgan")


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """120 digits and their labels as IDX files."""
    folder, data = tmp_path_factory.mktemp("digits") / "idx", mnist.embedded()
    assert data.labels is not None
    write_idx(folder / "train-images-idx3-ubyte", data.images[:120, ..., 0])
    write_idx(folder / "train-labels-idx1-ubyte", data.labels[:120].astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory, digits) -> dict[str, Path]:
    """A run of eight steps of each recipe."""
    finished = {name: tmp_path_factory.mktemp("runs") / name for name in NAMES}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LabelledImageDomain, "compare", lambda self, request: None)
        for name, folder in finished.items():
            arguments = ["--out", str(folder), "--data-dir", str(digits), "--steps", "8", *TINY]
            assert cli.main(["train", name, *arguments]) == 0
    return finished


@pytest.fixture(autouse=True)
def _own_folder_without_comparisons_that_take_long(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LabelledImageDomain, "compare", lambda self, request: None)


def sentence(capsys, *arguments: str) -> str:
    """The one sentence of a command that is refused."""
    capsys.readouterr()
    assert cli.main(list(arguments)) == 2
    err = capsys.readouterr().err
    assert err.startswith("minigan: ") and err.count("\n") == 1
    return err


def arrays(*arguments: str) -> dict[str, np.ndarray]:
    assert cli.main(["sample", *arguments, "--out", "x.npz"]) == 0
    with np.load("x.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_leaves_pictures_by_class_and_its_scores(runs, name):
    with Image.open(runs[name] / "samples" / "step_000008.png") as picture:
        assert picture.width * (8 * 30 + 2) == picture.height * (10 * 30 + 2)  # 8 rows, a column for each class
    scores = json.loads((runs[name] / "scores.json").read_text())
    assert scores["step"] == 8 and len(scores["as_asked_of_class"]) == 10
    assert 0 <= scores["as_asked"] <= 1 and 0 <= scores["spread"] < scores["spread_real"] < 0.3
    assert (runs[name] / "classes.png").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_ends_with_the_same_bits(runs, digits, name):
    arguments = [name, "--out", "half", "--data-dir", str(digits), "--steps", "8", *TINY]
    assert cli.main(["train", *arguments[:5], "--steps", "4", *TINY]) == 0
    assert cli.main(["train", "--resume", "half", "--steps", "8", "--quiet"]) == 0
    for file in ("checkpoint.safetensors", "samples/step_000008.png"):
        assert Path("half", file).read_bytes() == (runs[name] / file).read_bytes()


def test_samples_have_the_class_that_is_named_and_say_it(runs):
    run = load_run(runs["mnist-cgan"])
    sevens = arrays(str(runs["mnist-cgan"]), "--class", "7", "--n", "12", "--seed", "3")
    assert sevens["labels"].tolist() == [7] * 12
    np.testing.assert_array_equal(sevens["images"], draw_samples(run, 12, 3, np.full(12, 7))[..., 0])
    in_turn = arrays(str(runs["mnist-cgan"]), "--seed", "3")
    assert in_turn["labels"].tolist() == list(range(10)) * 8
    np.testing.assert_array_equal(in_turn["images"], draw_samples(run, 80, 3, in_turn["labels"])[..., 0])
    latent = run.gan.latent_from(np.random.default_rng(0), 2)
    one, other = (run.gan.sample(latent, np.full(2, label)).numpy() for label in (3, 8))
    assert (one != other).any(axis=1).all()


def test_a_path_keeps_its_class(runs):
    drawn = arrays(str(runs["mnist-cgan"]), "--interpolate", "5")
    np.testing.assert_array_equal(drawn["labels"].reshape(10, 5), np.arange(10)[:, None].repeat(5, axis=1))
    assert set(arrays(str(runs["mnist-cgan"]), "--interpolate", "3", "--class", "4")["labels"]) == {4}


def test_real_and_nearest_examples_stand_beside_samples_of_a_class(runs, digits):
    labels = mnist.embedded().labels
    assert labels is not None
    images = mnist.embedded().images[:120, ..., 0]
    drawn = arrays(str(runs["mnist-cgan"]), "--real", "--class", "6", "--n", "10")
    assert drawn["labels"].tolist() == [6] * 10
    for picture in drawn["real_images"]:
        assert labels[np.flatnonzero((images == picture).all(axis=(1, 2)))[0]] == 6
    nearest = arrays(str(runs["mnist-cgan"]), "--nearest", "2", "--n", "10")
    assert nearest["places"].shape == (10, 2) and nearest["labels"].tolist() == list(range(10))


def test_a_picture_of_a_class_has_its_own_name(runs):
    for arguments, name in (
        ([], "samples-1.png"),
        (["--class", "7"], "samples-1-class_7.png"),
        (["--class", "7", "--checkpoint", "4"], "samples-1-step_000004-class_7.png"),
    ):
        assert cli.main(["sample", str(runs["mnist-cgan"]), *arguments]) == 0
        assert (runs["mnist-cgan"] / name).exists()


def test_a_new_run_starts_from_the_weights_of_another(runs, digits):
    base = ["--data-dir", str(digits), "--steps", "1", *TINY]
    assert cli.main(["train", "mnist-cgan", "--out", "b", "--init-from", str(runs["mnist-cgan"]), *base]) == 0
    weights = [
        load_run(run, step).gan.generator.parameters() for run, step in ((runs["mnist-cgan"], "8"), (Path("b"), "0"))
    ]
    assert all(np.array_equal(weights[1][name].numpy(), value.numpy()) for name, value in weights[0].items())


def test_a_class_that_is_not_there_is_refused(runs, capsys):
    for label in ("10", "-1"):
        assert f"no class {label}" in sentence(capsys, "sample", str(runs["mnist-cgan"]), "--class", label)


def test_a_class_of_a_run_without_classes_is_refused(tmp_path, capsys):
    small = ["--steps", "1", "--quiet", "--set", "generator_widths=4", "--set", "discriminator_widths=4"]
    assert cli.main(["train", "mnist-mlp", "--out", "plain", *small]) == 0
    assert "knows no classes" in sentence(capsys, "sample", "plain", "--class", "7")


@pytest.mark.parametrize(
    ("labels", "more", "part"),
    [
        (None, [], "have no labels"),
        (np.full(40, 3, np.uint8), [], "are all of the class 3"),
        (np.arange(40, dtype=np.uint8) % 4, [], "are 4 numbers from 0 to 3, expected all of 0 to 9"),
        (np.arange(40, dtype=np.uint8) % 4, ["--set", "classes=1"], "expected from 2 to 1,000"),
    ],
)
def test_data_without_the_classes_are_refused_before_any_work(labels, more, part, capsys):
    write_idx(Path("d", "train-images-idx3-ubyte"), np.zeros((40, 28, 28), np.uint8))
    if labels is not None:
        write_idx(Path("d", "train-labels-idx1-ubyte"), labels)
    assert part in sentence(capsys, "train", "mnist-cgan", "--data-dir", "d", "--out", "run", *TINY, *more)
    assert not Path("run").exists()


def test_pictures_with_other_labels_are_not_the_data_of_a_run(runs, digits, capsys):
    data = mnist.embedded()
    assert data.labels is not None
    write_idx(Path("d", "train-images-idx3-ubyte"), data.images[:120, ..., 0])
    write_idx(Path("d", "train-labels-idx1-ubyte"), ((data.labels[:120] + 1) % 10).astype(np.uint8))
    capsys.readouterr()
    assert cli.main(["sample", str(runs["mnist-cgan"]), "--real", "--data-dir", "d"]) == 1
    assert "is not what" in capsys.readouterr().err


def test_settings_that_a_recipe_decides_itself_are_refused_and_named(capsys):
    err = sentence(capsys, "train", "mnist-acgan", "--set", "loss=hinge", "--out", "run")
    assert "the recipe 'mnist-acgan' decides 'loss' itself" in err
    assert cli.main(["recipes", "mnist-acgan"]) == 0
    assert "decides loss, packing, label_smoothing itself" in " ".join(capsys.readouterr().out.split())
