"""`minigan gradcheck`: minigan's own derivatives, and those in a user's file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from support.environment import WITHOUT_NUMBA, needs_numba

import minigan_kernels
from minigan import cli, ops

OWN = """
import numpy as np

W = np.array([[1.0, 2.0], [3.0, -1.0]])


def quadratic(x):
    return x @ W @ x


def grad_quadratic(x):
    return 2 * W @ x  # right for symmetric W only


def right_quadratic(x):
    return (W + W.T) @ x


def quadratic_inputs():
    return np.array([0.3, -0.7])


def product(a, b):
    return np.sum(a * a) * np.sum(b)


def product_grad(a, b):
    return 2 * a * b.sum(), np.ones_like(b) * (a * a).sum()


def wave(x):
    return np.tanh(x)


def pull(x, u):
    return u * (1 - np.tanh(x) ** 2)


def half_wave_vjp(x, u):
    return u * (1 - np.tanh(x) ** 2) / 2


def half_wave(x):
    return np.tanh(x)


def a_pair():
    return product, product_grad, (np.arange(3.0), np.ones((2, 2)))


def a_vjp():
    return wave, pull, np.linspace(-1, 1, 4)


def a_wrong_pair():
    return (lambda x: x @ x), (lambda x: -2 * x), np.arange(3.0)


def one_number():
    return 3


def raises():
    return 1 / 0


def lonely(x):
    return x.sum()


def attribute(x):
    return x.no_such_thing


def grad_attribute(x):
    return x


def refuses(x):
    return x.sum()


def grad_refuses(x):
    raise KeyError("no key")


def ragged(x):
    return [[1.0], [1.0, 2.0]]


def grad_ragged(x):
    return x


def leaves(x):
    exit()


def grad_leaves(x):
    return x


CONSTANT = 3
"""


@pytest.fixture(autouse=True)
def _in_a_folder_with_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which the folders of files are added
    Path("own.py").write_text(OWN)
    Path("broken.py").write_text("def f(:\n")
    Path("fails.py").write_text("a = 1\nb = a / 0\n")
    Path("ends.py").write_text("import sys\n\nsys.exit(0)\n")
    Path("skips.py").write_text("class Skipped(BaseException):\n    pass\n\n\nraise Skipped\n")
    Path("strange.py").write_text("# -*- coding: klingon -*-\n")
    Path("needs.py").write_text("import no_such_module\n")
    Path("helped.py").write_text("from helper import f, grad_f, f_inputs\n")
    Path("helper.py").write_text(
        "import numpy as np\nf, grad_f = np.sum, np.ones_like\n\n\ndef f_inputs():\n    return np.arange(3.0)\n"
    )
    Path("notes.txt").write_text("")


def gradcheck(*arguments: str) -> int:
    return cli.main(["gradcheck", "--quiet", *arguments])


# Minigan's own derivatives.


def test_a_table_of_what_was_checked_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert gradcheck("--only", "Dense/train") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["case", "kernels", "order", "verdict", "error", "bar", "evaluations"]
    rows = [line.split() for line in lines[1:] if line.startswith("layers/")]
    expected = ["reference"] if WITHOUT_NUMBA else ["reference", "numba"]
    assert [row[:4] for row in rows] == [["layers/Dense/train", name, "2", "PASS"] for name in expected]
    assert all(float(row[4]) <= float(row[5]) < 1e-6 and int(row[6]) > 10 for row in rows)
    assert f"{len(rows)} of {len(rows)} checks passed, 0 failed; 1 cases in " in lines[-1]


def test_cases_left_to_the_reference_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert gradcheck("--only", "primitives/EXP") == 0
    out = capsys.readouterr().out
    if WITHOUT_NUMBA:
        assert "numba was not checked: " in out
    else:
        assert "1 cases use no kernel of numba, only those of the reference, and run with these." in out
    assert out.count("primitives/exp/0") == 1


def test_an_unavailable_implementation_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert gradcheck("--only", "layers/Dense/train") == 0
    assert "numba was not checked: NUMBA_DISABLE_JIT is set.\n" in capsys.readouterr().out


def test_one_implementation(capsys: pytest.CaptureFixture[str], cupy: ModuleType) -> None:
    assert gradcheck("--only", "layers/Dense/train", "--kernels", "cuda", "--json") == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [(check["backend"], check["kernels"]) for check in checks] == [("cupy", "cuda")]


@pytest.mark.parametrize(
    ("kernels", "part"), [("nuumba", "did you mean 'numba'?"), ("numba", "cannot be checked here: NUMBA_DISABLE_JIT")]
)
def test_an_implementation_that_cannot_be_checked(
    kernels: str, part: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert gradcheck("--only", "layers/Dense/train", "--kernels", kernels) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert part in captured.err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert gradcheck("--only", "losses/minimax", "--json", "--order", "1", "--seed", "3") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["cases"] == result["passed"] == len(result["checks"]) == 4
    assert result["failed"] == 0
    assert {check["report"]["order"] for check in result["checks"]} == {1}
    assert {check["report"]["verdict"] for check in result["checks"]} == {"PASS"}
    assert result["left_to_reference"] == (
        {} if WITHOUT_NUMBA else {"numba": [check["case"] for check in result["checks"]]}
    )


def test_float32(capsys: pytest.CaptureFixture[str]) -> None:
    assert gradcheck("--only", "losses", "--dtype", "float32", "--json") == 0
    bars = [check["report"]["bar"] for check in json.loads(capsys.readouterr().out)["checks"]]
    assert min(bars) > 1e-9


def test_a_failure_is_reported_in_full(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops.tanh.rule, "vjps", (lambda g, y, x: -g * (1 - y * y),))
    assert gradcheck("--only", "layers/Tanh/train") == 1
    out = capsys.readouterr().out
    assert "\nlayers/Tanh/train, kernels reference\nFAIL: " in out
    assert "sign" in out
    assert "0 of 1 checks passed, 1 failed" in out


def test_a_derivative_that_cannot_be_computed_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops.tanh.rule, "vjps", (lambda g, y, x: ops.matmul(g, y),))
    assert gradcheck("--only", "primitives/tanh") == 1
    out = capsys.readouterr().out
    assert "inner extents" in out
    assert "operation tanh" in out or "operation matmul" in out


@needs_numba
def test_what_an_implementation_cannot_do_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*arguments: object) -> None:
        raise NotImplementedError("no products here")

    monkeypatch.setitem(minigan_kernels.table("numba", np), "matmul", cannot)
    assert gradcheck("--only", "primitives/matmul/0") == 0
    out = capsys.readouterr().out
    row = next(line.split() for line in out.splitlines() if "cannot" in line)
    assert row == ["primitives/matmul/0", "numba", "cannot"]
    assert "1 of 2 checks passed, 0 failed" in out


# A user's derivatives.


@pytest.mark.parametrize(
    "arguments",
    [
        ["own.py:quadratic", "--gradient", "right_quadratic"],
        ["own.py:quadratic", "--gradient", "right_quadratic", "--shape", "2", "--dtype", "float32"],
        ["own.py:product", "--shape", "3", "--shape", "2,2", "--seed", "4"],
        ["own.py:product", "--shape", "(3,)", "--shape", "()"],
        ["own.py:wave", "--vjp", "pull", "--shape", "3,4"],
        ["own.py:a_pair"],
        ["own.py:a_vjp"],
        ["helped.py:f"],
    ],
    ids=" ".join,
)
def test_a_right_derivative_passes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert gradcheck(*arguments) == 0
    assert capsys.readouterr().out.startswith("PASS: gradient of ")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["own.py:quadratic"], ""),
        (["own.py:half_wave", "--shape", "3"], "factor"),
        (["own.py:a_wrong_pair"], "sign"),
        (["own.py:refuses", "--shape", "3"], "KeyError: 'no key'"),
    ],
)
def test_a_wrong_derivative_fails(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gradcheck(*arguments) == 1
    assert capsys.readouterr().out.startswith("FAIL: gradient of ")
    assert gradcheck(*arguments, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "FAIL"
    assert part in f"{report['cause']}: {report['explanation']}"


def test_a_picture_of_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert gradcheck("own.py:quadratic", "--picture", "error.png") == 1
    with Image.open("error.png") as picture:
        assert picture.size[0] > 100
    assert cli.main(["gradcheck", "own.py:a_pair", "--picture", "none.png"]) == 0
    assert "none.png was not drawn" in capsys.readouterr().err
    assert not Path("none.png").exists()


INVALID_ARGUMENTS = {
    "no such case": (["--only", "conv3d"], 2, "no case has 'conv3d' in its name; did you mean 'conv2d'?"),
    "nothing near": (["--only", "zzzz"], 2, "known: fused-layers, latent-search, layers, "),
    "no such order": (["--order", "4"], 2, "--order must be 1, 2 or 3, not 4"),
    "no such type": (["--dtype", "float23"], 2, "did you mean 'float32'?"),
    "negative seed": (["--seed", "-1"], 2, "--seed must be"),
    "a shape without a file": (["--shape", "3"], 2, "--shape is only of use with FILE.py:FUNCTION"),
    "--only with a file": (["own.py:a_pair", "--only", "x"], 2, "--only is only of use for the derivatives of minigan"),
    "no function named": (["own.py"], 2, "write path/to/file.py:function"),
    "no such file": (["owl.py:f"], 2, "there is no file owl.py"),
    "not Python": (["notes.txt:f"], 2, "ends in .py"),
    "no such function": (["own.py:quadratc"], 2, "own.py has no function 'quadratc'; did you mean 'quadratic'?"),
    "no function": (["own.py:CONSTANT"], 2, "'CONSTANT' in own.py is of type int"),
    "no such gradient": (["own.py:lonely", "--gradient", "waves", "--shape", "2"], 2, "did you mean 'wave'?"),
    "no derivative": (
        ["own.py:lonely", "--shape", "2"],
        2,
        "own.py holds no derivative of lonely; call it grad_lonely",
    ),
    "both": (["own.py:wave", "--gradient", "pull", "--vjp", "pull"], 2, "leave one of them out"),
    "no point": (["own.py:product"], 2, "such as --shape 3,4, or let a function product_inputs()"),
    "no shape": (["own.py:product", "--shape", "3,x"], 2, "'3,x' is not a shape"),
    "extent of zero": (["own.py:product", "--shape", "0"], 2, "'0' is not a shape"),
    "several numbers": (["own.py:wave", "--gradient", "pull", "--shape", "2"], 2, "product with --vjp"),
    "options for what is made": (["own.py:a_pair", "--shape", "3"], 2, "leave --gradient, --vjp and --shape out"),
    "not three things": (["own.py:one_number"], 2, "should return (f, grad_f, x)"),
    "not a picture": (["own.py:a_pair", "--picture", "error.txt"], 2, "ends in .png, .svg, .pdf"),
    "fails when called": (["own.py:raises"], 1, "own.py, line 64, in raises raised ZeroDivisionError"),
    "fails at the point": (["own.py:attribute", "--shape", "2"], 1, "in attribute raised AttributeError"),
    "fails when read": (["fails.py:f"], 1, "fails.py, line 2, in the file itself raised ZeroDivisionError"),
    "ends the program": (["ends.py:f"], 1, "ends.py, line 3, in the file itself ends the program"),
    "ends the program when called": (["own.py:leaves", "--shape", "2"], 1, "in leaves ends the program"),
    "raises what is no Exception": (["skips.py:f"], 1, "skips.py, line 5, in the file itself raised Skipped"),
    "lacks a module": (["needs.py:f"], 1, "raised ModuleNotFoundError: No module named 'no_such_module'"),
    "unknown encoding": (["strange.py:f"], 1, "strange.py cannot be read as Python (strange.py: unknown encoding"),
    "no array": (["own.py:ragged", "--shape", "2"], 2, "a list is no array of numbers"),
    "too many axes": (["own.py:product", "--shape", ",".join("1" * 71)], 2, "a shape of 71 axes is too long"),
    "too many numbers": (
        ["own.py:product", "--shape", "3", "--shape", "100000,100000"],
        2,
        "have 10,000,000,003 numbers",
    ),
    "more numbers than can be shown": (
        ["own.py:product", "--shape", "9" * 400],
        2,
        "more than 1,000,000,000,000,000,0",
    ),
    "not Python inside": (["broken.py:f"], 1, "broken.py cannot be read as Python (broken.py, line 1: "),
}


@pytest.mark.parametrize(("arguments", "code", "part"), INVALID_ARGUMENTS.values(), ids=INVALID_ARGUMENTS.keys())
def test_invalid_arguments_end_with_a_sentence(
    arguments: list[str], code: int, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gradcheck(*arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("minigan: ")
    assert lines[0][-1] in ".?"
    assert part in lines[0]
