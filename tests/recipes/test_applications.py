"""Every system of benchmarks/applications.py in its short form: a tiny network, a few steps, and its evaluation.

What so short a run has learned is not asserted; but that it can be trained and evaluated by the command line, has every
figure that the tables show, and its picture.
"""

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
from PIL import Image
from support.runs import write_idx

from minigan import cli, recipes
from minigan.core.errors import UsageError
from minigan.data import mnist
from minigan.domains import ImageDomain
from minigan.metrics import classifier_cache

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
STEPS, EVALUATED = 5, 40
TINY = {"batch_size": 8, "blocks": 1, "labels": 50}  # and layers of 8 units


def _module(name: str) -> ModuleType:
    """A module of benchmarks/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


SYSTEMS = _module("application_systems").SYSTEMS


def tiny(recipe: recipes.Recipe) -> list[str]:
    """Options of `minigan train` that make the recipe's networks and batches tiny."""
    changed: dict[str, Any] = {}
    for key, value in recipe.settings.items():
        if key.endswith("_widths"):
            changed[key] = ",".join(["8"] * len(value))
        elif key.endswith("_dense"):
            changed[key] = 8
        elif key in TINY:
            changed[key] = TINY[key]
    return [part for key, value in changed.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 250 digits for training and 50 for tests as IDX files in mnist/, and 40 grey pictures in faces/."""
    folder = tmp_path_factory.mktemp("data")
    digits = mnist.embedded()
    assert digits.labels is not None
    for split, part in (("train", slice(0, 250)), ("t10k", slice(250, 300))):
        write_idx(folder / "mnist" / f"{split}-images-idx3-ubyte", digits.images[part, :, :, 0])
        write_idx(folder / "mnist" / f"{split}-labels-idx1-ubyte", digits.labels[part].astype(np.uint8))
    (folder / "faces").mkdir()
    for number, digit in enumerate(digits.images[:40, :, :, 0]):
        Image.fromarray(digit).resize((64, 64)).save(folder / "faces" / f"{number:02d}.png")
    return folder


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_short_run_has_every_figure_and_its_picture(
    system: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_cache, "cache_directory", lambda name: data / name)
    monkeypatch.setattr(ImageDomain, "compare", lambda self, request: None)  # its bootstrap takes longer than all else
    (data / "classifiers").mkdir(exist_ok=True)
    run = tmp_path / "run"
    settings = [part for setting in system.settings for part in ("--set", setting.format(seed=0))]
    common = ["--data-dir", str(data / (system.data or "mnist")), "--quiet"]
    short = ["--steps", str(STEPS), "--sample-every", "1", "--log-every", "1", "--out", str(run)]
    assert cli.main(["train", system.recipe, *short, *settings, *tiny(recipes.get(system.recipe)), *common]) == 0
    assert cli.main(["evaluate", str(run), "--n", str(EVALUATED), "--quiet"]) == 0
    scores = json.loads((run / "scores.json").read_text())
    for figure in system.figures:
        for key in (figure.key, *figure.beside):
            value = figure.value(scores, key)
            assert value is not None and math.isfinite(value), key
            assert 0 <= value <= 1 or not figure.percent, key
    with Image.open(run / f"{system.picture}.png" if system.picture else run / "samples" / "step_000005.png") as image:
        low, high = image.convert("L").getextrema()
        assert low < high


def test_every_recipe_of_a_system_exists_and_names_are_unique() -> None:
    for system in SYSTEMS:
        try:
            recipes.get(system.recipe)
        except UsageError as error:
            pytest.fail(f"{system.name}: {error}")
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
