"""The examples run as a reader would run them, keep the promises of their first lines, and use public names only."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


def run(name: str, *arguments: str, cwd: Path) -> str:
    """What the example prints; it must end well, and NumPy must have nothing to warn of."""
    result = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(ROOT / "examples" / f"{name}.py"), *arguments],
        cwd=cwd,
        env=os.environ | {"MINIGAN_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What each prints and writes


@pytest.mark.slow
def test_gan_from_scratch_writes_a_grid_of_digits(tmp_path):
    out = run("gan_from_scratch", "--steps", "20", "--out", "digits.png", cwd=tmp_path)
    assert files(tmp_path) == ["digits.png"]
    assert out.endswith("wrote digits.png\n")
    losses = re.findall(r"^step +(\d+)  loss of D (\S+)  loss of G (\S+)  D\(x\) (\S+)  D\(G\(z\)\) (\S+)$", out, re.M)
    assert [int(row[0]) for row in losses] == list(range(2, 21, 2))
    assert all(0 <= float(score) <= 1 for row in losses for score in row[3:])
    with Image.open(tmp_path / "digits.png") as picture:
        assert picture.size == (484, 484)  # 8 by 8 digits, enlarged twice
        assert len(picture.getcolors()) > 100


@pytest.mark.slow
def test_gan_from_scratch_needs_no_options(tmp_path):
    """The default file; and fewer steps than the ten lines of progress."""
    run("gan_from_scratch", "--steps", "3", cwd=tmp_path)
    assert files(tmp_path) == ["gan_from_scratch.png"]


@pytest.mark.slow
def test_loss_gradients_agree(tmp_path):
    out = run("loss_gradients", cwd=tmp_path)
    tables = re.findall(r"^(\S+): the (generator|discriminator), at .*\n  logit .*\n((?: .*\n)+)", out, re.M)
    assert {(name, player) for name, player, _ in tables} >= {
        (name, player) for name in ("minimax", "non-saturating") for player in ("generator", "discriminator")
    }
    for _, _, rows in tables:
        numbers = [[float(text) for text in row.split()] for row in rows.splitlines()]
        assert (numbers[0][0], numbers[-1][0]) == (-10, 10)
        for _, _, by_autodiff, by_formula, by_differences in numbers:
            assert by_autodiff == pytest.approx(by_formula, rel=1e-3)
            assert by_autodiff == pytest.approx(by_differences, rel=1e-3)
    (worst,) = re.findall(r"^largest disagreement: (\S+)$", out, re.M)
    assert float(worst) < 1e-9
    assert "22,026 times as large" in out  # e**10
    assert files(tmp_path) == []


@pytest.mark.slow
def test_loss_gradients_draws_where_it_is_told(tmp_path):
    out = run("loss_gradients", "--out", "gradients.png", cwd=tmp_path)
    assert out.endswith("wrote gradients.png\n")
    with Image.open(tmp_path / "gradients.png") as picture:
        assert len(picture.getcolors(1 << 20)) > 2


@pytest.mark.slow
def test_dirac_gan_prints_the_table_and_draws_the_fields(tmp_path):
    out = run("dirac_gan", "--steps", "20", "--out", "fields.png", cwd=tmp_path)
    verdicts = re.findall(r"^(\S.*?)  .* (simultaneous|alternating) .* (converges|circles|diverges)\b", out, re.M)
    assert len(verdicts) == 24
    assert {(rule, verdict) for name, rule, verdict in verdicts if name == "minimax"} == {
        ("simultaneous", "diverges"), ("alternating", "circles"),
    }  # fmt: skip
    assert {verdict for name, _, verdict in verdicts if name.startswith("R1")} == {"converges"}
    assert out.endswith("wrote fields.png\n")
    assert files(tmp_path) == ["fields.png"]
    with Image.open(tmp_path / "fields.png") as picture:
        assert picture.size == (1170, 936)
        assert len(picture.getcolors(1 << 20)) > 100


def test_own_operation_is_right_to_the_third_derivative(tmp_path):
    out = run("own_operation", cwd=tmp_path)
    rows = re.findall(r"^ +(\d) +(\S+) +(\S+)$", out, re.M)
    assert [int(order) for order, _, _ in rows] == [1, 2, 3]
    assert float(rows[0][1]) == pytest.approx(0.927671, abs=1e-6)  # s + s (1 - s) with s = sigmoid(1)
    assert all(float(error) < 1e-8 for _, _, error in rows)
    assert out.endswith("all three agree\n")


@pytest.mark.slow
def test_convolution_finds_one_number_in_three_ways(tmp_path):
    out = run("convolution", cwd=tmp_path)
    numbers = re.findall(r"^<.+> += (\S+)$", out, re.M)
    assert len(numbers) == 3
    assert len(set(numbers)) == 1
    found, expected = re.search(r"^third derivative +(\S+) +finite differences (\S+)$", out, re.M).groups()
    assert float(found) == pytest.approx(float(expected), rel=1e-7)
    assert out.endswith("[0. 0. 7. 8. 9.]\n [0. 0. 0. 0. 0.]\n [0. 0. 0. 0. 0.]]\n")


@pytest.mark.slow
def test_xor_is_learned(tmp_path):
    out = run("xor", "--steps", "200", cwd=tmp_path)
    rows = re.findall(r"^ (\d)  (\d) +(\d) +(\S+)$", out, re.M)
    assert [row[:3] for row in rows] == [("0", "0", "0"), ("0", "1", "1"), ("1", "0", "1"), ("1", "1", "0")]
    assert [round(float(probability)) for *_, probability in rows] == [0, 1, 1, 0]
    assert out.endswith("all four are right\n")


# What they are made of


def names(tree: ast.AST) -> Iterator[str]:
    """Every name that a program imports, reads, or asks an object for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))


@every_example
def test_public_names_only(example):
    private = {name for name in names(ast.parse(example.read_text(encoding="utf-8"))) if name.startswith("_")}
    assert private <= {"_", "__name__", "__doc__"}


@every_example
def test_imports_are_of_minigan_and_what_it_brings_along(example):
    tree = ast.parse(example.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {module.split(".")[0] for module in imported}
    assert packages - set(sys.stdlib_module_names) <= {"minigan", "numpy", "matplotlib"}


@every_example
def test_is_short_explained_and_listed(example):
    text = example.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 90
    assert ast.get_docstring(ast.parse(text))
    assert f"]({example.name})" in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
