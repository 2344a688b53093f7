"""The evaluation of a run is recorded in its folder, by `minigan evaluate` and at the end of `minigan train`."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from minigan import cli, recipes
from minigan.core.errors import UsageError
from minigan.domains import Evaluation, EvaluationRequest, PointDomain
from minigan.figures.image_grid import save_png
from minigan.training.evaluation import facts_as_json

PICTURE = np.full((4, 5, 1), 7, np.uint8)
TRAIN = ["train", "judged", "--steps", "3", "--out", "run"]


@dataclass(frozen=True)
class Judged(PointDomain):
    """Points whose evaluation has a picture and a number that is not finite."""

    evaluates_at_end: ClassVar[bool] = True

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        spread = float(request.sample(10, request.seed).std())
        facts = {"spread": spread, "psnr": math.inf, "each": [1, math.nan], "source": request.load().source}
        return Evaluation(facts, [f"the spread is {spread:.3f}"], "10 points", {"judged": PICTURE})


@dataclass(frozen=True)
class Broken(PointDomain):
    evaluates_at_end: ClassVar[bool] = True

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        raise UsageError("no judge is there; name one.")


@pytest.fixture(autouse=True)
def _with_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    register(monkeypatch, Judged("ring"))


def register(monkeypatch: pytest.MonkeyPatch, domain: PointDomain) -> None:
    recipe = dataclasses.replace(recipes.get("ring"), name="judged", domain=domain)
    monkeypatch.setitem(recipes.RECIPES, "judged", recipe)


def test_the_end_of_training_and_the_command_record_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(TRAIN) == 0
    told = capsys.readouterr().out
    assert "the spread is " in told and "run/judged.png" in told
    at_end = Path("run/scores.json").read_bytes()
    scores = json.loads(at_end)
    assert list(scores) == ["step", "spread", "psnr", "each", "source"]
    assert scores["step"] == 3 and scores["spread"] > 0 and scores["psnr"] is None and scores["each"] == [1, None]
    save_png(Path("expected.png"), PICTURE)
    assert Path("run/judged.png").read_bytes() == Path("expected.png").read_bytes()
    Path("run/scores.json").unlink()
    assert cli.main(["evaluate", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": "run", **scores}
    assert Path("run/scores.json").read_bytes() == at_end


def test_json_of_the_training_has_the_scores(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*TRAIN, "--json", "--quiet"]) == 0
    scores = json.loads(Path("run/scores.json").read_text())
    assert json.loads(capsys.readouterr().out)["scores"] == {k: v for k, v in scores.items() if k != "step"}


def test_an_evaluation_that_fails_leaves_the_training_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch, Broken("ring"))
    assert cli.main(TRAIN) == 0
    told = capsys.readouterr().err
    assert "run/scores.json could not be made: no judge is there; name one" in told and "minigan evaluate run" in told
    assert cli.main(["evaluate", "run"]) == 2
    assert not Path("run/scores.json").exists()


def test_a_folder_that_cannot_be_written_is_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*TRAIN, "--quiet"]) == 0
    Path("run/scores.json").unlink()
    Path("run/scores.json").mkdir()
    assert cli.main(["evaluate", "run"]) == 0
    told = capsys.readouterr()
    assert "the spread is" in told.out and "scores.json cannot be written" in told.err


def test_numbers_that_json_does_not_have() -> None:
    facts = {"a": math.nan, "b": [1.0, (-math.inf, 2)], "c": {"d": math.inf, "e": "nan"}, "f": True}
    assert facts_as_json(facts) == {"a": None, "b": [1.0, [None, 2]], "c": {"d": None, "e": "nan"}, "f": True}
