"""The programs of examples/library: each is short, runs as a user would run it, and does what its first line says."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minigan as mg
from minigan import cli

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "library"
PROGRAMS = sorted(FOLDER.glob("*.py"))
MOST_LINES = 39


def run(name: str, *arguments: str) -> str:
    """What the program prints."""
    argv, sys.argv = sys.argv, [f"{name}.py", *arguments]
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    finally:
        sys.argv = argv
    return out.getvalue()


@pytest.fixture(autouse=True)
def _as_a_new_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mg.manual_seed(0)  # as at the start of a program


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_is_short_explained_and_listed(program: Path) -> None:
    text = program.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert ast.get_docstring(ast.parse(text)) or text.startswith("# %%")
    assert f"](library/{program.name})" in (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert f"def test_{program.stem}" in Path(__file__).read_text(encoding="utf-8")


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text)]


@pytest.mark.slow
def test_own_arrays_learns_where_the_points_lie() -> None:
    out = run("own_arrays", "800")
    data, samples = (np.fromstring(found, sep=" ") for found in re.findall(r"\[ *([^\]\[a-z]+)\]", out)[-2:])
    assert np.abs(data - samples).max() < 0.35, out


@pytest.mark.slow
def test_own_conv_gan_writes_pictures(tmp_path: Path) -> None:
    out = run("own_conv_gan", "10")
    assert "ConvTranspose2d" in out
    assert out.endswith("wrote discs.png and runs/discs\n")
    with Image.open(tmp_path / "discs.png") as picture:
        assert picture.mode == "RGB"
        assert len(picture.getcolors(1 << 20)) > 100
    assert (tmp_path / "runs" / "discs" / "checkpoint.safetensors").is_file()


@pytest.mark.slow
def test_own_loss_is_right_and_trains() -> None:
    out = run("own_loss", "600")
    assert out.startswith("PASS")
    mean, deviation = numbers(out.splitlines()[-1])[2:]
    assert abs(mean - 3.0) < 0.5
    assert 0.2 < deviation < 1.0


def test_own_layer_is_right_and_shown() -> None:
    out = run("own_layer")
    assert out.startswith("PASS")
    assert "PixelNorm" in out
    assert "3.gain" in out
    assert out.endswith("(5, 8, 8, 1)\n")


@pytest.mark.slow
def test_conditional_writes_a_row_for_each_digit(tmp_path: Path) -> None:
    run("conditional", "20")
    with Image.open(tmp_path / "classes.png") as picture:
        assert picture.height > picture.width  # ten rows of eight


@pytest.mark.slow
def test_conditional_by_hand_makes_the_class_asked_for() -> None:
    share = int(re.findall(r"(\d+)%", run("conditional_by_hand", "500"))[0])
    assert share > 80


@pytest.mark.slow
def test_wgan_gp_by_hand_comes_near_the_circle() -> None:
    mean, deviation = numbers(run("wgan_gp_by_hand", "200"))[:2]
    assert abs(mean - 1.0) < 0.3  # 0.5 before training
    assert deviation < 0.4


def test_save_and_load_gives_the_same_bits() -> None:
    out = run("save_and_load")
    assert "both are at step 2, with the same numbers" in out
    assert re.search(r"^another network: .*16", out, re.M)


@pytest.mark.slow
def test_resume_gives_the_same_bits() -> None:
    out = run("resume")
    assert "now at step 400" in out
    assert "the same bits as without a stop" in out
    assert "generator_loss" in out


@pytest.mark.slow
def test_callback_sees_the_samples_and_stops() -> None:
    out = run("callback", "3000")
    looks = [float(line.split()[-1]) for line in out.splitlines() if "mean of the samples" in line]
    assert all(abs(mean - 2.0) > 0.04 for mean in looks[:-1])
    assert abs(looks[-1] - 2.0) < 0.06
    assert "close enough" in out
    (last,) = re.findall(r"trained for (\d+) steps", out)
    assert int(last) == 100 * (len(looks) - 1)  # the first look is at step 0


@pytest.mark.slow
def test_own_recipe_trains_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "own_recipe.py").write_text((FOLDER / "own_recipe.py").read_text(encoding="utf-8"), encoding="utf-8")
    arguments = ["own_recipe.py", "--set", "width=16", "--steps", "20", "--out", "mine", "--quiet"]
    assert cli.main(["train", *arguments]) == 0
    sample = ["sample", "mine", "--recipe", "own_recipe.py", "--n", "9", "--out", "nine.npz"]
    assert cli.main(sample) == 0
    assert (tmp_path / "nine.npz").is_file()


def shown(value: Any) -> str | bytes | None:
    """What a notebook shows of the last line of a cell: a picture, HTML, or a text that is not Python's own."""
    for method in ("_repr_png_", "_repr_html_"):
        if (found := getattr(value, method, None)) and (made := found()):
            return made
    return None if type(value).__repr__ is object.__repr__ else repr(value)


@pytest.mark.slow
def test_notebook_cell_shows_each_last_line() -> None:
    cells = re.split(r"^# %%.*$", (FOLDER / "notebook_cell.py").read_text(encoding="utf-8"), flags=re.M)[1:]
    names: dict[str, Any] = {}
    kinds: list[str] = []
    for cell in cells:
        *body, last = ast.parse(cell).body
        assert isinstance(last, ast.Expr)
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        made = shown(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
        assert made, ast.unparse(last)
        assert isinstance(made, str) or made.startswith(b"\x89PNG")
        assert not isinstance(made, str) or not re.search(r"""(src|href)=["']?https?:|<script""", made)
        kinds.append("picture" if isinstance(made, bytes) else "HTML" if made.startswith("<") else "text")
    assert kinds == ["text", "HTML", "picture", "picture", "HTML"]


def test_jacobian_agrees_with_products() -> None:
    out = run("jacobian")
    (rows,) = re.findall(r"^J = (.*)$", out, re.M)
    assert np.array(ast.literal_eval(rows)).shape == (2, 2)
    assert out.endswith("J v agrees with jvp and with finite differences\n")


def test_hessian_vector_product_finds_the_largest_eigenvalue() -> None:
    found, whole = numbers(re.findall(r"^largest eigenvalue .*$", run("hessian_vector_product"), re.M)[0])
    assert found == pytest.approx(whole, rel=1e-4)


@pytest.mark.slow
def test_spectral_norm_own_module_normalises_its_layers() -> None:
    out = run("spectral_norm_own_module")
    assert len(re.findall("largest singular value", out)) >= 2


@pytest.mark.slow
def test_float64_data_are_converted() -> None:
    out = run("float64_data")
    assert re.search(r"networks of float32: .* samples of float32", out)
    assert re.search(r"networks of float64: .* samples of float64", out)
    assert re.search(r"^by hand: .*float64", out, re.M)


def test_the_fifteen_are_there() -> None:
    assert len(PROGRAMS) >= 15
    assert mg.__all__


@pytest.mark.slow
def test_the_typed_program_runs() -> None:
    """.ci/run gives it to `mypy --strict`."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(str(Path(__file__).with_name("typed_program.py")), run_name="__main__")
    assert "(5, 2) (2, 2)" in out.getvalue()
