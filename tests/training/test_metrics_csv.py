"""metrics.csv: the rows of metrics.jsonl with wall times; whole after interruptions, resumes and rewinds."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.runs import SMALL

from minigan import cli
from minigan.autodiff.parameter import Parameter
from minigan.core.errors import FileError
from minigan.optim import SGD
from minigan.training import Loop, metrics_csv

ROWS = [
    {"step": 1, "loss": 0.1 + 0.2, "accuracy": 1e-300},
    {"step": 2, "loss": -1e22, "diagnosis": ["one: a, b", 'two: "c"']},
    {"step": 5, "loss": 3.0, "other": 7.0},
]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a row, of either file, but for the wall time."""
    return {name: float(value) for name, value in row.items() if value and name not in ("seconds", "diagnosis")}


def test_it_holds_every_number_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics_csv.append(path, ROWS[:1], [0.5])
    metrics_csv.append(path, ROWS[1:], [1.25, 2.0])
    assert [numbers(row) for row in table(path)] == [numbers(row) for row in ROWS]
    assert [row["seconds"] for row in table(path)] == ["0.5", "1.25", "2.0"]
    assert table(path)[1]["diagnosis"] == 'one: a, b; two: "c"'
    assert list(table(path)[0])[:2] == ["step", "seconds"]
    assert metrics_csv.seconds_so_far(path) == 2.0


def test_rows_with_the_same_names_are_only_appended(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics_csv.append(path, ROWS[:1], [0.5])
    inode, before = path.stat().st_ino, path.read_bytes()
    metrics_csv.append(path, [{"step": 3, "loss": 1.0}], [1.0])
    assert path.stat().st_ino == inode and path.read_bytes().startswith(before)
    metrics_csv.append(path, ROWS[2:], [2.0])  # a further column
    assert path.stat().st_ino != inode
    assert [row["other"] for row in table(path)] == ["", "", "7.0"]


def test_it_is_made_again_with_the_wall_times_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics_csv.append(path, ROWS, [0.5, 1.0, 2.0])
    path.write_text(path.read_text() + "7,3.5,0.")  # cut off
    metrics_csv.rewrite(path, [*ROWS[:2], {"step": 4, "loss": 1.0}])
    assert [(row["step"], row["seconds"]) for row in table(path)] == [("1", "0.5"), ("2", "1.0"), ("4", "")]
    assert metrics_csv.seconds_so_far(path) == 1.0


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\0", b"a,b\n1,2\n", b"step,seconds\nx,y\n1,nan\n1,-5\n1\n", b'step,"', b"\n\n"], ids=repr
)
def test_what_somebody_made_of_it_does_no_harm(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    assert metrics_csv.seconds_so_far(path) == 0
    metrics_csv.append(path, ROWS[:1], [1.0])
    metrics_csv.rewrite(path, ROWS)
    assert [numbers(row) for row in table(path)] == [numbers(row) for row in ROWS]


def test_it_is_not_written_through_a_pipe_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError):
        metrics_csv.append(tmp_path / "folder", ROWS[:1], [1.0])
    metrics_csv.append(tmp_path / "real.csv", ROWS[:1], [1.0])
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with pytest.raises(FileError, match="is a link"):
        metrics_csv.append(tmp_path / "link.csv", ROWS[:1], [1.0])


def assert_same_rows(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [numbers(row) for row in table(run / "metrics.csv")] == [numbers(row) for row in rows]


@pytest.mark.slow
def test_a_run_has_the_same_rows_in_both_files_however_often_it_is_interrupted(tmp_path: Path) -> None:
    run, straight = tmp_path / "run", tmp_path / "straight"
    for folder, parts in ((straight, [12]), (run, [5, 12])):
        for number, steps in enumerate(parts):
            train(folder, steps, stop_after=steps, resume=number > 0)
            assert_same_rows(folder)
            seconds = [float(row["seconds"]) for row in table(folder / "metrics.csv")]
            assert seconds == sorted(seconds) and len(seconds) == steps
    assert (run / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()
    before = table(run / "metrics.csv")
    train(run, 20, stop_after=13, resume=True)
    assert table(run / "metrics.csv")[:12] == before  # wall times included
    (run / "metrics.csv").unlink()
    train(run, 20, stop_after=15, resume=True)
    assert_same_rows(run)


def train(folder: Path, steps: int, stop_after: int, resume: bool) -> None:
    weight = Parameter(np.array([1.0]))
    optimizer = SGD({"weight": weight}, lambda n: 0.5 / (n + 1))

    class Part:
        def state(self) -> dict[str, np.ndarray]:
            return {"weight": weight.numpy().copy()}

        def load_state(self, state: dict[str, np.ndarray]) -> None:
            weight.data[...] = state["weight"]

    def step(number: int) -> dict[str, float]:
        optimizer.step([weight * 0.5])
        return {"loss": weight.item()}

    parts = {"weight": Part(), "sgd": optimizer}
    loop = Loop(step, parts, folder, steps=20, log_every=1, checkpoint_every=4, resume=resume, progress=False)
    loop.run(lambda *_: None, lambda: loop.step >= stop_after)


@pytest.mark.slow
def test_learning_rates_are_recorded_in_every_row(tmp_path: Path) -> None:
    train(tmp_path / "run", 20, stop_after=20, resume=False)
    rates = [float(row["sgd_learning_rate"]) for row in table(tmp_path / "run" / "metrics.csv")]
    np.testing.assert_array_equal(rates, [0.5 / (n + 1) for n in range(20)])  # of the update of each step


@pytest.mark.slow
def test_a_recipe_records_its_learning_rates(tmp_path: Path) -> None:
    run = tmp_path / "run"
    changed = ["--set", "rate=0.001", "--set", "generator_rate=0.0005", "--steps", "2", "--log-every", "1"]
    assert cli.main(["train", "--out", str(run), "--quiet", *SMALL, *changed]) == 0
    assert_same_rows(run)
    for row in table(run / "metrics.csv"):
        assert float(row["generator_learning_rate"]) == 0.0005 and float(row["discriminator_learning_rate"]) == 0.001
