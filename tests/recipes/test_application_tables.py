"""benchmarks/applications.py: what it runs again and what not, and its tables."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROW: dict[str, Any] = {
    "short": False, "command": "minigan train x", "steps": 10, "seconds": 5.0, "cpu": "a CPU", "threads": 1,
    "versions": {"minigan": "1"}, "run": "runs/x-0",
}  # fmt: skip


@pytest.fixture
def applications(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script; its modules are unloaded afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import applications

    yield applications
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def test_a_table_has_mean_worst_and_baselines(applications: ModuleType) -> None:
    figure = applications.application_pages.Figure("d.kl", "KL", 0.06, least=True, beside={"floor": "floor"})
    share = applications.application_pages.Figure("shares", "rarest", 0.03, percent=True)
    system = applications.System("x", "X", "ring", (figure, share))
    scores = [{"d": {"kl": kl}, "floor": 0.02, "shares": [0.5, least]} for kl, least in ((0.05, 0.04), (0.09, 0.02))]
    rows = [{**ROW, "system": "x", "seed": seed, "scores": found} for seed, found in enumerate(scores)]
    rows.append({**rows[0], "short": True})  # which no table shows
    lines = applications.application_pages.tables([system], rows).splitlines()
    assert lines[2] == "| `x` | KL | 0.07 (short of it) | 0.09 | <= 0.06 | floor 0.02 | 0-1 | 5 s |"
    assert lines[3] == "| `x` | rarest | 3.0% | 2.0% | >= 3.0% |  | 0-1 | 5 s |"
    assert lines[-1] == "On a CPU, 1 thread: minigan 1."


def test_finished_runs_are_not_repeated_and_interrupted_ones_go_on(
    applications: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, ...]] = []

    def minigan(*arguments: str) -> None:
        called.append(arguments)
        folder = tmp_path / "mnist-relu-short-0"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").touch()
        if len(called) == 1:
            raise subprocess.CalledProcessError(1, "minigan")  # interrupted in training
        (folder / "scores.json").write_text(json.dumps({"step": 100, "shares": [0.1]}))

    monkeypatch.setattr(applications, "minigan", minigan)
    monkeypatch.setattr(applications.machine, "limit_cores", lambda *_: 1)
    options = argparse.Namespace(only=["mnist-relu"], seeds=1, first_seed=0, short=True, out=tmp_path, threads=1)
    codes = [applications.run(options, applications.Results(tmp_path / "results.json")) for _ in range(3)]
    assert codes == [1, 0, 0]
    assert [arguments[:2] for arguments in called] == [
        ("train", "mnist-relu"), ("train", "--resume"),
    ]  # fmt: skip


def test_a_system_that_there_is_not(applications: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert applications.main(["--only", "nothing"]) == 2
    assert "there is no system 'nothing'" in capsys.readouterr().err
