"""--export-every: the weights of the generator and a picture, every so many steps; a killed run loses nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minigan as mg
from minigan import cli, recipes
from minigan.data import load
from minigan.training import RunConfig, RunFolder, Trainer
from minigan.training.trained_run import load_run

SMALL = {"generator_widths": [6], "discriminator_widths": [6], "batch_size": 4}
STEPS = {"steps": 12, "sample_every": 9, "checkpoint_every": 6, "log_every": 5, "export_every": 4}


def begun(run: Path, **changes: object) -> Trainer:
    config = RunConfig("mnist-mlp", {**SMALL, "average": 0.9}, **(STEPS | changes))  # type: ignore[arg-type]
    return Trainer.begin(config, load(), RunFolder(run))


def contents(run: Path) -> dict[str, bytes]:
    """The files of a run that are a function of its settings."""
    paths = [path for path in run.rglob("*") if path.is_file() and path.suffix in (".png", ".safetensors", ".jsonl")]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in paths}


def test_exported_weights_are_those_that_samples_come_from(tmp_path: Path) -> None:
    begun(tmp_path / "run").run(lambda step, metrics: None, lambda: False)
    assert sorted(RunFolder(tmp_path / "run").weights_paths()) == [4, 8, 12]
    names = [path.name for path in RunFolder(tmp_path / "run").sample_paths()]
    assert names == [f"step_{step:06d}.png" for step in (0, 4, 8, 9, 12)]
    trained = load_run(tmp_path / "run").gan
    generator = recipes.get("mnist-mlp").build(**SMALL, seed=5).generator
    mg.load(tmp_path / "run" / "weights" / "step_000012.safetensors", generator)
    latent = trained.latent(3, "test")
    with mg.no_grad():
        made = generator.eval()(latent).numpy()
    np.testing.assert_array_equal(made, trained.sample(latent).numpy())
    assert not np.array_equal(made, trained.generator.eval()(latent).numpy())  # the average is exported


def test_a_killed_run_goes_on_and_has_each_export_once(tmp_path: Path) -> None:
    begun(tmp_path / "straight").run(lambda step, metrics: None, lambda: False)

    run = tmp_path / "killed"
    training = begun(run)

    def die(step: int, metrics: dict[str, float]) -> None:
        if step == 10:
            training._files.wait()  # so that the last checkpoint is that of step 6
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(die, lambda: False)
    assert {4, 8} == RunFolder(run).weights_paths().keys()  # 8 is after the last checkpoint, of step 6
    (run / "weights" / "step_000012.safetensors").write_bytes(b"of another run, later")
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    expected = contents(tmp_path / "straight")
    found = contents(run)
    assert found.pop("dropped-6/weights/step_000012.safetensors") == b"of another run, later"
    assert found == expected


def test_a_run_without_exports_has_no_weights(tmp_path: Path) -> None:
    begun(tmp_path / "run", export_every=None, steps=2).run(lambda step, metrics: None, lambda: False)
    assert not (tmp_path / "run" / "weights").exists()


def test_impossible_numbers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "mnist-mlp", "--export-every", "0", "--out", str(tmp_path / "run")]) == 2
    assert "--export-every must be a whole number of at least 1" in capsys.readouterr().err
