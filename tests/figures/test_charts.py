"""Charts do not depend on a user's Matplotlib settings, and a picture that fails costs a run nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from PIL import Image
from support.runs import SMALL, minigan

from minigan import cli
from minigan.figures import charts

FANCY = {"text.usetex": True, "figure.facecolor": "red", "lines.linewidth": 9.0, "axes.labelsize": 30, "font.size": 5}
DRAW = """
import os, sys
from pathlib import Path
from minigan.figures import charts

with charts.chart(Path("here.png"), (3, 2), dpi=50) as figure:
    figure.add_subplot().plot([1, 2], label="a line")
print(os.environ["MPLBACKEND"], sys.modules["matplotlib"].rcParams["backend"])
"""


def draw(path: Path) -> bytes:
    with charts.chart(path, (3, 2), dpi=50) as figure:
        figure.add_subplot().plot([1, 2], label="a line")
    return path.read_bytes()


def printed_by_another_process(folder: Path, backend: str) -> list[str]:
    """The words that another process prints, started in `folder`, where it reads matplotlibrc."""
    run = subprocess.run(
        [sys.executable, "-c", DRAW],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": backend},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return run.stdout.split()


def test_a_chart_has_the_size_and_the_format_asked_for(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    draw(tmp_path / "a")
    for name in ("a.png", "a"):
        with Image.open(tmp_path / name) as picture:
            assert (picture.format, picture.size) == ("PNG", (150, 100))
    assert b"<svg" in draw(tmp_path / "a.svg")
    assert draw(tmp_path / "a.pdf").startswith(b"%PDF")


def test_user_settings_change_no_byte_and_are_restored(tmp_path: Path) -> None:
    before = draw(tmp_path / "a.png")
    with matplotlib.rc_context(FANCY):
        settings = dict(matplotlib.rcParams)
        assert draw(tmp_path / "b.png") == before
        assert dict(matplotlib.rcParams) == settings


def test_what_a_block_that_fails_drew_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError), charts.chart(tmp_path / "a.png", (3, 2), dpi=50):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_neither_an_unknown_backend_nor_a_damaged_settings_file_matters(tmp_path: Path) -> None:
    lines = ["this is no setting", "lines.linewidth: thick", *(f"{name}: {value}" for name, value in FANCY.items())]
    (tmp_path / "matplotlibrc").write_text("\n".join(lines))
    assert printed_by_another_process(tmp_path, "nonsense")[0] == "nonsense"  # unchanged
    assert (tmp_path / "here.png").read_bytes() == draw(tmp_path / "there.png")


@pytest.mark.slow
def test_the_calling_program_has_the_backend_that_the_environment_names(tmp_path: Path) -> None:
    assert printed_by_another_process(tmp_path, "svg") == ["svg", "svg"]
    matplotlib.use("svg")
    try:
        os.environ["MPLBACKEND"] = "pdf"  # too late: Matplotlib has been imported
        draw(tmp_path / "a.png")
        assert matplotlib.get_backend() == "svg"
    finally:
        del os.environ["MPLBACKEND"]
        matplotlib.use("agg")


@pytest.mark.slow
def test_a_finished_run_loses_nothing_to_its_pictures(tmp_path: Path) -> None:
    settings = tmp_path / "matplotlibrc"
    settings.write_bytes(b"figure.facecolor: \xff")  # no UTF-8: Matplotlib itself cannot be imported
    first = minigan("train", "--out", "run", *SMALL, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    run = tmp_path / "run"
    assert "minigan: run/losses.png could not be made: Matplotlib cannot be imported" in first.stderr
    assert "minigan train --resume run makes its pictures again" in first.stderr
    assert not (run / "losses.png").exists() and (run / "samples.gif").exists()
    checkpoint = (run / "checkpoint.safetensors").read_bytes()

    settings.unlink()
    (run / "samples" / "step_000010.png").write_bytes(b"damaged")
    first_row, last_row = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    words = json.dumps(json.loads(first_row) | {"discriminator_loss": "low"})
    (run / "metrics.jsonl").write_text(f"{words}\n{last_row}")
    again = minigan("train", "--resume", "run", cwd=tmp_path, MPLBACKEND="nonsense")
    assert again.returncode == 0, again.stderr
    assert "Traceback" not in first.stderr + again.stderr
    assert "goes without run/samples/step_000010.png" in again.stderr
    assert "run/losses.png goes without 1 of" in again.stderr
    assert (run / "checkpoint.safetensors").read_bytes() == checkpoint
    with Image.open(run / "losses.png") as curves, Image.open(run / "samples.gif") as frames:
        assert curves.size == (990, 660) and frames.n_frames == 2


@pytest.mark.slow
def test_each_picture_that_cannot_be_made_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--set", "generator_widths=8", "--set", "discriminator_widths=8", "--set", "batch_size=16"]
    assert cli.main(["train", "ring", "--steps", "2", "--out", "run", *small]) == 0
    for picture in Path("run/samples").iterdir():
        picture.write_bytes(b"")
    for name in ("samples.gif", "losses.png", "contours.png"):
        Path("run", name).unlink()
        Path("run", name).mkdir()  # a file cannot replace it
    capsys.readouterr()
    assert cli.main(["train", "--resume", "run"]) == 0
    reported = [line for line in capsys.readouterr().err.splitlines() if "could not be made" in line]
    assert [line.split(" ")[1] for line in reported] == ["run/losses.png", "run/samples.gif", "run/contours.png"]
