"""`minigan evaluate` compares pictures without labels, too, in features by choice, and says what it cannot compare."""

from __future__ import annotations

import json
import re
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from support.runs import COLOUR, write_photos

from minigan import cli, recipes
from minigan.data import Dataset
from minigan.domains.picture_comparison import compare_pictures
from minigan.domains.reference import Reference
from minigan.metrics.embeddings import PrincipalComponents

PHOTOS = 60
MEASURES = [
    "frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage", "two_sample_accuracy",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of colour pictures 8 x 8, and with these pictures."""
    folder = tmp_path_factory.mktemp("photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(recipes.RECIPES, COLOUR.name, COLOUR)
        write_photos(Path("photos"), PHOTOS)
        options = ["--set", "image_size=8", "--set", "channels=3", "--steps", "5", "--quiet"]
        assert cli.main(["train", "colour", "--data-dir", "photos", "--out", "run", *options]) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    monkeypatch.setitem(recipes.RECIPES, COLOUR.name, COLOUR)


def evaluated(capsys: pytest.CaptureFixture[str], *options: str) -> dict:
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--json", "--quiet", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_pictures_without_labels_are_compared_with_their_halves(capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(capsys)
    assert found["pictures"] == PHOTOS // 2 and list(found["measures"]) == ["pca", "random"]
    for measures in found["measures"].values():
        assert list(measures) == MEASURES
        assert all(one.keys() == {"value", "interval", "floor", "samples"} for one in measures.values())
        assert measures["frechet_distance"]["samples"] == PHOTOS // 2
        assert measures["frechet_distance"]["value"] > measures["frechet_distance"]["floor"] > 0
    assert found["memorisation"]["share"] == 0
    scores = json.loads(Path("run/scores.json").read_text())
    assert {"run": "run", **scores} == found == evaluated(capsys)


def test_the_table_says_what_is_beside_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "run", "--features", "pca"]) == 0
    told = capsys.readouterr().out
    assert re.match(r"30 samples of run, step 5\n\n\d+ principal components of the real pictures' pixels\n", told)
    assert re.search(r"value +95% interval +real against real +samples\nFrechet distance +[\d.]+ +[\d.]+ to ", told)
    assert "nearest training picture: median distance" in told and "random" not in told and "FID" not in told


def test_other_pictures_to_compare_with(capsys: pytest.CaptureFixture[str]) -> None:
    """In a file of arrays, in the shape of the samples; then the memorisation is beside pictures held out."""
    rng = np.random.default_rng(0)
    np.save("other.npy", rng.integers(0, 256, (90, 8, 8, 3), dtype=np.uint8))
    found = evaluated(capsys, "--against", "other.npy", "--features", "pca", "--n", "45")
    assert found["measures"]["pca"]["precision"]["samples"] == 45
    np.save("floats.npy", np.load("other.npy") / np.float32(255))
    assert evaluated(capsys, "--against", "floats.npy", "--features", "pca", "--n", "45") == found
    own = evaluated(capsys, "--features", "pca", "--n", "45")
    assert found["memorisation"]["distance"] == own["memorisation"]["distance"]
    assert found["memorisation"]["real_distance"] != own["memorisation"]["real_distance"]
    shutil.copytree("photos", "again", dirs_exist_ok=True)
    same = evaluated(capsys, "--against", "again", "--features", "pca", "--n", "45")
    assert same["measures"] == own["measures"]


def test_features_of_an_onnx_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = tmp_path / "means.onnx"
    write_mean_model(onnx, model, [None, 3, 4, 5])  # pictures are resized to 4 x 5
    found = evaluated(capsys, "--features", str(model))
    assert list(found["measures"]) == ["onnx"] and sha256(model.read_bytes()).hexdigest() in found["features"]["onnx"]
    write_mean_model(onnx, model, [None, 2, 4, 4])
    refused(capsys, "takes tensor(float) [None, 2, 4, 4]", "--features", str(model))
    model.write_bytes(b"no model")
    refused(capsys, "cannot be read as an ONNX model", "--features", str(model))
    refused(capsys, "there is no missing.onnx", "--features", "missing.onnx")


def write_mean_model(onnx: object, path: Path, shape: list) -> None:
    """A model of the means of pictures (N, C, H, W) over both axes."""
    from onnx import TensorProto, helper, save

    pictures = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape)
    means = helper.make_tensor_value_info("means", TensorProto.FLOAT, [None, shape[1], 1, 1])
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["pictures"], ["means"])], "g", [pictures], [means]
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def test_onnxruntime_may_be_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    refused(capsys, "needs the package onnxruntime; pip install", "--features", str(tmp_path / "model.onnx"))


def refused(capsys: pytest.CaptureFixture[str], part: str, *options: str, code: int = 2) -> None:
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--quiet", *options]) == code
    said = capsys.readouterr()
    assert part in said.err and said.err.startswith("minigan: ") and said.err.count("\n") == 1 and not said.out


def test_what_cannot_be_compared_is_said_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("small.npy", np.zeros((90, 8, 9, 3), np.uint8))
    np.save("few.npy", np.zeros((39, 8, 8, 3), np.uint8))
    np.save("objects.npy", np.array([{}, None]), allow_pickle=True)
    refused(capsys, "small.npy are 8 x 9 colour, expected 8 x 8 colour", "--against", "small.npy")
    refused(capsys, "holds 39 pictures, expected at least 40", "--against", "few.npy")
    refused(capsys, "objects.npy holds Python objects", "--against", "objects.npy", code=1)
    refused(capsys, "nowhere does not exist", "--against", "nowhere", code=1)
    refused(capsys, "there are no features 'inception'", "--features", "inception")
    refused(capsys, "learns from labels, and", "--features", "classifier")
    refused(capsys, "--n is 19, expected at least 20", "--n", "19")


def test_points_are_not_compared_as_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["train", "ring", "--steps", "1", "--out", str(tmp_path / "ring"), "--quiet"]) == 0
    assert cli.main(["evaluate", str(tmp_path / "ring"), "--features", "pca"]) == 2
    assert "--features compares how pictures are distributed" in capsys.readouterr().err


def test_copies_of_the_training_pictures_are_told() -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), dtype=np.uint8)
    real = Reference(images, False, [PrincipalComponents.of(images)])
    copied = compare_pictures(real, images[:100], Dataset(images), None)
    assert copied.facts["memorisation"]["share"] == 1 and "may repeat training pictures" in copied.lines[-1]
    new = np.random.default_rng(1).integers(0, 256, (100, 8, 8, 1), dtype=np.uint8)
    found = compare_pictures(real, new, Dataset(images), None)
    assert found.facts["memorisation"]["share"] < 0.05 and "may repeat" not in found.lines[-1]
