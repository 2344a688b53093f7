"""The disk cache of compiled kernels: a damaged cache changes no result, and no planted program is run."""

from __future__ import annotations

import importlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.environment import needs_numba

grp, pwd = pytest.importorskip("grp"), pytest.importorskip("pwd")  # Unix only
pytestmark = [pytest.mark.slow, needs_numba, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")]

HARNESS = Path(__file__).parents[1] / "support" / "damaged_cache.py"
COUNT = int(os.environ.get("MINIGAN_CACHE_DAMAGES", "0"))  # files to damage, with all kernels of a training step


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("caches")
    settings = ["kernels", str(COUNT)] if COUNT else ["small", "13"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "MINIGAN_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(HARNESS), str(folder), *settings],
        env=kept, capture_output=True, text=True, timeout=3600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _of(trials: list[dict[str, Any]], *damages: str) -> list[dict[str, Any]]:
    found = [trial for trial in trials if trial["damage"] in damages]
    assert len(found) >= len(damages)
    return found


def test_every_damaged_cache_gives_the_same_numbers_as_a_new_one(trials: list[dict[str, Any]]) -> None:
    assert len(trials) >= 4 + (COUNT or 13) + 9
    for trial in trials:
        assert trial["ended"] == 0, trial
        assert trial.get("bits") == trials[0]["bits"], trial


def test_simultaneous_first_runs_all_compile_and_the_next_run_loads(trials: list[dict[str, Any]]) -> None:
    runs = _of(trials, "three first runs at once")
    assert len(runs) == 3
    assert all("(once; it is cached)" in sentence for run in runs for sentence in run["said"])
    (then,) = _of(trials, "none")
    assert then["said"] == []


def test_a_file_that_fails_a_check_is_compiled_again_and_cached(trials: list[dict[str, Any]]) -> None:
    damaged = [trial for trial in trials if "again" in trial]
    assert len({trial["damage"] for trial in damaged}) == 13
    for trial in damaged:
        assert trial["said"], trial
        assert "again: its cache file cannot be used" in trial["said"][0]
        assert not trial["planted"], trial
        assert trial["again"]["bits"] == trial["bits"]
        assert trial["again"]["said"] == [], trial


def test_files_with_a_right_checksum_are_not_loaded_if_others_can_write_them(trials: list[dict[str, Any]]) -> None:
    refused = _of(
        trials, "others write to the cache", "others write to a folder of it", "the cache of another",
        "a folder of another",
    )  # fmt: skip
    for trial in refused:
        assert not trial["planted"], trial
        assert "who could store programs there that minigan would run; make it private" in trial["said"][0]
    for trial in _of(trials, "others write to the files", "files of another"):
        assert not trial["planted"], trial
        assert "cannot be used (it " in trial["said"][0]
    (control,) = _of(trials, "nobody could have meddled")
    assert control["planted"]  # shows that the other planted programs would have been run without the checks


def test_kernels_are_compiled_without_a_cache_if_none_can_be_written(trials: list[dict[str, Any]]) -> None:
    full, none = _of(trials, "full", "no folder")
    assert sum("cannot be cached in" in sentence for sentence in full["said"]) == 1
    assert full["files"] == 0  # no partly written file is left
    assert none["said"][0].endswith("set MINIGAN_CACHE_DIR to a folder that can; compiled kernels are not cached")
    assert all("(it will not be cached)" in sentence for sentence in none["said"][1:])


@pytest.mark.parametrize(
    ("mode", "group", "members", "uid", "expected"),
    [
        (0o700, "ada", [], 1000, ""),
        (0o755, "users", ["ada", "bob"], 1000, ""),
        (0o775, "ada", [], 1000, ""),  # as created with umask 002
        (0o775, "ada", ["ada"], 1000, ""),
        (0o775, "ada", ["bob"], 1000, "can be written by other users"),
        (0o775, "users", [], 1000, "can be written by other users"),
        (0o777, "ada", [], 1000, "can be written by other users"),
        (0o775, "ada", [], 0, "can be written by other users"),  # several people may be members of root's group
        (0o700, "ada", [], 1001, "belongs to another user"),
    ],
)
def test_ownership_problems(
    mode: int, group: str, members: list[str], uid: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = importlib.import_module("minigan_kernels.cache")
    monkeypatch.setattr(os, "getuid", lambda: 0 if uid == 0 else 1000)
    monkeypatch.setattr(pwd, "getpwuid", lambda number: SimpleNamespace(pw_name="ada", pw_uid=number))
    monkeypatch.setattr(grp, "getgrgid", lambda number: SimpleNamespace(gr_name=group, gr_mem=members))
    found = os.stat_result((stat.S_IFDIR | mode, 0, 0, 0, uid, 5, 0, 0, 0, 0))
    assert cache.ownership_problem(found) == expected


@pytest.mark.parametrize("stream", ["closed", "full", "none"])
def test_a_message_that_cannot_be_printed_raises_no_error(
    stream: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    notices = importlib.import_module("minigan_kernels.notices")
    monkeypatch.setattr(
        notices.Announcer, "say", staticmethod(notices._print)
    )  # an earlier command may have replaced it
    if stream == "none":
        monkeypatch.setattr(sys, "stderr", None)
    else:
        device = Path("/dev/full")
        if not device.exists():
            pytest.skip("needs /dev/full")
        raw = os.open(device, os.O_WRONLY)
        file = open(raw, "w", closefd=False)  # noqa: SIM115 - closing it would fail as writing does
        monkeypatch.setattr(sys, "stderr", file)
        if stream == "closed":
            file.close()
    notices.say("compiling")
    monkeypatch.undo()
    assert capsys.readouterr().out == ""
