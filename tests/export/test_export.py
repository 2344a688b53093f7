"""Exported runs: the weights in other hands make the same pictures, and the model card says what is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from support import naive
from support.runs import train_small, write_photos

from minigan import cli, recipes
from minigan.export import EXAMPLES, onnx_model, save_weights
from minigan.export.card import card
from minigan.export.weights import layers
from minigan.gan.latents import DISTRIBUTIONS, draw
from minigan.nn import Module
from minigan.training.trained_run import load_run
from minigan_kernels.geometry import of_transposed

FILES = [
    "README.md", "config.json", "discriminator.safetensors", "generator.onnx", "generator.safetensors", "model.json",
]  # fmt: skip
SLOPE, EPS = 0.2, 1e-5


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return train_small(tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="module")
def exported(run) -> Path:
    pytest.importorskip("onnx", reason="needs onnx: pip install 'minigan[onnx]'")
    assert cli.main(["export", str(run), "--to", str(run / "plain")]) == 0
    return run / "plain"


@pytest.fixture(scope="module")
def dcgan(tmp_path_factory) -> tuple[Module, Path, np.ndarray]:
    """A small DCGAN's generator with weights as after a training, its exported file, and latent vectors."""
    changes = {"generator_widths": [5, 4], "discriminator_widths": [3, 4], "latent_size": 6}
    generator = recipes.get("mnist-dcgan").build(seed=0, dtype="float32", **changes).generator
    rng = np.random.default_rng(0)
    for parameter in generator.parameters().values():
        parameter.assign(rng.normal(0, 0.3, parameter.shape).astype(np.float32))
    for buffer in generator.buffers().values():
        buffer.assign(rng.uniform(0.5, 1.5, buffer.shape).astype(np.float32))
    path = tmp_path_factory.mktemp("dcgan") / "generator.safetensors"
    save_weights(path, generator)
    return generator, path, rng.normal(size=(EXAMPLES, 6)).astype(np.float32)


def test_the_folder_has_what_model_json_says(exported):
    assert sorted(path.name for path in exported.iterdir()) == FILES
    model = json.loads((exported / "model.json").read_text())
    assert model["recipe"] == "mnist-mlp"
    assert model["step"] == model["steps"] == 20
    assert model["files"].keys() == {*FILES} - {"README.md", "model.json"}
    for name, digest in model["files"].items():
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == digest
    for player in ("generator", "discriminator"):
        arrays = load_file(exported / f"{player}.safetensors")
        assert {name: list(array.shape) for name, array in arrays.items()} == model[player]["arrays"]


def test_the_settings_of_layers_are_there():
    """What the output depends on besides the numbers: without a batch norm's eps the pictures are others."""
    generator = recipes.get("mnist-dcgan").build(seed=0, dtype="float32", generator_widths=[5, 4]).generator
    by_name = {layer["name"]: layer for layer in layers(generator)}
    assert by_name["5"] == {"name": "5", "layer": "BatchNorm(5)", "features": 5, "eps": EPS}
    assert by_name["6"]["slope"] == SLOPE
    assert (by_name["7"]["kernel"], by_name["7"]["stride"], by_name["7"]["padding"]) == ((4, 4), (2, 2), 1)
    json.dumps(list(by_name.values()))


def test_the_average_is_exported_if_there_is_one(tmp_path, run):
    averaged = train_small(tmp_path / "averaged", widths="--set=average=0.5")
    assert cli.main(["export", str(averaged), "--no-onnx"]) == 0
    arrays, gan = load_file(averaged / "export" / "generator.safetensors"), load_run(averaged).gan
    assert all((arrays[name] == value).all() for name, value in gan.ema.network.state().items())
    assert "moving average" in (averaged / "export" / "README.md").read_text()
    assert cli.main(["export", str(run), "--no-onnx", "--to", str(tmp_path / "last")]) == 0
    assert "moving average" not in (tmp_path / "last" / "README.md").read_text()


def test_onnxruntime_draws_the_same_samples(run, exported):
    onnxruntime = pytest.importorskip("onnxruntime")
    gan = load_run(run).gan
    latent = gan.latent(7, "samples")
    session = onnxruntime.InferenceSession(exported / "generator.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"latent": latent.numpy()})
    assert np.abs(found - gan.sample(latent).numpy()).max() <= 1e-5


def test_the_code_in_the_card_draws_pictures(exported, monkeypatch):
    pytest.importorskip("onnxruntime")
    card = (exported / "README.md").read_text()
    (code,) = [block for block in card.split("```python\n")[1:] if "InferenceSession" in block]
    monkeypatch.chdir(exported)
    names: dict[str, Any] = {}
    exec(code.partition("```")[0], names)
    assert names["pixels"].shape == (8, 28, 28, 1)
    assert names["pixels"].dtype == np.uint8


def test_plain_numpy_makes_the_same_picture(dcgan):
    generator, path, latent = dcgan
    assert np.abs(dcgan_in_numpy(load_file(path), latent) - generator.predict(latent)).max() <= 1e-5


def dcgan_in_numpy(w: Mapping[str, np.ndarray], latent: np.ndarray) -> np.ndarray:
    """The generator from its file alone, by the stated layout: dense, dense, then twice a transposed convolution."""

    def normalised(x: np.ndarray, layer: int) -> np.ndarray:
        mean, variance = w[f"{layer}.running_mean"], w[f"{layer}.running_variance"]
        y = (x - mean) / np.sqrt(variance + EPS) * w[f"{layer}.scale"] + w[f"{layer}.shift"]
        return np.where(y > 0, y, SLOPE * y)

    def doubled(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return naive.input_grad(x, weight, of_transposed(x.shape[1:3], (4, 4), 2, 1, None))

    x = normalised(latent @ w["0.weight"], 1) @ w["3.weight"]
    x = normalised(x.reshape(len(x), 7, 7, -1), 5)
    x = normalised(doubled(x, w["7.weight"]), 8)
    return np.tanh(doubled(x, w["10.weight"]) + w["10.bias"])


def test_pytorch_makes_the_same_picture(dcgan, monkeypatch):
    """With the code that docs/export.md shows."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'minigan[bench]'")
    generator, path, latent = dcgan
    page = (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    (code,) = [block.partition("```")[0] for block in page.split("```py\n")[1:] if "import torch" in block]
    monkeypatch.chdir(path.parent)
    names: dict[str, Any] = {}
    exec(code, names)
    with torch.no_grad():
        pictures = names["generator"](torch.from_numpy(latent)).permute(0, 2, 3, 1).numpy()
    assert np.abs(pictures - generator.predict(latent)).max() <= 1e-5


def test_the_card_has_the_scores_and_the_licence(run, exported, tmp_path):
    card = (exported / "README.md").read_text()
    assert "minigan evaluate RUN" in card
    assert "CC BY-SA 3.0" in card
    (run / "scores.json").write_text(json.dumps({"step": 10, "mean_confidence": 0.5, "modes": {"covered": 7}}))
    assert cli.main(["export", str(run), "--no-onnx", "--to", str(tmp_path / "scored")]) == 0
    (run / "scores.json").unlink()
    card = (tmp_path / "scored" / "README.md").read_text()
    assert "| mean confidence | 0.5 |" in card
    assert "| modes: covered | 7 |" in card
    assert "of step 10, not of the exported one" in card


def test_a_folder_that_is_only_called_mnist_gets_no_licence(tmp_path):
    photos = write_photos(tmp_path / "mnist")
    small = ["--steps", "1", "--quiet", "--set", "batch_size=4", "--out", str(tmp_path / "run")]
    assert cli.main(["train", "mnist-mlp", "--data-dir", str(photos), *small]) == 0
    assert cli.main(["export", str(tmp_path / "run"), "--no-onnx"]) == 0
    card = (tmp_path / "run" / "export" / "README.md").read_text()
    assert "their own licence applies" in card
    assert "CC BY-SA" not in card


def test_folders_are_numbered_unless_named(run, tmp_path, capsys):
    for name in ("export", "export-2"):
        assert cli.main(["export", str(run), "--no-onnx", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["out"] == str(run / name)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    assert cli.main(["export", str(run), "--no-onnx", "--to", str(tmp_path / "taken")]) == 2
    assert "choose another one with --to" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main(["export", str(run), "--no-onnx", "--to", str(tmp_path / "empty")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "taken"]


def test_a_missing_package_is_said_before_any_work(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert cli.main(["export", str(run), "--to", str(tmp_path / "out")]) == 2
    assert "pip install 'minigan[onnx]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert onnx_model.EXAMPLES == EXAMPLES


def test_a_run_of_own_code_is_refused(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"made_by": "GAN.fit", "steps": 1, "first_step": 0}))
    assert cli.main(["export", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "code of your own" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_card_draws_latent_vectors_as_minigan_does(exported, distribution):
    """Quantiles of the numbers that its line of code draws are those of `latents.draw`."""
    model = json.loads((exported / "model.json").read_text())
    model["latent"] = {"size": 10_000, "distribution": distribution}
    (line,) = [line for line in card(model).splitlines() if line.startswith("latent = ")]
    drawn: dict[str, np.ndarray] = {}
    exec(line, {"np": np}, drawn)
    expected = draw(distribution, np.random.default_rng(1), (8, 10_000), np.float32)
    at = [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1] if distribution == "uniform" else [0.01, 0.25, 0.5, 0.75, 0.99]
    np.testing.assert_allclose(np.quantile(drawn["latent"], at), np.quantile(expected, at), atol=0.06)
