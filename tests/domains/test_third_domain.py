"""A further kind of data is one class: here one-dimensional signals, which nothing in the library knows."""

from __future__ import annotations

import ast
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import minigan
from minigan import cli, explain, recipes
from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.domains import Domain, RunOptions
from minigan.nn import Dense, LeakyReLU, Module, Sequential, Tanh
from minigan.recipes import Recipe
from minigan.selftest import recipes as selftest
from minigan.training.trained_run import draw_samples, load_run

LENGTH = 16


class Sines:
    """Sine waves of random phase and frequency, (LENGTH,)."""

    shape = (LENGTH,)
    source = "a formula"

    def describe(self) -> dict[str, Any]:
        return {"name": "sines", "sha256": hashlib.sha256(b"sines").hexdigest()}

    def matches(self, recorded: Mapping[str, Any]) -> bool:
        return recorded.get("sha256") == self.describe()["sha256"]

    def __str__(self) -> str:
        return "sine waves"

    def sample(self, count: int, seed: int, step: int) -> np.ndarray:
        draws = random.generator(seed, "sines", step).uniform(size=(2, count, 1))
        return np.sin(2 * np.pi * (draws[0] + (1 + draws[1]) * np.arange(LENGTH) / LENGTH))


@dataclass(frozen=True)
class SignalDomain(Domain[Sines]):
    """Signals (LENGTH,), drawn as curves."""

    shape: tuple[int, ...] = (LENGTH,)

    setting_meanings: ClassVar[Mapping[str, str]] = {"gain": "by which networks see signals multiplied"}
    samples_shown: ClassVar[int] = 5

    def in_words(self, settings: Mapping[str, Any]) -> str:
        return f"signals of {LENGTH} numbers"

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        if settings.get("gain", 1) == 0:
            raise UsageError("the setting 'gain' is 0, expected another number; change it.")

    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> Sines:
        if run.data_dir:
            raise UsageError("signals come from a formula; leave --data-dir out.")
        return Sines()

    def batches(self, data: Sines, run: RunOptions) -> Callable[[int], Tensor]:
        count = run.settings["batch_size"] * run.settings["n_critic"]
        return lambda step: Tensor(data.sample(count, run.seed, step).astype(run.dtype))

    def noise(self, count: int, settings: Mapping[str, Any], rng: np.random.Generator, dtype: str) -> np.ndarray:
        return rng.uniform(-1, 1, (count, LENGTH)).astype(dtype)

    def present(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float64)

    def draw(self, samples: np.ndarray) -> np.ndarray:
        picture = np.full((64, 4 * LENGTH, 1), 255, np.uint8)
        rows = np.clip((1 - samples) * 32, 0, 63).astype(int)
        for row in rows:
            picture[row, 4 * np.arange(LENGTH)] = 0
        return picture

    def measure(self, samples: np.ndarray) -> dict[str, float]:
        return {"roughness": float(np.abs(np.diff(samples, axis=1)).mean())}

    def score(self, measured: Mapping[str, float]) -> float:
        return -measured["roughness"]

    def measured_in_words(self, measured: Mapping[str, float]) -> str:
        return f"roughness {measured['roughness']:.3f}" if "roughness" in measured else ""

    def arrays(self, samples: np.ndarray) -> dict[str, Any]:
        return {"signals": samples}

    def artefacts(self) -> dict[str, Callable[[Path, np.ndarray], None]]:
        return {"signals.csv": lambda path, samples: np.savetxt(path, samples, delimiter=",")}


def _networks(s: dict[str, Any], shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    (length,), width = shape, s["generator_widths"][0]
    generator = Sequential(Dense(s["latent_size"], width, rng), LeakyReLU(0.2), Dense(width, length, rng), Tanh())
    return generator, Sequential(Dense(length, width, rng), LeakyReLU(0.2), Dense(width, 1, rng))


SIGNALS = Recipe(
    name="signals",
    summary="a recipe for tests",
    networks=_networks,
    settings={"latent_size": 4, "batch_size": 8, "rate": 1e-3, "generator_widths": [8], "gain": 1.0},
    steps=20,
    domain=SignalDomain(),
)
STEPS = ["--sample-every", "5", "--checkpoint-every", "5", "--log-every", "1"]


@pytest.fixture(autouse=True)
def _with_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(recipes.RECIPES, SIGNALS.name, SIGNALS)


def test_it_trains_samples_and_is_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "signals", "--steps", "10", "--out", "run", *STEPS]) == 0
    told = capsys.readouterr()
    assert "Training signals on sine waves, from scratch" in told.err and "step 5: roughness 0." in told.err
    assert "run/signals.csv" in told.out and "minigan evaluate run" in told.out
    assert np.loadtxt("run/signals.csv", delimiter=",").shape == (5, LENGTH)
    assert json.loads(Path("run/config.json").read_text())["data"]["name"] == "sines"
    assert all("roughness" in json.loads(row) for row in Path("run/metrics.jsonl").read_text().splitlines()[4::5])

    assert cli.main(["sample", "run", "--n", "3", "--out", "three.npz"]) == 0
    np.testing.assert_allclose(np.load("three.npz")["signals"], draw_samples(load_run(Path("run")), 3, seed=1))
    assert cli.main(["sample", "run"]) == 0 and Path("run/samples-1.png").is_file()
    assert cli.main(["sample", "run", "--checkpoint", "best", "--json"]) == 0
    assert cli.main(["sample", "run", "--n", "1_000_000_000"]) == 2
    assert "GiB of memory" in capsys.readouterr().err

    assert cli.main(["evaluate", "run", "--n", "7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["step"] == 10 and found["samples"] == 7 and found["roughness"] > 0
    assert cli.main(["evaluate", "run"]) == 0
    assert capsys.readouterr().out.startswith("5 samples of run, step 10\nroughness  0.")


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_bits() -> None:
    assert cli.main(["train", "signals", "--steps", "15", "--out", "straight", "--quiet", *STEPS]) == 0
    assert cli.main(["train", "signals", "--steps", "9", "--out", "halted", "--quiet", *STEPS]) == 0
    assert cli.main(["train", "--resume", "halted", "--steps", "15", "--quiet"]) == 0
    for file in ("checkpoint.safetensors", "samples/step_000015.png", "signals.csv"):
        assert (Path("halted") / file).read_bytes() == (Path("straight") / file).read_bytes()


def test_it_is_listed_explained_and_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    told = capsys.readouterr().out
    assert "signals: a recipe for tests; signals of 16 numbers; 20 steps" in told
    assert "--set gain=1.0  by which networks see signals multiplied" in told
    assert cli.main(["recipes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signals"]["shape"] == [LENGTH]

    assert cli.main(["explain", "signals", "--json"]) == 0
    walks = json.loads(capsys.readouterr().out)["walks"]
    assert [walk["player"] for walk in walks] == list(explain.PLAYERS)
    names = [case.name for case in selftest.cases() if "/signals/" in case.name]
    assert names == ["recipes/signals/discriminator", "recipes/signals/generator"]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--data-dir", "."], "signals come from a formula"),
        (["--set", "gain=0"], "the setting 'gain' is 0"),
        (["--strict"], "--strict is about a folder of pictures"),
    ],
)
def test_it_refuses_options_in_its_own_words(options: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "signals", "--out", "run", *options]) == 2
    assert part in capsys.readouterr().err
    assert not Path("run").exists()


# Nobody else tells kinds apart.

PACKAGE = Path(minigan.__file__).parent
KINDS = {"Domain", "ImageDomain", "PointDomain", "Dataset", "Points", "Data", "Recipe", "GaussianMixture", "SwissRoll"}

# Whether an object is one at all; and what can only be done with pictures.
MAY_BE_ASKED = {
    "user_recipe.py": {"Domain", "Recipe"}, "sources.py": {"Dataset"}, "inpainting.py": {"ImageDomain", "HoleDomain"},
}  # fmt: skip


def _kinds_told_apart(source: str) -> Iterator[str]:
    """The kinds of data that `source` names in calls of isinstance and issubclass, or in class patterns of match."""
    for node in ast.walk(ast.parse(source)):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            asked = node.args[1:] if node.func.id in ("isinstance", "issubclass") else []
        elif isinstance(node, ast.MatchClass):
            asked = [node.cls]
        for part in (part for expression in asked for part in ast.walk(expression)):
            name = part.id if isinstance(part, ast.Name) else part.attr if isinstance(part, ast.Attribute) else None
            if name in KINDS:
                yield name


@pytest.mark.slow
def test_only_domains_tell_kinds_of_data_apart() -> None:
    for path in PACKAGE.rglob("*.py"):
        if (PACKAGE / "domains") not in path.parents:
            told_apart = set(_kinds_told_apart(path.read_text(encoding="utf-8")))
            assert not told_apart - MAY_BE_ASKED.get(path.name, set()), path


def test_the_search_for_kinds_finds_them() -> None:
    source = (
        "isinstance(x, (int, data.Points))\nmatch d:\n    case Dataset():\n        pass\nissubclass(t, Domain | str)\n"
    )
    assert sorted(_kinds_told_apart(source)) == ["Dataset", "Domain", "Points"]
