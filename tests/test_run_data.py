"""The data of a run, found again: its pixels decide, wherever they lie and whatever lies beside them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from runs import SMALL

from minigan import cli
from minigan.data import Dataset, mnist
from minigan.data.mixtures import get
from minigan.data.points import Points

SIDE = 6
MORE = ["train", "--resume", "run", "--steps", "25", "--quiet"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def pixels(seed: int = 0, count: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def trained_on(folder: str, labels: bool = False) -> None:
    write_idx(Path(folder, "train-images"), pixels())
    if labels:
        write_idx(Path(folder, "train-labels"), np.arange(40, dtype=np.uint8) % 3)
    assert cli.main(["train", "--data-dir", folder, "--out", "run", "--quiet", *SMALL]) == 0


def error(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("minigan: ") and line[-1] in ".?"
    return line


def test_labels_may_come_and_go(capsys):
    trained_on("data")
    write_idx(Path("data/train-labels"), np.zeros(40, np.uint8))
    assert cli.main(MORE) == 0
    Path("data/train-labels").unlink()
    assert cli.main([*MORE, "--steps", "26"]) == 0


def test_other_pixels_are_other_data_whatever_their_labels(capsys):
    trained_on("data", labels=True)
    write_idx(Path("data/train-images"), pixels(seed=1))
    assert cli.main(MORE) == 1
    assert "is not what run was trained on; name the folder that holds it with --data-dir" in error(capsys)


def test_the_same_bytes_in_another_shape_are_other_data(capsys):
    trained_on("data")
    write_idx(Path("data/train-images"), pixels().reshape(40, SIDE // 2, SIDE * 2))
    assert cli.main(MORE) == 1
    assert "is not what run was trained on" in error(capsys)


def test_a_folder_that_is_gone_is_asked_for_by_option(capsys):
    trained_on("data")
    Path("data").rename("datb")  # a near name, and not to be suggested: only the option can mend it
    assert cli.main(MORE) == 1
    told = error(capsys)
    assert "does not exist any more; name the folder that holds them now with --data-dir" in told
    assert "did you mean" not in told
    assert cli.main([*MORE, "--data-dir", "datb"]) == 0
    assert json.loads(Path("run/config.json").read_text())["data_dir"] == str(Path("datb").absolute())
    assert cli.main([*MORE, "--data-dir", "datc"]) == 1  # this name was typed
    assert "did you mean 'datb'?" in error(capsys)


def test_a_folder_takes_the_place_of_a_download_and_the_other_way_round(monkeypatch):
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


@pytest.mark.parametrize("labels", [True, False])
def test_a_run_of_an_earlier_version_goes_on(labels):
    """Its configuration holds one digest only, over pixels and labels."""
    trained_on("data", labels)
    config = json.loads(Path("run/config.json").read_text())
    del config["data"]["pixels_sha256"]
    Path("run/config.json").write_text(json.dumps(config))
    if not labels:
        write_idx(Path("data/train-labels"), np.zeros(40, np.uint8))
    assert cli.main(MORE) == 0


def test_what_a_description_matches():
    images = pixels()[..., None]
    data = Dataset("one", images, None, "a test")
    for same in (data, Dataset("two", images, np.zeros(40, np.uint8), "elsewhere")):
        assert data.matches(same.describe()) and same.matches(data.describe())
    for other in (Dataset("one", images[1:], None, "a test"), Dataset("one", images[:, ::-1], None, "a test")):
        assert not data.matches(other.describe())
    assert not data.matches({}) and not data.matches({"image_shape": "28", "sha256": data.sha256})
    assert Points(get("ring")).matches(Points(get("ring")).describe())
    assert not Points(get("ring")).matches(Points(get("grid")).describe())
