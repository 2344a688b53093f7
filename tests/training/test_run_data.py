"""The data of a resumed run: they must have the same pixels, in whatever folder and with whatever labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.runs import SMALL, write_idx

from minigan import cli
from minigan.data import Dataset, mnist, resized
from minigan.data.mixtures import get
from minigan.data.points import Points
from minigan.training import RunFolder, load_config
from minigan.training.run_data import reload_data

SIDE = 6
MORE = ["train", "--resume", "run", "--steps", "25", "--quiet"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def pixels(seed: int = 0, count: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)


def trained_on(folder: str, labels: bool = False) -> None:
    write_idx(Path(folder, "train-images"), pixels())
    if labels:
        write_idx(Path(folder, "train-labels"), np.arange(40, dtype=np.uint8) % 3)
    assert cli.main(["train", "--data-dir", folder, "--out", "run", "--quiet", *SMALL]) == 0


def error(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("minigan: ") and line[-1] in ".?"
    return line


@pytest.mark.slow
def test_labels_may_be_added_and_removed(capsys):
    trained_on("data")
    write_idx(Path("data/train-labels"), np.zeros(40, np.uint8))
    assert cli.main(MORE) == 0
    Path("data/train-labels").unlink()
    assert cli.main([*MORE, "--steps", "26"]) == 0


@pytest.mark.slow
def test_other_pixels_are_other_data_even_with_the_same_labels(capsys):
    trained_on("data", labels=True)
    write_idx(Path("data/train-images"), pixels(seed=1))
    assert cli.main(MORE) == 1
    assert "is not what run was trained on; name the folder that holds it with --data-dir" in error(capsys)


@pytest.mark.slow
def test_the_same_bytes_in_another_shape_are_other_data(capsys):
    trained_on("data")
    write_idx(Path("data/train-images"), pixels().reshape(40, SIDE // 2, SIDE * 2))
    assert cli.main(MORE) == 1
    assert "is not what run was trained on" in error(capsys)


@pytest.mark.slow
def test_a_missing_folder_of_data_must_be_named_by_option(capsys):
    trained_on("data")
    Path("data").rename("datb")  # a similar name must not be suggested: only the option helps
    assert cli.main(MORE) == 1
    told = error(capsys)
    assert "does not exist any more; name the folder that holds them now with --data-dir" in told
    assert "did you mean" not in told
    assert cli.main([*MORE, "--data-dir", "datb"]) == 0
    assert json.loads(Path("run/config.json").read_text())["data_dir"] == str(Path("datb").absolute())
    assert cli.main([*MORE, "--data-dir", "datc"]) == 1  # this name was typed, so a similar one is suggested
    assert "did you mean 'datb'?" in error(capsys)


@pytest.mark.slow
def test_a_folder_replaces_a_download_and_a_download_a_folder(monkeypatch):
    write_idx(Path("cache/train-images"), pixels())
    write_idx(Path("copy/pictures"), pixels())
    monkeypatch.setattr(mnist, "download", lambda **_: Path("cache"))
    assert cli.main(["train", "--download", "--out", "run", "--quiet", *SMALL]) == 0
    assert cli.main([*MORE, "--data-dir", "copy"]) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert (config["download"], config["data_dir"]) == (False, str(Path("copy").absolute()))
    assert cli.main([*MORE, "--steps", "26", "--download"]) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert (config["download"], config["data_dir"]) == (True, None)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [True, False])
def test_a_run_of_an_earlier_version_can_be_resumed(labels):
    """Its configuration has only one digest, of pixels and labels."""
    trained_on("data", labels)
    config = json.loads(Path("run/config.json").read_text())
    del config["data"]["pixels_sha256"]
    Path("run/config.json").write_text(json.dumps(config))
    if not labels:
        write_idx(Path("data/train-labels"), np.zeros(40, np.uint8))
    assert cli.main(MORE) == 0


TINY = ["--steps", "2", "--quiet", "--set", "generator_widths=2,2", "--set", "discriminator_widths=2,2"]
TINY += ["--set", "batch_size=4", "--set", "generator_dense=2", "--set", "discriminator_dense=2"]


def recorded() -> dict:
    return json.loads(Path("run/config.json").read_text())


@pytest.mark.slow
def test_settings_resize_idx_files():
    write_idx(Path("data/train-images"), np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None], (40, 9, 12)))
    shape = ["--set", "image_size=8", "--set", "channels=3"]
    assert cli.main(["train", "mnist-dcgan", "--data-dir", "data", "--out", "run", *TINY, *shape]) == 0
    assert recorded()["data"]["image_shape"] == [8, 8, 3]
    assert cli.main(["train", "--resume", "run", "--steps", "3", "--quiet"]) == 0
    assert cli.main(["sample", "run", "--n", "2", "--out", "two.npz"]) == 0
    assert np.load("two.npz")["images"].shape == (2, 8, 8, 3)
    data = reload_data(load_config(Path("run/config.json")), RunFolder(Path("run")))
    np.testing.assert_array_equal(data.images[:, 3, 5, 1], np.arange(40))  # each picture is of one grey


def test_idx_files_keep_their_shape_by_default():
    write_idx(Path("data/train-images"), np.zeros((40, 8, 12), np.uint8))
    assert cli.main(["train", "mnist-dcgan", "--data-dir", "data", "--out", "run", *TINY]) == 0
    assert recorded()["data"]["image_shape"] == [8, 12, 1]
    assert recorded()["settings"]["image_size"] == recorded()["settings"]["channels"] == 0


@pytest.mark.slow
def test_settings_resize_digits():
    arguments = ["train", "mnist-dcgan", "--out", "run", *TINY, "--set", "image_size=12"]
    assert cli.main(arguments) == 0
    assert recorded()["data"]["image_shape"] == [12, 12, 1]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--resume", "--config"])
def test_sizes_that_an_earlier_version_recorded_but_ignored_have_no_effect(how):
    """They were its defaults, 28 and 1, whatever the shape of the IDX files."""
    write_idx(Path("data/train-images"), np.zeros((40, 8, 12), np.uint8))
    assert cli.main(["train", "mnist-dcgan", "--data-dir", "data", "--out", "run", *TINY]) == 0
    config = recorded()
    config["settings"] |= {"image_size": 28, "channels": 1}
    del config["data"]["pixels_sha256"]
    Path("run/config.json").write_text(json.dumps(config))
    if how == "--resume":
        assert cli.main(["train", "--resume", "run", "--steps", "3", "--quiet"]) == 0
    else:
        Path("run").rename("old")
        assert cli.main(["train", "--config", "old/config.json", "--out", "run", "--quiet"]) == 0
    assert recorded()["data"]["image_shape"] == [8, 12, 1]


@pytest.mark.slow
def test_a_size_written_into_a_configuration_by_hand_is_used():
    write_idx(Path("data/train-images"), np.zeros((40, 8, 12), np.uint8))
    assert cli.main(["train", "mnist-dcgan", "--data-dir", "data", "--out", "run", *TINY]) == 0
    config = recorded()
    config["settings"]["image_size"] = 16
    Path("edited.json").write_text(json.dumps(config))
    Path("run").rename("old")
    assert cli.main(["train", "--config", "edited.json", "--out", "run", "--quiet"]) == 0
    assert recorded()["data"]["image_shape"] == [16, 16, 1]


def test_resized_images_keep_their_labels_and_their_order():
    slope = np.broadcast_to(np.arange(0, 240, 10, dtype=np.uint8), (3, 24, 24))[..., None]
    data = Dataset(slope, np.array([2, 0, 1], np.uint8), name="slopes", source="a test")
    half = resized(data, (12, 12, 3))
    np.testing.assert_array_equal(half.labels, data.labels)
    np.testing.assert_allclose(half.images[0, 5, 2:-2, 2], np.arange(45, 200, 20), rtol=0, atol=1)
    assert resized(data, data.image_shape) is data


def test_which_data_match_a_description():
    images = pixels()[..., None]
    data = Dataset(images, name="one", source="a test")
    for same in (data, Dataset(images, np.zeros(40, np.uint8), name="two", source="elsewhere")):
        assert data.matches(same.describe()) and same.matches(data.describe())
    for other in (Dataset(images[1:], name="one"), Dataset(images[:, ::-1], name="one")):
        assert not data.matches(other.describe())
    assert not data.matches({}) and not data.matches({"image_shape": "28", "sha256": data.sha256})
    assert Points(get("ring")).matches(Points(get("ring")).describe())
    assert not Points(get("ring")).matches(Points(get("grid")).describe())
