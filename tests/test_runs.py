"""A run survives Ctrl-C, a polite kill and a rude one, and goes on bit for bit as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from runs import COLOUR, SMALL, minigan, start_minigan, train_small

from minigan import cli, recipes
from minigan.errors import UsageError
from minigan.training import RunConfig, RunFolder, form
from minigan.training.form import form_of
from minigan.training.trainer import TrainedRun, draw_samples

LONG = [*SMALL, "--steps", "3000", "--checkpoint-every", "40", "--sample-every", "250"]


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but config.json, which records the steps asked for."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.name != "config.json"
    }


def wait_for_progress(run: Path, lines: int = 3) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.01)
    raise AssertionError("the run made no progress")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert cli.main(["train", "--out", str(run), "--quiet", *LONG]) == 0
    return run


def when_written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def test_ten_kills_at_random_moments_change_no_bit(uninterrupted, tmp_path):
    """Three at any moment, the start-up included; seven in the middle of the training."""
    run = tmp_path / "run"
    moments = random.Random(0)
    kills_while_training = 0
    for kill in range(10):
        before = when_written(run / "metrics.jsonl")
        arguments = ["--resume", str(run)] if run.exists() else ["--out", str(run), *LONG]
        process = start_minigan("train", *arguments, "--quiet", cwd=tmp_path)
        if kill % 4 == 0:
            time.sleep(moments.uniform(0.0, 1.0))
        else:
            while process.poll() is None and when_written(run / "metrics.jsonl") == before:
                time.sleep(0.001)
            time.sleep(moments.uniform(0.0, 0.15))
        kills_while_training += process.poll() is None and when_written(run / "metrics.jsonl") != before
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert kills_while_training >= 5
    result = minigan("train", *(["--resume", str(run)] if run.exists() else ["--out", str(run), *LONG]), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert contents(run) == contents(uninterrupted)


@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_does(polite, uninterrupted, tmp_path):
    run = tmp_path / "run"
    process = start_minigan("train", "--out", str(run), *LONG, cwd=tmp_path)
    wait_for_progress(run)
    process.send_signal(polite)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"minigan train --resume {run}" in out
    assert "Traceback" not in err
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    assert contents(run) == contents(uninterrupted)


def test_a_second_interrupt_stops_at_once(tmp_path):
    process = start_minigan("train", "--out", "run", *LONG, "--steps", "1000000", cwd=tmp_path)
    wait_for_progress(tmp_path / "run")
    process.send_signal(signal.SIGINT)
    time.sleep(0.002)  # too short for a step, a checkpoint and the pictures
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert minigan("sample", "run", cwd=tmp_path).returncode == 0


def test_more_steps_can_be_added_to_a_finished_run(tmp_path):
    run, straight = train_small(tmp_path / "run"), tmp_path / "straight"
    assert cli.main(["train", "--resume", str(run), "--steps", "35", "--quiet"]) == 0
    assert cli.main(["train", "--out", str(straight), "--quiet", *SMALL, "--steps", "35"]) == 0
    resumed, whole = contents(run), contents(straight)
    for name in ("checkpoint.safetensors", "samples/step_000035.png", "metrics.jsonl"):
        assert resumed[name] == whole[name]


def test_a_finished_run_can_be_resumed_and_is_not_changed(tmp_path):
    run = train_small(tmp_path / "run")
    before = contents(run)
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    assert contents(run) == before


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_number_of_threads_changes_no_bit(threads, tmp_path):
    wide = ["--set", "generator_widths=256", "--set", "batch_size=128"]
    first, second = tmp_path / "default", tmp_path / "chosen"
    assert cli.main(["train", "--out", str(first), "--quiet", *SMALL, *wide]) == 0
    assert cli.main(["train", "--out", str(second), "--quiet", *SMALL, *wide, "--threads", threads]) == 0
    assert contents(first) == contents(second)


def test_another_seed_gives_another_run(tmp_path):
    first, second = train_small(tmp_path / "a"), tmp_path / "b"
    assert cli.main(["train", "--out", str(second), "--quiet", *SMALL, "--seed", "1"]) == 0
    assert (first / "metrics.jsonl").read_bytes() != (second / "metrics.jsonl").read_bytes()


def test_a_folder_that_fails_to_fill_does_not_appear(tmp_path):
    def fill(draft: RunFolder) -> None:
        draft.config.write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        RunFolder(tmp_path / "run").create(fill)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="full"):
        RunFolder(tmp_path / "empty").create(fill)
    assert list((tmp_path / "empty").iterdir()) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError):
        RunFolder(tmp_path / "file").create(lambda draft: None)


def test_what_was_recorded_after_the_checkpoint_is_forgotten(tmp_path):
    run = train_small(tmp_path / "run")
    before = contents(run)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 21, "discriminator_loss": 1}\n{"step": 22, "discr')
    (run / "samples" / "step_000021.png").write_bytes(b"not yet")
    (run / ".checkpoint.safetensors.abc.partial").write_bytes(b"half")
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    assert contents(run) == before


def test_a_run_of_the_time_before_colour_goes_on(tmp_path):
    """Its configuration says [height, width] and nothing of strict."""
    run, straight = train_small(tmp_path / "run"), tmp_path / "straight"
    config = json.loads((run / "config.json").read_text())
    assert config["data"]["image_shape"] == [28, 28, 1]
    config["data"]["image_shape"] = [28, 28]
    del config["strict"]
    (run / "config.json").write_text(json.dumps(config))
    assert cli.main(["sample", str(run), "--out", str(tmp_path / "grid.png")]) == 0
    assert cli.main(["train", "--resume", str(run), "--steps", "35", "--quiet"]) == 0
    assert cli.main(["train", "--out", str(straight), "--quiet", *SMALL, "--steps", "35"]) == 0
    assert contents(run) == contents(straight)


@pytest.mark.parametrize("shape", [[28], [28, 28, 2], [28, 28, 1, 1], [28, 0, 1], [28, "28", 1], "28", None])
def test_a_recorded_shape_that_is_none(shape, tmp_path, capsys):
    run = train_small(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"]["image_shape"] = shape
    (run / "config.json").write_text(json.dumps(config))
    capsys.readouterr()
    assert cli.main(["sample", str(run)]) == 1
    assert "does not say which pictures" in capsys.readouterr().err


def test_samples_take_memory_for_some_pictures_at_a_time(monkeypatch):
    """A generator of large pictures is never asked for many at once, and the pictures are those of one pass."""
    recipe = dataclasses.replace(COLOUR, settings=COLOUR.settings | {"image_size": 128})
    monkeypatch.setitem(recipes.RECIPES, recipe.name, recipe)
    run = TrainedRun(recipe.build(), RunConfig(recipe=recipe.name), form_of(recipe, (128, 128, 3)))
    asked: list[int] = []
    make = run.gan.sample
    monkeypatch.setattr(run.gan, "sample", lambda latent: asked.append(len(latent)) or make(latent))
    images = draw_samples(run, 50, seed=1)
    assert images.shape == (50, 128, 128, 3) and images.dtype == np.uint8
    assert sum(asked) == 50 and max(asked) * 128 * 128 * 3 <= 1 << 20
    monkeypatch.setattr(form, "_PIXELS_AT_ONCE", 1 << 30)
    np.testing.assert_array_equal(draw_samples(run, 50, seed=1), images)
