"""Training on CuPy by the CUDA kernels: the numbers of NumPy within rounding, and the same bits whatever interrupts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from support.small_gan import make_gan, real_batch

import minigan as mg
from minigan import cli
from minigan.core import backend
from minigan.data import mnist
from minigan.gan import losses, penalties
from minigan.training import benchmark, load_config
from minigan.training.trained_run import load_run

STEPS = 50
SETTINGS = ["generator_widths=16", "discriminator_widths=16", "frequencies=8", "batch_size=16"]  # with R1 and an EMA


@pytest.fixture(autouse=True)
def _cupy(cupy: ModuleType) -> None:
    """CuPy in every test."""


def _train(folder: Path, *options: str, kernels: str = "cuda") -> Path:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    name = "numpy" if kernels in ("reference", "numba") else "cupy"
    device = ["--backend", name, "--kernels", kernels]
    every = ["--dtype", "float64", "--sample-every", "25", "--checkpoint-every", "20"]
    arguments = ["train", "ring", "--steps", str(STEPS), *settings, *every, *device, "--quiet", *options]
    assert cli.main([*arguments, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By name, the runs that several tests look at; each is made at first use."""
    return _Runs(tmp_path_factory.mktemp("runs"))


class _Runs(dict[str, Path]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, kernels: str) -> Path:
        self[kernels] = _train(self._folder / kernels, kernels=kernels)
        return self[kernels]


def _files(run: Path) -> dict[str, bytes]:
    """Every file of a run but config.json, which records the steps asked for, and those with wall times."""
    paths = [
        path
        for path in run.rglob("*")
        if path.is_file() and path.name not in ("config.json", "metrics.csv", "report.html")
    ]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def _arrays(run: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(run / "checkpoint.safetensors")


# One step.


@pytest.mark.parametrize("loss", sorted(losses.LOSSES))
def test_steps_agree_with_numpy(loss: str) -> None:
    """In float64, whose rounding two steps do not amplify to a part in 10^9.

    The gradient of a bias before batch norm is rounding alone, some 1e-17, which Adam divides by its eps of 1e-8.
    """

    def results() -> list[np.ndarray]:
        gan = make_gan(loss, rich=True, penalty=penalties.get("r1+dragan") if loss == "hinge" else None)
        reports = [gan.train_step(real_batch(step)) for step in range(2)]
        return [*(value.numpy() for report in reports for value in report.values()), *gan.state().values()]

    mg.use("numpy", "reference")
    expected = results()
    mg.use("cupy", "cuda")
    for one, two in zip(results(), expected, strict=True):
        assert (one.shape, one.dtype) == (two.shape, two.dtype)
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)


def test_both_backends_see_the_same_draws() -> None:
    def draws() -> list[bytes]:
        gan = make_gan("wasserstein", rich=True, penalty=penalties.wgan_gp, ema_decay=0.9)
        inputs = gan.draw(real_batch(0))
        (update,) = inputs.updates
        masks = [mask for drawn in inputs.masks for mask in drawn.arrays]
        tensors = [update.latent, update.penalty_draws, update.update_scalars, inputs.update_scalars, *masks]
        return [tensor.numpy().tobytes() for tensor in tensors]

    mg.use("numpy", "reference")
    expected = draws()
    mg.use("cupy", "cuda")
    assert draws() == expected


def test_arrays_are_copied_to_the_device_at_once(standin: ModuleType) -> None:
    library = mg.use("cupy", "cuda")
    rng = np.random.default_rng(0)
    arrays = [
        rng.standard_normal(3).astype(np.float32), np.array(0.5), np.zeros((0, 2)), rng.standard_normal((5, 4)).T,
        np.arange(7),
    ]  # fmt: skip
    with standin._standin.count_synchronisations() as waits:
        copies, whole = library.upload(arrays)
    assert (waits.count, waits.uploads) == (0, 1)
    assert whole.nbytes >= sum(array.nbytes for array in arrays)
    for array, copied in zip(arrays, copies, strict=True):
        assert (copied.dtype, copied.shape) == (array.dtype, array.shape)
        assert copied.get().tobytes() == array.tobytes()
    assert library.upload([]) == ([], None)


def test_a_timed_step_ends_when_the_device_has_done_its_work(standin: ModuleType) -> None:
    mg.use("cupy", "cuda")
    gan = make_gan()
    step = benchmark._training_step(gan, real_batch(0))
    with standin._standin.count_synchronisations() as waits:
        step()
    assert waits.count == 1


# Runs.


def test_a_run_agrees_with_numpy(uninterrupted: dict[str, Path]) -> None:
    """In float64, whose rounding 50 steps amplify to less than a part in a million."""
    rows = [
        [json.loads(line) for line in (uninterrupted[kernels] / "metrics.jsonl").read_text().splitlines()]
        for kernels in ("cuda", "reference")
    ]
    for one, two in zip(*rows, strict=True):
        assert one.keys() == two.keys()
        np.testing.assert_allclose(one["discriminator_loss"], two["discriminator_loss"], rtol=1e-6)
        np.testing.assert_allclose(one["generator_loss"], two["generator_loss"], rtol=1e-6)


def test_replay_changes_no_bit_of_a_run(
    uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIGAN_REPLAY", "0")
    assert _files(_train(tmp_path / "plain")) == _files(uninterrupted["cuda"])


def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(
    uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by an error of the device at step 33, so that it goes on from the checkpoint of step 20."""
    run, steps = tmp_path / "run", []
    train_step = mg.GAN.train_step

    def failing(gan: mg.GAN, *arguments: Any) -> Any:
        if gan.step == 33:
            raise backend.current().xp.cuda.runtime.CUDARuntimeError(700)
        steps.append(gan.step)
        return train_step(gan, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(mg.GAN, "train_step", failing)
        with pytest.raises(AssertionError):
            _train(run)
    assert steps[-1] == 32
    assert int(_arrays(run)["step"]) == 20
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    assert _files(run) == _files(uninterrupted["cuda"])


@pytest.mark.parametrize(("first", "second"), [("cuda", "reference"), ("reference", "cuda")])
def test_a_checkpoint_is_loaded_on_the_other_backend(
    first: str, second: str, tmp_path: Path, uninterrupted: dict[str, Path]
) -> None:
    """A checkpoint of one backend is loaded on the other, and gives its samples within rounding."""
    mg.use("cupy" if second == "cuda" else "numpy", second)
    run, arrays = load_run(uninterrupted[first]), _arrays(uninterrupted[first])
    for name, value in run.gan.state().items():
        np.testing.assert_array_equal(value, arrays[name])
    samples = []
    for kernels in (first, second):
        device = ["--backend", "cupy" if kernels == "cuda" else "numpy", "--kernels", kernels]
        out = tmp_path / f"{kernels}.npz"
        assert cli.main(["sample", str(uninterrupted[first]), "--n", "20", "--out", str(out), *device]) == 0
        samples.append(next(iter(np.load(out).values())))
    np.testing.assert_allclose(*samples, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_a_run_of_the_other_backend_is_evaluated(
    uninterrupted: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = str(uninterrupted["reference"])
    evaluate = ["evaluate", run, "--n", "200", "--json"]
    results = []
    for device in (["--backend", "cupy"], ["--backend", "numpy", "--kernels", "reference"]):
        assert cli.main([*evaluate, *device]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0].keys() == results[1].keys()
    np.testing.assert_allclose(*(list(_numbers(result)) for result in results), rtol=1e-3)


def _numbers(content: Any) -> Iterator[float]:
    """The numbers in parsed JSON, in order."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for entry in content:
            yield from _numbers(entry)
    elif isinstance(content, (int, float)):
        yield content


def test_config_json_records_where_the_numbers_come_from(uninterrupted: dict[str, Path]) -> None:
    run = uninterrupted["cuda"]
    content = json.loads((run / "config.json").read_text())
    assert {"backend", "kernels", "GPU", "compute capability"} <= content["computed_on"].keys()
    assert (content["computed_on"]["backend"], content["computed_on"]["kernels"]) == ("cupy", "cuda")
    assert content["versions"]["cupy"]
    assert load_config(run / "config.json").backend == "cupy"


def test_the_images_are_copied_to_the_device_once(standin: ModuleType) -> None:
    mg.use("cupy", "cuda")
    dataset = mnist.embedded()
    with standin._standin.count_synchronisations() as waits:
        batches = dataset.batches(16, labels=False, flat=True)
        for step in range(5):
            batches(step)
    assert (waits.count, waits.uploads) == (0, 1 + 5)  # the images, and the indices of each batch
