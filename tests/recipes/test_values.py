"""The values of settings and options: whole numbers with exponents, switches, sizes that are not square."""

from __future__ import annotations

import argparse
import json

import pytest

from minigan import cli, recipes
from minigan.cli.options import whole_number
from minigan.core.errors import UsageError
from minigan.recipes import values


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e3", 1000), ("1E3", 1000), ("2.5e4", 25_000), ("-1e2", -100), ("1e+2", 100), ("10_000", 10_000), ("7", 7)],
)
def test_whole_numbers_of_options(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text", ["1.5", "1e-3", "1.23e1", "e3", "1e", "1e3.0", "inf", "nan", "1e9999", "\u00b2e3", "0x1e3"]
)
def test_what_is_no_whole_number_of_an_option(text):
    with pytest.raises(argparse.ArgumentTypeError):
        whole_number(text)


@pytest.mark.parametrize(
    ("default", "key", "given", "value"),
    [
        (64, "batch_size", "1e2", 100),
        ([1], "generator_widths", "1e2,32", [100, 32]),
        (0, "spectral_norm", "true", 1),
        (0, "spectral_norm", "Off", 0),
        (0, "spectral_norm", True, 1),
        (0, "spectral_norm", 1, 1),
        (False, "fancy", "yes", True),
        (True, "fancy", "0", False),
        (True, "fancy", False, False),
        (0, "image_size", "48x64", "48x64"),
        (0, "image_size", "48 x 64", "48x64"),
        (0, "image_size", [48, 64], "48x64"),
        (0, "image_size", "64x64", 64),
        (0, "image_size", "64", 64),
        (0.5, "rate", "1e-3", 1e-3),
    ],
)
def test_values_are_converted(default, key, given, value):
    converted = values.converted(default, key, given)
    assert (converted, type(converted)) == (value, type(value))
    assert values.converted(default, key, json.loads(json.dumps(converted))) == value  # as from a config.json


@pytest.mark.parametrize(
    ("default", "key", "given"),
    [
        (64, "batch_size", "1.5e0"), (64, "batch_size", "1e30"), (64, "batch_size", True), (64, "batch_size", "true"),
        (0, "spectral_norm", "maybe"), (False, "fancy", "2.5"), (0, "image_size", "48x"), (0, "image_size", "1x2x3"),
        (0, "image_size", "-4x4"), (0, "image_size", [1, 2, 3]), (0.5, "rate", "true"), ("adam", "optimizer", 3),
    ],
)  # fmt: skip
def test_impossible_values_are_refused_in_a_sentence(default, key, given):
    with pytest.raises(UsageError) as caught:
        values.converted(default, key, given)
    assert f"the setting '{key}' must be" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "quiet"), [("true", True), ("1", True), ("false", False), ("No", False)])
def test_switches_among_the_options_take_a_value(text, quiet, capsys, tmp_path):
    arguments = ["train", "ring", "--dry-run", f"--quiet={text}", "--json=on", "--out", str(tmp_path / "run")]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["config"]["recipe"] == "ring"
    assert cli.main([*arguments, "--strict=maybe"]) == 2
    assert "--strict" in capsys.readouterr().err


def test_one_recipe_is_explained(capsys):
    assert cli.main(["recipes", "ring"]) == 0
    text = capsys.readouterr().out
    for key, value in recipes.get("ring").settings.items():
        assert f"--set {key}={values.as_text(value)} " in text
    assert cli.main(["recipes", "ring", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["name"] == "ring" and content["steps"] == recipes.get("ring").steps
    assert {key: entry["default"] for key, entry in content["settings"].items()} == recipes.get("ring").settings
    assert content["settings"]["frequencies"]["meaning"].startswith("random Fourier features")
    assert content["settings"]["frequencies"]["kind"] == "a whole number"
    assert cli.main(["recipes", "rign"]) == 2
    assert "did you mean 'ring'?" in capsys.readouterr().err
