"""The package itself: its public names, and that it can be imported in no time."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import minigan


@pytest.mark.parametrize("name", minigan.__all__)
def test_public_names_are_there(name):
    found = getattr(minigan, name)
    assert found.__name__.rpartition(".")[2] == name
    assert name in dir(minigan)


def test_modules_are_there_without_an_import():
    code = "import minigan; minigan.data.load, minigan.training.RunConfig, minigan.GAN"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_there_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'Gan'"):
        minigan.Gan  # noqa: B018
    with pytest.raises(ImportError):
        importlib.import_module("minigan.gans")


def test_the_command_can_tell_of_an_interrupt_before_it_imports_anything_large():
    code = "import sys; from minigan.cli import main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"numpy", "argparse", "tqdm"} & set(loaded)
