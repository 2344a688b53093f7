"""benchmarks/augmentation.py: its intervals, its table, and that finished trials are not repeated."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from minigan.data import Dataset

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of benchmarks/, which is no package, by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, loaded)
        spec.loader.exec_module(loaded)
        return loaded

    return load


def test_the_interval_is_that_of_students_t(module: Any) -> None:
    mean, half = module("augmentation").interval([1.0, 2.0, 4.0, 5.0])
    assert mean == 3
    assert half == pytest.approx(3.182 * math.sqrt(10 / 3) / 2)  # t(0.975; 3 degrees of freedom) s / sqrt(n)


def test_intervals_hold_the_mean_in_95_percent_of_samples(module: Any) -> None:
    interval, rng = module("augmentation").interval, np.random.default_rng(0)
    held = [abs(mean) <= half for mean, half in (interval(list(rng.standard_normal(5))) for _ in range(4000))]
    assert np.mean(held) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def test_finished_trials_are_not_repeated(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, file, seen = module("augmentation"), tmp_path / "rows.json", []

    def trial(labels: int, draw: int, data_dir: str | None) -> dict[str, Any]:
        if draw == 1 and not seen.count((labels, 1)):
            seen.append((labels, 1))
            raise KeyboardInterrupt
        seen.append((labels, draw))
        return {"labels": labels, "draw": draw, "none": 0.7, "gan": 0.6, "shifts": 0.8, "both": 0.81, "cpu_seconds": 1}

    monkeypatch.setattr(study, "trial_of", trial)
    monkeypatch.setattr(study.machine, "limit_cores", lambda threads, peers: 1)
    arguments = ["--labels", "100", "--draws", "2", "--json", str(file)]
    with pytest.raises(KeyboardInterrupt):
        study.main(arguments)
    assert [row["draw"] for row in json.loads(file.read_text())["rows"]] == [0]
    assert study.main(arguments) == 0
    assert seen == [(100, 0), (100, 1), (100, 1)], "the first trial is there, the second is tried again"
    assert [row["draw"] for row in json.loads(file.read_text())["rows"]] == [0, 1]


def test_differences_are_within_draws(module: Any) -> None:
    same = {"labels": 100, "shifts": 0.8, "both": 0.8, "cpu_seconds": 1}
    rows = [{**same, "draw": draw, "none": 0.7 + draw / 10, "gan": 0.69 + draw / 10} for draw in range(3)]
    machine = {"cpu": "a processor", "cores": 1, "threads": 1, "load_before": None}
    table = module("augmentation").report({"machine": machine, "versions": {}, "rows": rows})
    assert "| -1.00 ± 0.00 | +0.00 ± 0.00 |" in table


def test_shifts_move_a_digit_by_at_most_two_pixels(module: Any) -> None:
    picture = np.zeros((1, 28, 28, 1), np.uint8)
    picture[0, 14, 14] = 255
    moved = module("augmentation_trial").shifted(Dataset(np.repeat(picture, 50, axis=0), np.zeros(50, np.int64)))
    x, _ = moved.batches(50, labels=True, value_range=(0.0, 1.0))(0)
    places = np.argwhere(x.numpy()[..., 0] == 1)[:, 1:]
    assert len(places) == 50
    assert set(map(tuple, places - 14)) <= {(a, b) for a in range(-2, 3) for b in range(-2, 3)}
    assert len(set(map(tuple, places))) > 10
