"""Recipes in files of the user's: they are executed when they are named, recorded, and asked for afterwards."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from minigan import cli, recipes
from minigan.core.errors import CheckpointError, MiniganError, UsageError
from minigan.training import load_config

BUILD = '''"""Points of a ring, with a small network."""

import numpy as np

import minigan as mg
from minigan import nn, optim
from minigan.domains import PointDomain

DOMAIN = PointDomain("ring")


def build(shape, seed, dtype, steps=30, batch_size=8, rate=1e-3, width=4, fancy=False, widths=(3, 4)):
    rng = np.random.default_rng(seed)
    g = nn.Sequential(nn.Dense(4, width, rng), nn.ReLU(), nn.Dense(width, *shape, rng)).astype(dtype)
    d = nn.Sequential(nn.Dense(*shape, width, rng), nn.LeakyReLU(0.2), nn.Dense(width, 1, rng)).astype(dtype)
    optimizers = optim.Adam(g.parameters(), rate), optim.Adam(d.parameters(), rate)
    return mg.GAN(g, d, mg.losses.get("hinge"), *optimizers, latent_size=4, seed=seed)
'''
RECIPE = '''from minigan import nn
from minigan.domains import ImageDomain
from minigan.recipes import Recipe


def networks(s, shape, rng):
    """Dense networks."""
    size = shape[0] * shape[1] * shape[2]
    generator = nn.Sequential(nn.Dense(s["latent_size"], size, rng), nn.Tanh())
    return generator, nn.Sequential(nn.Dense(size, s["width"], rng), nn.LeakyReLU(0.2), nn.Dense(s["width"], 1, rng))


RECIPE = Recipe(
    name="mine", summary="for tests", networks=networks, steps=20, domain=ImageDomain((28, 28, 1), (-1.0, 1.0), True),
    settings={"latent_size": 3, "batch_size": 4, "rate": 1e-3, "width": 5}, meanings={"width": "of the hidden layer"},
)
'''


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minigan.figures.density_map.save_contours", lambda *_: None)  # they take most of the time
    yield
    recipes.forget_files()


def written(text: str, name: str = "mine.py") -> str:
    Path(name).write_text(text)
    return name


def refused(arguments: list[str], capsys) -> str:
    """The one sentence with which `arguments` are refused."""
    capsys.readouterr()
    assert cli.main(arguments) in (1, 2)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("minigan: "), err
    return err


@pytest.mark.slow
@pytest.mark.parametrize(("text", "name"), [(BUILD, "mine"), (RECIPE, "mine")])
def test_a_file_trains_and_every_command_on_its_run_asks_for_it(text, name, capsys):
    file = written(text)
    assert cli.main(["train", file, "--steps", "12", "--out", "run", "--quiet"]) == 0
    recorded = json.loads(Path("run/config.json").read_text())
    assert recorded["recipe"] == name
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert recorded["recipe_file"] == {"path": str(Path(file).resolve()), "sha256": digest}
    for command in (
        ["sample", "run", "--n", "3", "--out", "x.npz"], ["evaluate", "run", "--n", "20", "--quiet"],
        ["train", "--resume", "run", "--steps", "14", "--quiet"],
        ["train", "--config", "run/config.json", "--out", "again", "--quiet"],
    ):  # fmt: skip
        if command[0] == "evaluate" and text is RECIPE:
            continue  # it would train a classifier
        assert "add --recipe" in refused(command, capsys)
        assert cli.main([*command, "--recipe", file]) == 0
        assert capsys.readouterr().err == ""
    assert (np.load("x.npz")["points"] if text is BUILD else np.load("x.npz")["images"]).shape[0] == 3
    assert cli.main(["explain", file, "--player", "generator", "--quiet"]) == 0
    assert cli.main(["recipes", file]) == 0
    assert "--set width=" in capsys.readouterr().out


@pytest.mark.slow
def test_a_resumed_run_of_a_file_has_the_same_bits():
    file = written(BUILD)
    assert cli.main(["train", file, "--steps", "20", "--out", "straight", "--quiet"]) == 0
    assert cli.main(["train", file, "--steps", "13", "--out", "halted", "--quiet"]) == 0
    assert cli.main(["train", "--resume", "halted", "--recipe", file, "--steps", "20", "--quiet"]) == 0
    assert Path("halted/checkpoint.safetensors").read_bytes() == Path("straight/checkpoint.safetensors").read_bytes()


def test_the_next_command_that_is_printed_works(capsys):
    assert cli.main(["train", written(BUILD), "--steps", "2", "--out", "run", "--set", "width=2"]) == 0
    following = capsys.readouterr().out.splitlines()[-1]
    assert following.startswith("Next: minigan sample run --recipe ")
    command = following.removeprefix("Next: minigan ").partition(",")[0].split()
    assert cli.main([*command, "--n", "2", "--out", "x.npz"]) == 0


def test_the_settings_of_build_are_its_other_arguments(capsys):
    recipe = recipes.load_file(written(BUILD))
    assert recipe.settings == {
        "batch_size": 8, "rate": 1e-3, "width": 4, "fancy": False, "widths": [3, 4], "schedule_steps": 0,
    }  # fmt: skip
    assert recipe.steps == 30 and recipe.summary == "Points of a ring, with a small network"
    gan = recipe.build(width=9, fancy="true", dtype="float64", seed=3)
    assert gan.seed == 3 and gan.generator[0].weight.shape == (4, 9) and gan.generator[0].weight.dtype == np.float64
    assert recipes.get("mine") is recipe
    with pytest.raises(UsageError, match="did you mean 'rate'"):
        recipe.build(lr=1)


@pytest.mark.slow
def test_a_changed_file_is_noticed_and_recorded_anew(capsys):
    file = written(BUILD)
    assert cli.main(["train", file, "--steps", "12", "--out", "run", "--quiet"]) == 0
    written(BUILD + "\n# another line\n")
    assert cli.main(["sample", "run", "--recipe", file, "--n", "2", "--out", "x.npz"]) == 0
    assert "mine.py has changed since the run run recorded it" in capsys.readouterr().err
    assert cli.main(["train", "--resume", "run", "--recipe", file, "--steps", "13", "--quiet"]) == 0
    assert cli.main(["sample", "run", "--recipe", file, "--n", "2", "--out", "x.npz"]) == 0
    assert capsys.readouterr().err == ""
    recorded = json.loads(Path("run/config.json").read_text())["recipe_file"]
    assert recorded["sha256"] == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert recorded["earlier"] == [{"sha256": hashlib.sha256(BUILD.encode()).hexdigest(), "until_step": 12}]


def test_the_file_in_a_configuration_is_never_executed(capsys):
    file = written(BUILD)
    assert cli.main(["train", file, "--steps", "12", "--out", "run", "--quiet"]) == 0
    written("raise SystemExit('it was executed')\n")
    assert "add --recipe" in refused(["sample", "run"], capsys)
    with pytest.raises(CheckpointError, match="minigan runs no file that you have not named"):
        load_config(Path("run/config.json"))
    shutil.copy("run/config.json", "c.json")
    assert "add --recipe" in refused(["train", "--config", "c.json"], capsys)
    assert "ends the program" in refused(["sample", "run", "--recipe", file], capsys)


@pytest.mark.slow
def test_a_run_of_another_recipe_needs_no_file(capsys):
    file = written(BUILD)
    small = ["--steps", "2", "--quiet", "--set", "generator_widths=4", "--set", "discriminator_widths=4"]
    assert cli.main(["train", "ring", "--out", "run", *small]) == 0
    assert "is a run of 'ring', and" in refused(["sample", "run", "--recipe", file], capsys)
    assert "is a run of 'ring', not of 'mine'" in refused(["train", "--resume", "run", "--recipe", file], capsys)
    assert "both 'ring' and --recipe mine.py" in refused(["train", "ring", "--recipe", file], capsys)
    assert cli.main(["train", "--recipe", file, "--out", "own", "--steps", "2", "--quiet"]) == 0


WRONG = {
    "a mistake when it is read": (
        BUILD.replace("DOMAIN =", "1 / 0\nDOMAIN ="),
        "line 9, in the file itself raised Zero",
    ),
    "a mistake of syntax": ("def build(:\n", "mine.py, line 1: "),
    "a mistake in build": (BUILD.replace("    rng =", "    rng = 1 / 0\n    rng ="), "line 13, in build raised Zero"),
    "a wrong shape in build": (BUILD.replace("rng), nn.ReLU()", "rng), nn.Dense(9, width, rng)"), "Dense(9, 4)"),
    "a ValueError in build": (
        BUILD.replace("    rng =", "    raise ValueError('no')\n    rng ="),
        "no (mine.py, line 13)",
    ),
    "no recipe": ("x = 1\n", "mine.py defines no recipe; let it define RECIPE"),
    "something else": ("RECIPE = 3\n", "RECIPE in mine.py is of type int"),
    "no GAN": ("def build():\n    return 3\n", "returned an object of type int, expected a minigan.GAN"),
    "an argument without default": ("def build(width):\n    pass\n", "takes 'width' without a default"),
    "arguments without names": ("def build(**settings):\n    pass\n", "takes '**settings'"),
    "a default of another kind": ("def build(x={}):\n    pass\n", "the default of 'x'"),
    "another domain": ("DOMAIN = 'ring'\ndef build():\n    pass\n", "DOMAIN in mine.py is of type str"),
    "a name that is taken": (RECIPE.replace('"mine"', '"ring"'), "the name of one of minigan's, 'ring'"),
    "a name that is no name": (RECIPE.replace('"mine"', '"../x"'), "is called '../x'"),
    "numbers of another type": (BUILD.replace(".astype(dtype)", ""), "float64"),
    "several updates": (
        BUILD.replace("seed=seed)", "seed=seed, rules=mg.Rules(n_critic=2))"),
        "give build an argument",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_shown_in_a_sentence_with_their_line(name, capsys, monkeypatch):
    monkeypatch.delenv("MINIGAN_DEBUG", raising=False)
    text, part = WRONG[name]
    dtype = ["--dtype", "float64"] if name == "numbers of another type" else []
    sentence = refused(["train", written(text), "--out", "run", "--steps", "2", "--quiet", *dtype], capsys)
    assert part in sentence
    assert not Path("run").exists()


def test_a_mistake_in_a_layer_is_shown_with_its_line(capsys, monkeypatch):
    monkeypatch.delenv("MINIGAN_DEBUG", raising=False)
    layer = "\n\nclass Layer(nn.Module):\n    def forward(self, x):\n        return x.nothing\n"
    text = BUILD.replace("nn.ReLU()", "Layer()").replace("\n\n\ndef build", f"{layer}\n\ndef build")
    line = text.splitlines().index("        return x.nothing") + 1
    sentence = refused(["train", written(text), "--out", "run", "--steps", "2", "--quiet"], capsys)
    assert f"line {line}, in forward raised AttributeError" in sentence


@pytest.mark.parametrize("name", ["nowhere.py", "folder.py"])
def test_a_file_that_cannot_be_read(name, capsys):
    Path("folder.py").mkdir()
    refused(["train", name], capsys)
    with pytest.raises(MiniganError):
        recipes.load_file(name)
    assert "is not a Python file" in refused(["sample", "x", "--recipe", written("x", "x.txt")], capsys)
