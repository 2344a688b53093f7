"""A run survives SIGINT, SIGTERM and SIGKILL, and a resumed run ends with the same bits as an uninterrupted one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from support.environment import EXHAUSTIVE
from support.runs import COLOUR, SMALL, minigan, start_minigan, train_small

from minigan import cli, data, recipes
from minigan.core import files
from minigan.core.errors import CheckpointError, NonFiniteError, UsageError
from minigan.domains import PointDomain, view
from minigan.training import RunConfig, RunFolder, Trainer, checkpoint, load_config
from minigan.training.trained_run import TrainedRun, draw_samples, generate, load_run
from minigan.training.trainer import _advice

LONG = [*SMALL, "--steps", "3000" if EXHAUSTIVE else "1500", "--checkpoint-every", "40", "--sample-every", "250"]


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but config.json, which records the steps asked for, and those with wall times."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.name not in ("config.json", "metrics.csv", "report.html")
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


@pytest.mark.exhaustive
@pytest.mark.slow
def test_kills_at_random_moments_change_no_bit(uninterrupted, tmp_path):
    """One kill in four at any moment, including the start; the others during training."""
    run = tmp_path / "run"
    moments = random.Random(0)
    kills_while_training = 0
    kills = 10 if EXHAUSTIVE else 3
    for kill in range(kills):
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
    assert kills_while_training >= kills // 2
    result = minigan("train", *(["--resume", str(run)] if run.exists() else ["--out", str(run), *LONG]), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert contents(run) == contents(uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_resume_it_and_can_be_resumed(polite, uninterrupted, tmp_path):
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_more_steps_can_be_added_to_a_finished_run(tmp_path):
    run, straight = train_small(tmp_path / "run"), tmp_path / "straight"
    assert cli.main(["train", "--resume", str(run), "--steps", "35", "--quiet"]) == 0
    assert cli.main(["train", "--out", str(straight), "--quiet", *SMALL, "--steps", "35"]) == 0
    resumed, whole = contents(run), contents(straight)
    for name in ("checkpoint.safetensors", "samples/step_000035.png", "metrics.jsonl"):
        assert resumed[name] == whole[name]


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [("1", "0"), ("0", "1")])
def test_a_run_resumed_with_replay_switched_ends_with_the_same_bits(first, then, tmp_path, monkeypatch):
    run, straight = tmp_path / "run", tmp_path / "straight"
    settings = [*SMALL, "--checkpoint-every", "30"]
    for path, steps, replay in ((straight, "120", "1"), (run, "30", first), (run, "120", then)):
        monkeypatch.setenv("MINIGAN_REPLAY", replay)
        arguments = ["--resume", str(path)] if path.exists() else ["--out", str(path), *settings]
        assert cli.main(["train", *arguments, "--steps", steps, "--quiet"]) == 0
    resumed, whole = contents(run), contents(straight)
    for name in ("checkpoint.safetensors", "samples/step_000120.png", "metrics.jsonl"):
        assert resumed[name] == whole[name]


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    run = train_small(tmp_path / "run")
    before = contents(run)
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    assert contents(run) == before


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_number_of_threads_changes_no_bit(threads, tmp_path):
    wide = ["--set", "generator_widths=256", "--set", "batch_size=128"]
    first, second = tmp_path / "default", tmp_path / "chosen"
    assert cli.main(["train", "--out", str(first), "--quiet", *SMALL, *wide]) == 0
    assert cli.main(["train", "--out", str(second), "--quiet", *SMALL, *wide, "--threads", threads]) == 0
    assert contents(first) == contents(second)


@pytest.mark.slow
def test_another_seed_gives_another_run(tmp_path):
    first, second = train_small(tmp_path / "a"), tmp_path / "b"
    assert cli.main(["train", "--out", str(second), "--quiet", *SMALL, "--seed", "1"]) == 0
    assert (first / "metrics.jsonl").read_bytes() != (second / "metrics.jsonl").read_bytes()


def test_a_folder_whose_files_cannot_be_written_does_not_appear(tmp_path):
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


@pytest.mark.slow
def test_what_was_recorded_after_the_checkpoint_is_moved_aside(tmp_path, capsys):
    run = train_small(tmp_path / "run")
    before = contents(run)
    later = '{"step": 21, "discriminator_loss": 1, "generator_loss": 1, "real_score": 0.5, "fake_score": 0.5}\n'
    for place in ("dropped-20", "dropped-20-2"):  # an earlier one is not written over
        with (run / "metrics.jsonl").open("a") as file:
            file.write(later + '{"step": 22, "discr')
        (run / "samples" / "step_000021.png").write_bytes(b"not yet")
        (run / ".checkpoint.safetensors.minigan-0123456789abcdef.partial").write_bytes(b"half")
        assert cli.main(["train", "--resume", str(run)]) == 0
        assert f"after step 20 has been moved to {run / place}" in capsys.readouterr().err
        moved = {"metrics.jsonl": later.encode(), "samples/step_000021.png": b"not yet"}
        before |= {f"{place}/{name}": content for name, content in moved.items()}
        assert contents(run) == before


@pytest.mark.slow
def test_records_made_again_replace_those_moved_aside(tmp_path):
    """As after SIGKILL: records after the checkpoint are moved aside, and removed once the run has made them again."""
    run = train_small(tmp_path / "run")
    before = contents(run)
    (run / "checkpoint.safetensors").unlink()
    (run / "checkpoints" / "step_000015.safetensors").rename(run / "checkpoint.safetensors")
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    assert contents(run) == before


@pytest.mark.slow
def test_foreign_files_are_not_touched(tmp_path):
    run = train_small(tmp_path / "run")
    (run / ".notes.partial").write_text("mine")
    (run / "samples" / ".step.abc.partial").write_text("mine, too")
    (run / "samples" / "step_99.png").write_text("not named as a run does")
    (run / "checkpoints" / "step_7.safetensors").write_text("nor this")
    before = contents(run)
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    assert contents(run) == before


@pytest.mark.slow
def test_a_run_from_before_colour_images_can_be_resumed(tmp_path):
    """Its configuration has [height, width] and no entry "strict"."""
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
def test_an_invalid_recorded_shape_is_refused(shape, tmp_path, capsys):
    run = train_small(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"]["image_shape"] = shape
    (run / "config.json").write_text(json.dumps(config))
    capsys.readouterr()
    assert cli.main(["sample", str(run)]) == 1
    assert "does not say which pictures" in capsys.readouterr().err


def test_samples_of_large_images_are_made_in_several_passes(monkeypatch):
    """No pass makes more than a megapixel, and the images equal those of a single pass."""
    recipe = dataclasses.replace(COLOUR, settings=COLOUR.settings | {"image_size": 128})
    monkeypatch.setitem(recipes.RECIPES, recipe.name, recipe)
    run = TrainedRun(recipe.build(), RunConfig(recipe=recipe.name), recipe.domain.with_shape((128, 128, 3)))
    asked: list[int] = []
    make = run.gan.sample
    monkeypatch.setattr(run.gan, "sample", lambda latent: asked.append(len(latent)) or make(latent))
    images = draw_samples(run, 50, seed=1)
    assert images.shape == (50, 128, 128, 3) and images.dtype == np.uint8
    assert sum(asked) == 50 and max(asked) * 128 * 128 * 3 <= 1 << 20
    monkeypatch.setattr(view, "_NUMBERS_PER_PASS", 1 << 30)
    np.testing.assert_array_equal(draw_samples(run, 50, seed=1), images)


# Files of a run that are damaged or are something else.


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return train_small(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of a finished run of 20 steps, with checkpoints at 15 and 20."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def refused(run: Path, capsys, *arguments: str, part: str) -> None:
    """Assert that a resume, even one with more steps, ends with a sentence and leaves every file as it is."""
    before = contents(run) | {"config.json": (run / "config.json").read_bytes()}
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(run), "--steps", "30", "--quiet", *arguments]) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("minigan: ") and err.count("\n") == 1 and err.endswith((".\n", "?\n"))
    assert part in err
    assert contents(run) | {"config.json": (run / "config.json").read_bytes()} == before


def rewrite(path: Path, **changes: object) -> None:
    """Change arrays of the checkpoint, with a correct checksum."""
    state = safetensors.numpy.load_file(path)
    for name, change in changes.items():
        array = state[name.replace("__", ".")]
        array[...] = change
    checkpoint.save(path, state, "mnist-mlp")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"step": -1}, "it is of step -1, expected 0 to 20"),
        ({"step": 10}, "the generator's optimiser has made 20 updates, expected 10 at step 10"),
        ({"step": 21, "generator_optimizer__steps": 21, "discriminator_optimizer__steps": 21}, "it is of step 21"),
        ({"discriminator_optimizer__steps": 19}, "the discriminator's optimiser has made 19 updates"),
        ({"generator__0__weight": np.nan}, "generator.0.weight is not finite"),
        ({"generator_optimizer__m": np.inf}, "generator_optimizer.m is not finite"),
        ({"generator_optimizer__v": -1e-9}, "generator_optimizer.v is a mean of squares and has a negative number"),
        ({"generator__2__running_variance": -1}, "running_variance is a mean of squares and has a negative number"),
    ],
)
def test_an_inconsistent_checkpoint_changes_nothing(changes, part, run, capsys):
    rewrite(run / "checkpoint.safetensors", **changes)
    refused(run, capsys, part=part)
    assert cli.main(["sample", str(run)]) == 1
    assert part in capsys.readouterr().err


@pytest.mark.slow
def test_dropout_with_too_few_draws_is_refused(tmp_path, capsys):
    run = train_small(tmp_path / "run", "mnist-mlp-sigmoid")
    path = run / "checkpoint.safetensors"
    state = safetensors.numpy.load_file(path)
    (name,) = (name for name in state if name.endswith("draws"))
    assert state[name] == 40  # in the updates of both networks in each step
    state[name][...] = 3
    checkpoint.save(path, state, "mnist-mlp-sigmoid")
    refused(run, capsys, part="the discriminator's dropout has made 3 draws, which does not fit step 20")


def test_a_checkpoint_later_than_the_metrics_is_refused(run, capsys):
    rows = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text(rows[0])
    refused(run, capsys, part="the metrics end at step 10, expected 20 at least")
    refused(run, capsys, part="restore both from the same run, or name an earlier one: --checkpoint 15.")


@pytest.mark.slow
def test_a_run_without_its_metrics_can_be_resumed(run):
    (run / "metrics.jsonl").unlink()
    assert cli.main(["train", "--resume", str(run), "--steps", "30", "--quiet"]) == 0
    assert [json.loads(row)["step"] for row in (run / "metrics.jsonl").read_text().splitlines()] == [30]


def test_a_single_flipped_bit_of_a_weight_is_noticed(run, capsys):
    path = run / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    refused(run, capsys, part="do not have the recorded checksum); restore it from a copy, or train again; or name")
    assert cli.main(["train", "--resume", str(run), "--checkpoint", "15", "--quiet"]) == 0
    assert (run / "dropped-15" / "checkpoint.safetensors").read_bytes() == content


def test_equal_states_give_equal_bytes_and_are_read_back(tmp_path):
    state = {"step": np.asarray(7), "b.weight": np.arange(6.0).reshape(2, 3).T, "a": np.zeros((0, 3), np.float32)}
    extra = {"diagnosis.looks": np.ones((2, 5)), "diagnosis.told": np.frombuffer(b"words", np.uint8)}
    for name, arrays in (("one", state | extra), ("two", dict(reversed((state | extra).items())))):
        checkpoint.save(tmp_path / name, arrays, "ring", score=-0.25)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded = checkpoint.load(tmp_path / "one", "ring", like=state)
    assert loaded.keys() == (state | extra).keys()
    for name, array in (state | extra).items():
        np.testing.assert_array_equal(loaded[name], array)
    assert checkpoint.read_metadata(tmp_path / "one") == checkpoint.Metadata("ring", 7, -0.25)
    assert safetensors.numpy.load_file(tmp_path / "one").keys() == loaded.keys()  # a standard safetensors file


def headed(header: object, arrays: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + arrays


def noted(note: object, **arrays: object) -> dict[str, object]:
    text = note if isinstance(note, str) else json.dumps(note)
    return {"__metadata__": {"minigan": text}, **arrays}


NOTE = {"format": 2, "recipe": "mnist-mlp", "step": 20, "score": None, "sha256": "0"}
STEP = {"dtype": "I64", "shape": [], "data_offsets": [0, 8]}
MALFORMED = {
    "metadata that is a list": headed({"__metadata__": []}),
    "metadata that is null": headed({"__metadata__": None}),
    "no metadata": headed({"step": STEP}, bytes(8)),
    "a note that is a list": headed(noted([])),
    "a note that is nested": headed(noted("[" * 50_000 + "]" * 50_000)),
    "a note with a nested format": headed(noted(NOTE | {"format": [[2]]})),
    "a recipe that is a list": headed(noted(NOTE | {"recipe": ["mnist-mlp"]})),
    "a step in words": headed(noted(NOTE | {"step": "twenty"})),
    "a score of NaN": headed(noted(NOTE | {"score": math.nan})),
    "a checksum of another kind": headed(noted({k: v for k, v in NOTE.items() if k != "sha256"})),
    "a header that is a list": headed([1]),
    "a header that is nested": headed(b"[" * 50_000 + b"]" * 50_000),
    "a header that is not UTF-8": headed(b'{"\xff": 1}'),
    "a huge header": (2**60).to_bytes(8, "little") + b"{}",
    "a header of 20 MB": headed(b"{" + b" " * 20_000_000 + b"}"),
    "names twice": headed(b'{"step": 1, "step": 1}'),
    "a type F8": headed(noted(NOTE, step=STEP | {"dtype": "F8_E4M3", "data_offsets": [0, 1]}), bytes(1)),
    "a type that is a list": headed(noted(NOTE, step=STEP | {"dtype": []}), bytes(8)),
    "an array that is a number": headed(noted(NOTE, step=7)),
    "a shape of words": headed(noted(NOTE, step=STEP | {"shape": ["a"]}), bytes(8)),
    "a negative shape": headed(noted(NOTE, step=STEP | {"shape": [-1, -1]}), bytes(8)),
    "a huge shape": headed(noted(NOTE, step=STEP | {"shape": [2**60] * 3}), bytes(8)),
    "an empty huge shape": headed(noted(NOTE, step=STEP | {"shape": [0, 2**63], "data_offsets": [0, 0]})),
    "more axes than an array has": headed(
        noted(NOTE, step=STEP | {"shape": [2**63] * 100_000 + [0], "data_offsets": [0, 0]})
    ),
    "an earlier format with a step that is no count": headed(
        noted({"format": 1, "recipe": "mnist-mlp"}, step=STEP | {"dtype": "F64"}), np.float64(np.nan).tobytes()
    ),
    "offsets out of the file": headed(noted(NOTE, step=STEP | {"data_offsets": [8, 16]}), bytes(8)),
    "overlapping arrays": headed(noted(NOTE, step=STEP, other=STEP), bytes(8)),
    "three offsets": headed(noted(NOTE, step=STEP | {"data_offsets": [0, 4, 8]}), bytes(8)),
    "arrays that do not fit": headed(noted(NOTE, step=STEP), bytes(8)),
    "too much beside them": headed(
        noted(NOTE, **{"diagnosis.x": {"dtype": "U8", "shape": [2**25], "data_offsets": [0, 2**25]}}), bytes(2**25)
    ),
    "a note that is no JSON": headed(noted("{")),
    "format 3": headed(noted(NOTE | {"format": 3})),
    "format 1 without a step": headed(noted({"format": 1, "recipe": "mnist-mlp"})),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_checkpoint_is_refused_with_a_sentence(name, run, capsys):
    (run / "checkpoint.safetensors").write_bytes(MALFORMED[name])
    refused(run, capsys, part="checkpoint")
    with pytest.raises(CheckpointError):
        checkpoint.load(run / "checkpoint.safetensors", "mnist-mlp", {"step": np.asarray(20), "a": np.zeros(3)})


@pytest.mark.slow
def test_a_checkpoint_from_before_checksums_can_be_resumed(run, tmp_path):
    path = run / "checkpoint.safetensors"
    note = json.dumps({"format": 1, "recipe": "mnist-mlp"})
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, metadata={"minigan": note})
    shutil.rmtree(run / "checkpoints")
    assert cli.main(["train", "--resume", str(run), "--steps", "35", "--quiet"]) == 0
    straight = tmp_path / "straight"
    assert cli.main(["train", "--out", str(straight), "--quiet", *SMALL, "--steps", "35"]) == 0
    assert (run / "checkpoint.safetensors").read_bytes() == (straight / "checkpoint.safetensors").read_bytes()


GOOD_ROW = '{"step": 30, "discriminator_loss": 1.0, "generator_loss": 1.0, "real_score": 0.5, "fake_score": 0.5}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"caf\xe9\n", b"[]\n", b"7\n", b"\n", b"{}\n", b'{"step": "ten"}\n', b"[" * 50_000 + b"]" * 50_000 + b"\n",
        GOOD_ROW.replace("30", "20").encode(), GOOD_ROW.replace("30", "true").encode(),
        GOOD_ROW.replace("1.0", "NaN").encode(), GOOD_ROW.replace("1.0", "1e999").encode(),
    ],
)  # fmt: skip
def test_invalid_metrics_are_refused_with_a_sentence(line, run, capsys):
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(line)
    refused(run, capsys, part="metrics.jsonl")


@pytest.mark.parametrize(
    "entry",
    [
        '"data": ' + "[" * 50_000 + "]" * 50_000, '"steps": Infinity', f'"steps": {"9" * 400}', '"seed": 1e999',
        '"settings": {"generator_widths": [1e999]}', '"settings": {"rate": [1]}', '"settings": {"loss": ["hinge"]}',
        '"settings": {"generator_widths": [1.5]}', '"settings": {"batch_size": true}', '"data_dir": "a\\u0000b"',
        f'"recipe": "{"x" * 2_000_000}"', '"recipe": "mnist-mlp"',
    ],
)  # fmt: skip
def test_an_invalid_configuration_is_refused_with_a_sentence(entry, tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"recipe": "mnist-mlp", ' + entry + "}")
    assert cli.main(["train", "--config", str(tmp_path / "config.json"), "--dry-run"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("minigan: ") and err.count("\n") == 1
    assert "config.json" in err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
@pytest.mark.parametrize("name", ["config.json", "checkpoint.safetensors", "metrics.jsonl", "samples/step_000010.png"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(name, run, capsys):
    (run / name).unlink()
    os.mkfifo(run / name)
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 1
    assert Path(name).name in capsys.readouterr().err
    assert cli.main(["train", "--config", "/dev/zero"]) == 1
    assert "is a device" in capsys.readouterr().err


@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "samples", "checkpoints"])
def test_a_run_never_writes_through_a_link(name, run, tmp_path, capsys):
    kept = tmp_path / "kept"
    (run / name).rename(kept)
    if name == ".lock":
        kept.write_text("somebody's")
    before = kept.read_bytes() if kept.is_file() else contents(kept)
    (run / name).symlink_to(kept)
    assert cli.main(["train", "--resume", str(run), "--steps", "30", "--quiet"]) == 1
    assert name in capsys.readouterr().err
    assert (kept.read_bytes() if kept.is_file() else contents(kept)) == before


# Earlier checkpoints.


def kept(run: Path) -> list[int]:
    """The steps of the checkpoints there are."""
    paths = [*(run / "checkpoints").glob("*"), run / "checkpoint.safetensors"]
    return sorted(int(safetensors.numpy.load_file(path)["step"]) for path in paths)


POINTS = [
    "ring", "--quiet", "--steps", "60", "--sample-every", "20", "--checkpoint-every", "10",
    "--set", "generator_widths=8", "--set", "discriminator_widths=8", "--set", "batch_size=16",
]  # fmt: skip


@pytest.mark.slow
def test_the_last_two_checkpoints_are_kept_or_as_many_as_are_asked_for(run, tmp_path):
    assert kept(run) == [15, 20]
    for count, expected in (("1", [20]), ("3", [10, 15, 20]), ("9", [0, 5, 10, 15, 20])):
        out = tmp_path / count
        assert cli.main(["train", "--out", str(out), "--quiet", *SMALL, "--keep-checkpoints", count]) == 0
        assert kept(out) == expected
    assert cli.main(["train", "--resume", str(out), "--quiet", "--keep-checkpoints", "2"]) == 0
    assert kept(out) == [15, 20]


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_and_can_be_asked_for(tmp_path, capsys):
    run, all_of_them = tmp_path / "run", tmp_path / "all"
    assert cli.main(["train", *POINTS, "--out", str(run), "--keep-checkpoints", "1"]) == 0
    assert cli.main(["train", *POINTS, "--out", str(all_of_them), "--keep-checkpoints", "9"]) == 0
    assert kept(all_of_them) == list(range(0, 61, 10))
    by_kl = {}
    for step in range(10, 61, 10):
        trained = load_run(all_of_them, str(step))
        samples = generate(trained.gan, trained.domain, trained.gan.latent(trained.domain.samples_shown, "samples"))
        by_kl[step] = trained.domain.measure(samples)["reverse_kl"]
    best = min(by_kl, key=lambda step: (by_kl[step], step))
    assert kept(run) == sorted({best, 60})
    capsys.readouterr()
    for command in (["sample", "--n", "5"], ["evaluate", "--n", "50"]):
        for wanted, step in (("best", best), (str(best), best), ("60", 60)):
            assert cli.main([*command, str(run), "--checkpoint", wanted, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["step"] == step
    assert {path.name for path in run.glob("samples-*")} == {f"samples-1-step_0000{step}.png" for step in {best, 60}}


@pytest.mark.slow
def test_an_interrupted_run_keeps_the_same_checkpoints(tmp_path):
    straight, halted = tmp_path / "straight", tmp_path / "halted"
    assert cli.main(["train", *POINTS, "--out", str(straight)]) == 0
    config = load_config(straight / "config.json")
    trainer = Trainer.begin(config, recipes.get("ring").domain.points, RunFolder(halted))
    assert trainer.run(lambda step, metrics: None, lambda: trainer.gan.step == 37).outcome.step == 37
    assert 37 in kept(halted)
    assert cli.main(["train", "--resume", str(halted), "--quiet"]) == 0
    assert contents(halted) == contents(straight)


@pytest.mark.slow
def test_going_back_to_an_earlier_checkpoint_loses_nothing(run, capsys):
    before = contents(run)
    assert cli.main(["train", "--resume", str(run), "--checkpoint", "15", "--steps", "18"]) == 0
    assert f"after step 15 has been moved to {run / 'dropped-15'}" in capsys.readouterr().err
    for name in ("checkpoint.safetensors", "samples/step_000020.png"):
        assert (run / "dropped-15" / name).read_bytes() == before[name]
    rows = before["metrics.jsonl"].splitlines(keepends=True)
    assert (run / "dropped-15" / "metrics.jsonl").read_bytes() == rows[-1]
    assert kept(run) == [15, 18]
    assert cli.main(["train", "--resume", str(run), "--steps", "20", "--quiet"]) == 0
    again = contents(run)
    assert again["metrics.jsonl"].splitlines(keepends=True)[-1] == rows[-1]
    assert not [name for name in again if name.startswith("dropped")]  # all of it has been made again
    for name in ("checkpoint.safetensors", "samples/step_000020.png"):
        assert again[name] == before[name]


class Killed(BaseException):
    """Raised in place of a system call, as if the process had been killed."""


@pytest.mark.slow
def test_going_back_can_be_interrupted_at_any_moment(finished, tmp_path):
    def go_back(folder: RunFolder) -> None:
        last = checkpoint.read_metadata(folder.checkpoint).step
        folder.rewind(15, folder.checkpoint if last == 15 else folder.earlier_path(15))

    original, calls, number = contents(finished), 0, 0
    last_row = original["metrics.jsonl"].splitlines(keepends=True)[-1]
    while calls == number:
        number, calls = number + 1, 0
        run = Path(shutil.copytree(finished, tmp_path / f"run-{number}"))

        def counted(real: Callable[..., object], number: int = number) -> Callable[..., object]:
            def call(*arguments: object, **more: object) -> object:
                nonlocal calls
                calls = min(calls + 1, number)
                if calls == number:
                    raise Killed
                return real(*arguments, **more)

            return call

        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
            for name in ("replace", "link", "unlink", "mkdir", "rmdir", "open", "fsync"):
                patch.setattr(os, name, counted(getattr(os, name)))
            go_back(RunFolder(run))
        go_back(RunFolder(run))
        found = contents(run)
        assert found["checkpoint.safetensors"] == original["checkpoints/step_000015.safetensors"]
        assert found["metrics.jsonl"] + last_row == original["metrics.jsonl"]
        assert "samples/step_000020.png" not in found
        dropped = [content for name, content in found.items() if name.startswith("dropped-15")]
        for content in (last_row, original["samples/step_000020.png"], original["checkpoint.safetensors"]):
            assert content in dropped, f"cut short at call {number}"
    assert number > 20


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["removed", "truncated"])
def test_a_run_is_resumed_from_an_earlier_checkpoint_if_the_last_is_damaged(damage, run, tmp_path, capsys):
    last = run / "checkpoint.safetensors"
    original = last.read_bytes()
    last.write_bytes(original[:100])
    if damage == "removed":
        last.unlink()
    refused(run, capsys, part="--checkpoint 15")
    assert cli.main(["train", "--resume", str(run), "--checkpoint", "15", "--quiet"]) == 0
    assert last.read_bytes() == original


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["removed", "truncated"])
def test_a_checkpoint_damaged_during_the_run_is_replaced(damage, tmp_path):
    def damaging(step: int, metrics: dict) -> None:
        if trainer.gan.step == 10:
            last = trainer.folder.checkpoint
            last.write_bytes(last.read_bytes()[:100])
            if damage == "removed":
                last.unlink()

    recipe = recipes.get("ring")
    config = RunConfig("ring", {"generator_widths": [8], "discriminator_widths": [8]}, steps=20, checkpoint_every=10)
    trainer = Trainer.begin(config, recipe.domain.points, RunFolder(tmp_path / "run"))
    trainer.run(damaging, lambda: False)
    assert load_run(tmp_path / "run").gan.step == 20


def test_the_last_checkpoint_can_be_named_by_its_step(run):
    before = contents(run)
    (run / "checkpoints" / "step_000020.safetensors").write_bytes((run / "checkpoint.safetensors").read_bytes())
    assert cli.main(["train", "--resume", str(run), "--checkpoint", "20", "--quiet"]) == 0
    assert contents(run) == before


def test_a_checkpoint_moved_aside_is_removed_when_it_is_made_again(run):
    assert cli.main(["train", "--resume", str(run), "--quiet", "--checkpoint", "15", "--steps", "25"]) == 0
    assert (run / "checkpoints" / "step_000020.safetensors").exists()
    assert not list(run.glob("dropped-*"))


@pytest.mark.slow
def test_a_folder_with_only_a_first_checkpoint_left_is_used(tmp_path, capsys):
    straight, again = tmp_path / "straight", tmp_path / "again"
    assert cli.main(["train", "--out", str(straight), "--quiet", *SMALL, "--keep-checkpoints", "100"]) == 0
    again.mkdir()
    shutil.copy(straight / "checkpoints" / "step_000000.safetensors", again / "checkpoint.safetensors")
    assert cli.main(["train", "--out", str(again), "--quiet", *SMALL]) == 0
    assert (again / "checkpoint.safetensors").read_bytes() == (straight / "checkpoint.safetensors").read_bytes()
    (again / "config.json").unlink()
    assert cli.main(["train", "--out", str(again), "--quiet", *SMALL]) == 2  # a trained checkpoint is not a leftover
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["16", "-1", "1e1", "last", "", "99999999999999999999999"])
def test_a_missing_checkpoint_is_refused(wanted, run, capsys):
    refused(run, capsys, f"--checkpoint={wanted}", part=f"there is no checkpoint '{wanted}'")
    refused(run, capsys, f"--checkpoint={wanted}", part="there are: 15, 20.")
    refused(run, capsys, "--checkpoint=best", part="has a score")
    assert cli.main(["train", "--checkpoint", "15"]) == 2
    assert "--resume" in capsys.readouterr().err


@pytest.mark.parametrize("keep", ["1", "2"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_diverged_run_keeps_a_finite_checkpoint(optimizer, keep, tmp_path, capsys):
    run = tmp_path / "run"
    ruin = ["--set", f"optimizer={optimizer}", "--set", "generator_rate=1e30", "--checkpoint-every", "1"]
    assert cli.main(["train", "--out", str(run), "--quiet", *SMALL, *ruin, "--keep-checkpoints", keep]) == 1
    assert "(--set generator_rate=..., now 1e+30)" in capsys.readouterr().err
    for array in safetensors.numpy.load_file(run / "checkpoint.safetensors").values():
        assert np.isfinite(array).all()
    assert cli.main(["sample", str(run)]) == 0


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    config = RunConfig(steps=6, checkpoint_every=2, settings={"generator_widths": [8], "discriminator_widths": [8]})
    trainer = Trainer.begin(config, data.load(), RunFolder(tmp_path / "run"))

    def ruin_at_step_4() -> bool:
        if trainer.gan.step == 4:
            trainer.gan.generator_optimizer.parameters[0].data[0, 0] = np.nan
        return False

    with pytest.raises(NonFiniteError, match=r"step 4: generator.0.weight is not finite; .*--set rate="):
        trainer.run(lambda step, metrics: None, ruin_at_step_4)
    assert kept(tmp_path / "run") == [0, 2]


def test_the_advice_names_the_rate_at_fault():
    rates = {"rate": 1e-3, "generator_rate": 0.0}
    assert "(--set rate=..., now 0.001)" in _advice(rates)
    assert "(--set generator_rate=..., now 1.0)" in _advice(rates | {"generator_rate": 1.0})
    assert "(--set rate=..., now 0.001)" in _advice(rates | {"generator_rate": 1e-5})
    both = "(--set rate=..., now 0.001 and --set generator_rate=..., now 0.002)"
    assert both in _advice(rates | {"generator_rate": 0.002})


def test_a_run_that_fails_twice_at_the_same_step_leaves_the_same_files(tmp_path):
    run = tmp_path / "run"
    ruin = ["--set", "optimizer=sgd", "--set", "rate=1e4", "--log-every", "1", "--checkpoint-every", "1000"]
    assert cli.main(["train", "--out", str(run), "--quiet", *SMALL, *ruin]) == 1
    before = contents(run)
    assert before["metrics.jsonl"]
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 1
    assert contents(run) == before


def test_samples_that_are_not_finite_name_another_checkpoint(run):
    trained = load_run(run)
    trained.gan.generator.parameters()["0.weight"].data[...] = np.nan
    with pytest.raises(NonFiniteError, match=r"step 20: the samples are not finite; name another .* --checkpoint"):
        draw_samples(trained, 3, seed=0)


@pytest.mark.slow
def test_a_measurement_that_is_not_finite_is_not_recorded(tmp_path, monkeypatch):
    begun = ["train", *POINTS, "--steps", "5", "--out", str(tmp_path / "run")]
    assert cli.main(begun) == 0
    rows = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    monkeypatch.setattr(PointDomain, "measure", lambda self, points: {"log_density": -math.inf})
    assert cli.main(["train", *POINTS, "--steps", "5", "--out", str(tmp_path / "other")]) == 2  # before the folder
    assert not (tmp_path / "other").exists()
    trainer = Trainer.resume(
        load_config(tmp_path / "run" / "config.json"), recipes.get("ring").domain.points, RunFolder(tmp_path / "run")
    )
    with pytest.raises(NonFiniteError, match="the log density of the samples is -inf"):
        trainer._look()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == rows


# Making the folder of a run.


@pytest.mark.slow
def test_runs_started_together_get_a_folder_each(tmp_path):
    started = [start_minigan("train", "--quiet", *SMALL, cwd=tmp_path) for _ in range(2)]
    for process in started:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    made = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert made == ["mnist-mlp", "mnist-mlp-2"]
    assert len({(tmp_path / "runs" / name / "checkpoint.safetensors").read_bytes() for name in made}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("there", [True, False])
def test_only_one_of_two_runs_started_into_one_folder_trains(there, tmp_path):
    if there:
        (tmp_path / "run").mkdir()
    started = [start_minigan("train", "--quiet", "--out", "run", *SMALL, cwd=tmp_path) for _ in range(2)]
    said = [(process.communicate(timeout=120)[1], process.returncode) for process in started]
    assert sorted(code for _, code in said) == [0, 2]
    for err, code in said:
        assert code == 0 or (err.startswith("minigan: run already exists") and err.count("\n") == 1)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_second_of_two_runs_that_make_one_folder_is_refused(tmp_path):
    """Both find the name free, and the first finishes while the second still writes."""

    def fill(draft: RunFolder) -> None:
        draft.config.write_text("mine")

    def fill_slowly(draft: RunFolder) -> None:
        RunFolder(tmp_path / "run").create(fill)
        draft.config.write_text("not mine")

    with pytest.raises(UsageError, match="already exists"):
        RunFolder(tmp_path / "run").create(fill_slowly)
    assert RunFolder(tmp_path / "run").create(fill, numbered=True).path == tmp_path / "run-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run-2"]
    assert (tmp_path / "run" / "config.json").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.skipif(files.fcntl is None, reason="needs locks on files")
def test_leftovers_of_a_killed_run_are_removed_when_the_next_folder_is_made(tmp_path):
    (tmp_path / ".run.minigan-0123456789abcdef.partial").mkdir()
    (tmp_path / ".run.minigan-0123456789abcdef.partial" / "checkpoint.safetensors").write_bytes(b"half")
    (tmp_path / ".run.abc.partial").mkdir()  # not a name that minigan gives
    train_small(tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run.abc.partial", "run"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--set", "batch_size=0"], "the batch size is 0"),
        (["--set", "batch_size=20000"], "the batch size is 20000"),
        (["ring", "--set", "spread=1e308"], "with spread=1e+308: the samples are not finite"),
        (["ring", "--set", "highest_frequency=1e300"], "scores are not finite"),
        (["ring", "--set", "unroll_steps=1000000000"], "'unroll_steps' is 1,000,000,000"),
        (["ring", "--set", "n_critic=1000000000"], "'n_critic' is 1,000,000,000"),
        (["ring", "--set", "generator_widths=8,1000000000"], "'generator_widths' is 1,000,000,000"),
        (["ring", "--set", "generator_widths=" + "8," * 1000 + "8"], "asks for 1,001 layers"),
        (["--out", "file"], "file already exists"),
        (["--out", "file/run"], "file is no folder"),
        (["--out", "full"], "full already exists and is not an empty folder"),
        (["--out", "/proc/self/run"], "nothing can be written into /proc/self"),
    ],
)
def test_a_dry_run_refuses_what_training_refuses_and_neither_leaves_files(
    arguments, part, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    for file in ("file", "full/file"):
        Path(file).write_text("mine")
    for dry in (["--dry-run"], ["--quiet"]):
        assert cli.main(["train", *arguments, *dry]) == 2
        err = capsys.readouterr().err
        assert err.startswith("minigan: ") and err.count("\n") == 1
        assert part in err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "file", "full"]


def test_one_step_is_called_one_step(tmp_path, capsys):
    assert cli.main(["train", "--out", str(tmp_path / "run"), *SMALL, "--steps", "1"]) == 0
    assert "Done: 1 step in " in capsys.readouterr().out
