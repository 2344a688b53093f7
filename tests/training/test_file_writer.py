"""Files are written beside the training, in the order asked for; failures, Ctrl-C and kills leave whole files only."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import SMALL

from minigan import cli, recipes
from minigan.autodiff import Tensor
from minigan.figures import gif
from minigan.training import RunConfig, RunFolder, Trainer, checkpoint, gan_loop, trainer
from minigan.training.file_writer import _MOST_WAITING, FileWriter
from minigan.training.read_ahead import ReadAhead

TINY = {"generator_widths": [8], "discriminator_widths": [8], "batch_size": 8}


def begun(run: Path, **options: int) -> Trainer:
    config = RunConfig("ring", TINY, **options)
    return Trainer.begin(config, recipes.get("ring").domain.points, RunFolder(run))


def train(run: Path, **options: int) -> Trainer:
    training = begun(run, **options)
    training.run(lambda step, metrics: None, lambda: False)
    return training


# The writer alone.


def test_calls_are_made_in_order_on_another_thread_and_all_of_them() -> None:
    made: list[tuple[int, int]] = []
    with FileWriter() as writer:
        numbers = [writer.submit(lambda i=i: made.append((i, threading.get_ident()))) for i in range(100)]
    assert [i for i, _ in made] == list(range(100))
    assert numbers == list(range(1, 101))
    assert {thread for _, thread in made} != {threading.get_ident()} and len({thread for _, thread in made}) == 1


def test_a_slow_call_holds_the_training_up_only_when_many_wait() -> None:
    go_on, blocked, submitted = threading.Event(), threading.Event(), []
    with FileWriter() as writer:

        def submit_many() -> None:
            writer.submit(go_on.wait)
            for i in range(1, _MOST_WAITING + 1):
                submitted.append(i)
                if i == _MOST_WAITING:
                    blocked.set()
                writer.submit(lambda: None)
            submitted.append(0)

        training = threading.Thread(target=submit_many)
        training.start()
        assert blocked.wait(60)  # all but the last were accepted although the first call has not ended
        training.join(0.05)
        assert submitted[-1] == _MOST_WAITING
        go_on.set()
        training.join(60)
    assert submitted[-1] == 0


def test_waiting_for_a_call_does_not_wait_for_later_ones() -> None:
    go_on, made = threading.Event(), []
    with FileWriter() as writer:
        first = writer.submit(lambda: made.append("first"))
        writer.submit(lambda: go_on.wait(60))
        writer.wait(first)
        assert made == ["first"]
        go_on.set()
        writer.wait()


@pytest.mark.parametrize("notices", ["submit", "wait", "end"])
def test_after_a_failure_no_call_is_made_and_it_is_raised(notices: str) -> None:
    made: list[int] = []

    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def train() -> None:
        with writer:
            holding = threading.Event()
            writer.submit(holding.wait)
            failing = writer.submit(fail)
            writer.submit(lambda: made.append(1))
            holding.set()
            if notices != "end":
                with pytest.raises(OSError, match="No space"):
                    writer.wait(failing)
                getattr(writer, notices)(*([lambda: made.append(2)] if notices == "submit" else []))

    writer = FileWriter()
    with pytest.raises(OSError, match="No space"):
        train()
    assert not made
    with writer:  # it can be used again
        writer.submit(lambda: made.append(3))
    assert made == [3]


@pytest.mark.parametrize(("error", "expected"), [(KeyboardInterrupt, ["begun"]), (ValueError, ["begun", "waiting"])])
def test_ctrl_c_drops_what_waits_and_an_error_does_not(error: type[BaseException], expected: list[str]) -> None:
    made: list[str] = []
    began, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        go_on.wait(60)
        made.append("begun")

    def train() -> None:
        with FileWriter() as writer:
            writer.submit(slow)
            writer.submit(lambda: made.append("waiting"))
            began.wait(60)
            threading.Timer(0.05, go_on.set).start()
            raise error

    with pytest.raises(error):
        train()
    assert made == expected


def test_calls_have_the_handling_of_floating_point_errors_of_the_training() -> None:
    seen: list[str] = []
    with np.errstate(over="raise"), FileWriter() as writer:
        writer.submit(lambda: seen.append(np.geterr()["over"]))
    assert seen == ["raise"]


# A run.


def test_a_full_disk_ends_the_training_with_a_sentence_and_the_run_can_be_resumed(tmp_path, monkeypatch, capsys):
    """The disk is full when the picture of step 10 is written."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    small = [*SMALL, "--quiet"]
    assert cli.main(["train", "--out", str(whole), *small]) == 0
    real = gan_loop.save_png

    def save_png(path: Path, image: np.ndarray) -> None:
        if path.name == "step_000010.png":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, image)

    with monkeypatch.context() as patch:
        patch.setattr(gan_loop, "save_png", save_png)
        capsys.readouterr()
        assert cli.main(["train", "--out", str(run), *small]) == 1
    err = capsys.readouterr().err
    assert err.startswith("minigan: ") and err.count("\n") == 1 and "the disk is full" in err
    assert checkpoint.read_metadata(run / "checkpoint.safetensors").step == 5  # nothing after the failure is written
    assert len((run / "metrics.jsonl").read_bytes().splitlines()) <= 1
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    assert contents(run) == contents(whole)


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but metrics.csv and the report, with wall times."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in ("metrics.csv", "report.html")]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def test_a_failed_row_of_metrics_leaves_no_later_checkpoint(tmp_path, monkeypatch):
    training = begun(tmp_path / "run", steps=20, checkpoint_every=10, log_every=5)
    rows = []

    def append(new: list[dict], seconds: list[float]) -> None:
        rows.extend(row["step"] for row in new)
        if rows[-1] >= 10:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(training.folder, "append", append)
    with pytest.raises(OSError, match="Input/output"):
        training.run(lambda step, metrics: None, lambda: False)
    assert rows in ([5, 10], [5, 10, 15, 20])
    assert checkpoint.read_metadata(tmp_path / "run" / "checkpoint.safetensors").step == 0


def test_what_a_checkpoint_needs_is_written_before_it(tmp_path, monkeypatch):
    """At each checkpoint the metrics and the pictures of its step are there, however slow the disk is."""
    run, found = tmp_path / "run", []
    real = trainer.kept_checkpoints.save

    def save(folder: RunFolder, state: dict, *rest: object) -> None:
        rows = (run / "metrics.jsonl").read_bytes().count(b"\n")
        found.append((int(state["step"]), rows, len(list((run / "samples").iterdir()))))
        real(folder, state, *rest)

    monkeypatch.setattr(trainer.kept_checkpoints, "save", save)
    train(run, steps=40, sample_every=10, checkpoint_every=20, log_every=10)
    assert found == [(20, 2, 3), (40, 4, 5)]


def test_the_state_in_a_checkpoint_is_that_of_its_step_however_late_it_is_written(tmp_path, monkeypatch):
    """The writer is held up until the training has gone on for 7 steps."""
    go_on, real = threading.Event(), trainer.kept_checkpoints.save
    with monkeypatch.context() as patch:
        patch.setattr(trainer.kept_checkpoints, "save", lambda *arguments: go_on.wait(60) and real(*arguments))
        late = begun(tmp_path / "late", steps=17, checkpoint_every=10)

        def should_stop() -> bool:
            if late.gan.step == 17:
                go_on.set()
            return False

        late.run(lambda step, metrics: None, should_stop)
    train(tmp_path / "straight", steps=17, checkpoint_every=10)
    for name in ("checkpoint.safetensors", "checkpoints/step_000010.safetensors"):
        assert (tmp_path / "late" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_the_film_shows_the_pictures_in_the_order_of_their_steps(tmp_path):
    run = tmp_path / "run"
    train(run, steps=50, sample_every=10)
    pictures = sorted((run / "samples").iterdir())
    assert [path.name for path in pictures] == [f"step_{step:06d}.png" for step in range(0, 51, 10)]
    with Image.open(run / "samples.gif") as film:
        assert film.n_frames == 6
        for i, path in enumerate(pictures):
            film.seek(i)
            frame = np.asarray(film.convert("RGB")).astype(int)
            with Image.open(path) as picture:
                assert np.array_equal(frame, np.asarray(picture.convert("RGB")))


def test_a_picture_that_somebody_changes_during_the_run_is_shown_as_it_is_now(tmp_path):
    run, white = tmp_path / "run", np.full((480, 480, 3), 255, np.uint8)
    training = begun(run, steps=30, sample_every=10)

    def report(step: int, metrics: dict[str, float]) -> None:
        if step == 25:
            training._files.wait()
            gan_loop.save_png(run / "samples" / "step_000010.png", white)

    training.config = dataclasses.replace(training.config, log_every=5)
    training.run(report, lambda: False)
    with Image.open(run / "samples.gif") as film:
        film.seek(1)
        assert np.array_equal(np.asarray(film.convert("RGB")), white)


def test_the_film_of_a_long_run_has_the_frames_made_for_it(tmp_path, monkeypatch):
    """No picture is read again for the film, although it shows 44 of 46."""
    monkeypatch.setattr(gif, "_opened", lambda picture: pytest.fail(f"{picture} is read again"))
    train(tmp_path / "run", steps=89, sample_every=2)
    with Image.open(tmp_path / "run" / "samples.gif") as film:
        assert film.n_frames == gif.MAX_FRAMES


def test_the_steps_take_a_part_of_the_time(tmp_path):
    outcome = begun(tmp_path / "run", steps=20).run(lambda step, metrics: None, lambda: False).outcome
    assert 0 < outcome.step_seconds < outcome.seconds


@pytest.mark.parametrize(("size", "calls"), [(8, 8), (1 << 18, 4), (1 << 21, 1)])
def test_batches_are_made_ahead_within_limits_and_are_the_same(size: int, calls: int) -> None:
    made: list[int] = []

    def batch(step: int) -> Tensor:
        made.append(step)
        return Tensor(np.full(size // 4, step, np.float32))

    ahead = ReadAhead(batch)
    for step in (5, 5, 6, 5, 0, 1):
        assert (ahead(step).numpy() == step).all()
    assert made[:calls] == list(range(5, 5 + calls))
    assert len(made) == (2 * calls if calls > 1 else 5)


HELD_UP = """
import sys, threading, time
from pathlib import Path
from minigan import cli
from minigan.training import gan_loop
real = gan_loop.save_png
def save_png(path, image):
    if path.name != "step_000000.png":
        Path("pending").touch()
        time.sleep({seconds})
    real(path, image)
gan_loop.save_png = save_png
sys.exit(cli.main(["train", "ring", *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_run_that_is_stopped_while_pictures_are_pending_is_resumed_with_the_same_bits(tmp_path):
    options = [
        "--steps", "300", "--sample-every", "20", "--checkpoint-every", "30",
        "--set", "generator_widths=8", "--set", "discriminator_widths=8", "--set", "batch_size=8",
    ]  # fmt: skip
    assert cli.main(["train", "ring", "--out", str(tmp_path / "whole"), "--quiet", *options]) == 0
    for number, seconds in ((signal.SIGKILL, 60), (signal.SIGINT, 0.2)):
        folder = tmp_path / number.name
        folder.mkdir()
        (folder / "held_up.py").write_text(HELD_UP.format(seconds=seconds))
        process = subprocess.Popen(
            [sys.executable, "held_up.py", "--out", "run", *options], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        while not (folder / "pending").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        assert process.returncode == (-9 if number == signal.SIGKILL else 130), err
        if number == signal.SIGINT:
            assert "Traceback" not in err
            assert not [path for path in (folder / "run").rglob("*") if path.name.endswith(".partial")]
        assert cli.main(["train", "--resume", str(folder / "run"), "--quiet"]) == 0
        assert contents(folder / "run") == contents(tmp_path / "whole")
