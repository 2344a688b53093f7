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


NOT_FOR_AN_IMPORT = {
    "numpy", "numba", "llvmlite", "matplotlib", "PIL", "tqdm", "safetensors", "urllib.request", "http.client", "ssl",
}  # fmt: skip


def _loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `code`."""
    program = f"import sys; {code}; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    )


def test_importing_the_package_loads_nothing_large() -> None:
    loaded = _loaded("import minigan")
    assert "minigan" in loaded
    assert not NOT_FOR_AN_IMPORT & loaded


def test_a_gan_needs_neither_pictures_nor_downloads() -> None:
    assert not (NOT_FOR_AN_IMPORT - {"numpy"}) & _loaded(
        "import minigan; minigan.GAN, minigan.recipes, minigan.optim.Adam"
    )


def test_the_command_can_tell_of_an_interrupt_before_it_imports_anything_large():
    assert not {"numpy", "argparse", "tqdm"} & _loaded("from minigan.cli import main")


def test_tensors_have_their_operators_from_the_start() -> None:
    code = "import minigan; x = minigan.Tensor([[2.0]]); assert (x @ x + x).data == 6"
    subprocess.run([sys.executable, "-c", code], check=True)
