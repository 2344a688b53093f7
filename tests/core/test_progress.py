"""Progress: a bar on a terminal, lines in a log."""

from __future__ import annotations

import io
import re

import pytest

from minigan import cli
from minigan.cli import compile_notice
from minigan.core import progress


@pytest.fixture
def clock(monkeypatch):
    """A list with the time, which tests set."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_every_few_seconds(clock, capsys):
    with progress.bar(False, total=1000, initial=100, unit="step") as bar:
        for step in range(101, 1001):
            clock[0] += 0.125
            bar.set_postfix_str(f"loss {step}")
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 23
    assert lines[0] == "step 140 of 1,000 (14%), 8 a second, 1 min 48 s left; loss 140"
    assert lines[-1] == "step 1,000 of 1,000 (100%), 8 a second, 0 s left; loss 1000"


def test_what_is_short_gets_no_line(clock, capsys):
    assert list(progress.over([1, 2, 3], False, desc="reading")) == [1, 2, 3]
    assert capsys.readouterr().err == ""


def test_quiet_shows_nothing(clock, capsys):
    with progress.bar(True, total=3) as bar:
        clock[0] += 60
        bar.update(3)
        assert bar.n == 3
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with progress.bar(False, total=3, desc="reading") as bar:
        bar.update(3)
    assert re.search(r"\rreading: 100%\|", stream.getvalue())


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds, words):
    assert progress.duration(seconds) == words


@pytest.mark.slow
def test_a_run_in_a_log_has_lines_and_no_bar(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    small = ["--set", "generator_widths=4", "--set", "discriminator_widths=4", "--set", "frequencies=2"]
    assert cli.main(["train", "ring", "--steps", "20", "--out", str(tmp_path / "run"), *small]) == 0
    err = capsys.readouterr().err
    assert "step 10 of 20 (50%)" in err and "loss D" in err
    assert "\r" not in err


def test_kernels_that_are_compiled_are_announced_once_in_a_log(capsys):
    notice = compile_notice._Notice()
    for name in ("dense", "adam"):
        notice.say(f"minigan: compiling the kernel '{name}' for float32 on this CPU (once; it is cached)")
    notice.say("minigan: compiling the kernel 'x' for float32 again: its cache file cannot be used (why)")
    err = capsys.readouterr().err.splitlines()
    assert [line.split()[4] for line in err] == ["'dense'", "'x'"]


def test_on_a_terminal_they_are_one_line_that_goes_away(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    notice = compile_notice._Notice()
    notice.say("minigan: compiling 3 kernels on this CPU, 2 at a time (once; they are cached)")
    for done in range(4):
        notice.progress(done, 3)
    text = stream.getvalue()
    assert "compiling kernels (once; they are cached)" in text and "0/3" in text
    assert "\n" not in text and text.endswith("\r")
