"""Runs on points of the plane, from the command line, and their pictures."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.environment import EXHAUSTIVE

from minigan import cli, recipes
from minigan.data import mixtures
from minigan.data.points import Points
from minigan.domains import PointDomain
from minigan.metrics.modes import score_samples
from minigan.training import load_config
from minigan.training.trained_run import draw_samples, load_run

NAMES = [name for name, recipe in recipes.RECIPES.items() if isinstance(recipe.domain, PointDomain)]
TINY = ["--set", "generator_widths=8", "--set", "discriminator_widths=8", "--set", "batch_size=16", "--quiet"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(*arguments: str) -> int:
    return cli.main(["train", *arguments, *TINY])


def rows(run: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


def test_every_distribution_has_a_recipe():
    assert set(mixtures.TARGETS) <= set(NAMES)
    assert recipes.get("ring").settings == recipes.get("grid").settings  # the same settings for both


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES if EXHAUSTIVE else ["ring"])
def test_a_run_writes_its_pictures_and_measurements(name, capsys):
    assert train(name, "--steps", "20", "--sample-every", "10", "--out", "run") == 0
    for file in ("config.json", "checkpoint.safetensors", "losses.png", "contours.png", "samples/step_000020.png"):
        assert Path("run", file).stat().st_size > 0
    with Image.open("run/samples.gif") as film:
        assert film.n_frames == 3
    sampled = [row for row in rows("run") if row["step"] in (10, 20)]
    figures = {"log_density"} if name == "swiss-roll" else {"modes", "high_quality", "reverse_kl"}
    assert all(figures <= row.keys() for row in sampled)
    assert cli.main(["sample", "run", "--n", "7", "--out", "seven.npz"]) == 0
    points = np.load("seven.npz")["points"]
    assert points.shape == (7, 2) and np.isfinite(points).all()
    np.testing.assert_allclose(points, draw_samples(load_run(Path("run")), 7, seed=1), rtol=1e-5)
    assert cli.main(["sample", "run"]) == 0 and Path("run/samples-1.png").is_file()
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--n", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["wasserstein2"] > found["wasserstein2_floor"] > 0
    if name != "swiss-roll":
        drawn = draw_samples(load_run(Path("run")), 100, seed=1)
        scores = score_samples(drawn, mixtures.get(name.removesuffix("-plain")))
        assert (found["pacgan"]["covered"], found["pacgan"]["samples"]) == (scores.covered, 100)
        assert found["strict"]["samples"] == 1000


@pytest.mark.slow
def test_progress_says_how_many_modes(capsys):
    assert cli.main(["train", "ring", *TINY[:-1], "--steps", "10", "--sample-every", "5", "--out", "run"]) == 0
    told = capsys.readouterr()
    assert "step 5:" in told.err and "modes" in told.err and "of high quality" in told.err
    assert "run/contours.png" in told.out and "minigan evaluate run" in told.out
    assert "points of 'ring' (8 Gaussians, sigma 0.01)" in told.err


@pytest.mark.slow
def test_findings_of_the_diagnosis_are_printed_and_recorded(capsys):
    """A Wasserstein critic without any constraint."""
    wrong = ["--set", "loss=wasserstein", "--set", "penalty=none", "--set", "rate=0.05", "--set", "generator_rate=1e-5"]
    assert cli.main(["train", "ring", *TINY[:-1], *wrong, "--steps", "400", "--out", "run"]) == 0
    kept = [finding for row in rows("run") for finding in row.get("diagnosis", [])]
    assert kept and kept[0].startswith("exploding-gradient: ") and "constrain it" in kept[0]
    assert f"{kept[0]}." in capsys.readouterr().err


def test_a_penalty_with_batch_norm_causes_a_warning(capsys):
    arguments = ["--set", "generator_widths=4,4", "--set", "discriminator_widths=4,4", "--set", "batch_size=4"]
    arguments += ["--set", "generator_dense=4", "--set", "discriminator_dense=4", "--set", "penalty=r1"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert cli.main(["train", "mnist-dcgan", *arguments, "--steps", "1", "--out", "run"]) == 0
    assert "minigan: the discriminator has batch norm" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_bits(monkeypatch):
    steps = ["--steps", "30", "--checkpoint-every", "10", "--log-every", "1"]
    assert train("grid", *steps, "--out", "straight") == 0
    assert train("grid", *steps, "--out", "halted") == 0
    # as after a crash: the last checkpoint is of step 10, the records go further
    from minigan.training import checkpoint, load_config
    from minigan.training.trained_run import untrained_gan

    gan = untrained_gan(load_config(Path("halted/config.json")), (2,))
    data = Points(mixtures.get("grid"))
    for step in range(10):
        gan.train_step(data.batch(16, 0, step, "float32"))
    checkpoint.save(Path("halted/checkpoint.safetensors"), gan.state(), "grid")
    assert cli.main(["train", "--resume", "halted", "--quiet"]) == 0
    for file in ("metrics.jsonl", "checkpoint.safetensors", "samples/step_000030.png"):
        assert (Path("halted") / file).read_bytes() == (Path("straight") / file).read_bytes()


@pytest.mark.slow
def test_a_scheduled_run_that_is_extended_keeps_the_length_of_its_schedules():
    assert train("ring", "--steps", "4", "--out", "run") == 0
    assert cli.main(["train", "--resume", "run", "--steps", "8", "--quiet"]) == 0
    config = load_config(Path("run/config.json"))
    assert (config.steps, config.settings["schedule_steps"]) == (8, 4)


@pytest.mark.parametrize("option", [["--data-dir", "."], ["--download"]])
def test_points_take_no_data(option, capsys):
    assert train("ring", *option) == 2
    assert f"takes no data; leave {option[0]} out" in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.slow
def test_evaluate_needs_no_data_for_points(capsys):
    assert train("ring", "--steps", "2", "--out", "run") == 0
    capsys.readouterr()
    assert cli.main(["evaluate", "run", "--data-dir", "."]) == 2
    assert "leave --data-dir out" in capsys.readouterr().err


def test_a_dry_run_describes_points(capsys):
    assert cli.main(["train", "grid", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "points of 'grid' (25 Gaussians, sigma 0.05)" in told and "FourierFeatures(2, 64)" in told
