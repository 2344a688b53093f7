"""The pytest fixture `gradcheck`, in projects of a few lines that have nothing but an installed minigan."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Three lines: an import, a test, a check.
WRONG = """
import numpy as np
def test_wrong(gradcheck):
    gradcheck(lambda w: (w**2).sum(), lambda w: 2 * w * [1, 1, -1], np.array([1.0, 2.0, 3.0]))
"""
RIGHT = """
import numpy as np
def test_right(gradcheck):
    assert gradcheck(lambda w: (w**2).sum(), lambda w: 2 * w, np.array([1.0, 2.0, 3.0])).ok
"""
UNRELATED = """
def test_unrelated():
    assert 1 + 1 == 2
"""


def run_pytest(
    folder: Path, source: str, *options: str, code: int | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The outcome of `python -m pytest` in a folder that holds one test file; any warning would be an error."""
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    # Where CI or BUILD_NUMBER is set, pytest's summary repeats each message in full: the lines would be there twice.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_") and name not in ("CI", "BUILD_NUMBER")
    }
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=kept | {"MINIGAN_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if code is not None:
        assert result.returncode == code, result.stdout + result.stderr
    assert [path.name for path in folder.iterdir()] == ["test_it.py"]  # nothing else is left behind
    return result


# The message.


@pytest.mark.slow
def test_a_wrong_derivative_fails_with_cause_entry_and_both_numbers(tmp_path):
    out = run_pytest(tmp_path, WRONG, code=1).stdout
    assert "GradientError: FAIL: gradient of" in out
    lines = [line.removeprefix("E").strip() for line in out.splitlines()]
    assert "this entry of w is wrong, and the rest agrees" in lines
    assert "w[2]" in lines
    assert "analytic  -6" in lines
    (numeric,) = [line for line in lines if line.startswith("numeric")]
    assert float(numeric.split()[1]) == pytest.approx(6)
    assert "1 failed" in out


@pytest.mark.slow
def test_the_traceback_ends_in_the_test(tmp_path):
    """Nothing of the checker's own code stands between the reader and the report."""
    out = run_pytest(tmp_path, WRONG, code=1).stdout
    assert "test_it.py:4: GradientError" in out
    assert "pair.py" not in out and "check.py" not in out


def test_a_right_derivative_passes(tmp_path):
    assert "1 passed" in run_pytest(tmp_path, RIGHT, code=0).stdout


@pytest.mark.slow
def test_vjp(tmp_path):
    source = """
import numpy as np
X = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.5, -1.0], [2.0, 0.3]])
def test_right(gradcheck):
    assert gradcheck.vjp(lambda a, b: a @ b, lambda a, b, u: (u @ b.T, a.T @ u), X).ok
def test_wrong(gradcheck):
    gradcheck.vjp(lambda a, b: a @ b, lambda a, b, u: (u @ b.T, (a.T @ u).T), X)
def test_options(gradcheck):
    gradcheck.vjp(lambda a, b: a @ b, lambda a, b, u: (u @ b.T, -a.T @ u), X, names=["left", "right"])
"""
    out = run_pytest(tmp_path, source, code=1).stdout
    assert "1 passed" in out and "2 failed" in out
    assert "the derivative of b is transposed" in out
    assert "the derivative of right has the wrong sign" in out


@pytest.mark.slow
def test_tensors(tmp_path):
    source = """
import minigan as mg
from minigan.autodiff import primitive
@primitive(lambda g, y, x: g * 2.0 * mg.ops.exp(x))
def wrong(B, x):
    return B.xp.exp(x)
def test_right(gradcheck):
    assert gradcheck.tensors(lambda x: mg.ops.exp(x) * x, [[0.5, -1.0]], order=2).order == 2
def test_wrong(gradcheck):
    gradcheck.tensors(lambda x: wrong(x), [[0.5, -1.0]])
"""
    source = source.replace("[[0.5, -1.0]]", "mg.Tensor([0.5, -1.0])")
    out = run_pytest(tmp_path, source, code=1).stdout
    assert "1 passed" in out and "1 failed" in out
    assert "the derivative of x is twice what it should be" in out


@pytest.mark.slow
def test_wrong_use_is_an_error_of_its_own(tmp_path):
    """A call that makes no sense is not reported as a wrong derivative."""
    source = "def test_it(gradcheck):\n    gradcheck(lambda x: x, lambda x: x, 'seven')\n"
    out = run_pytest(tmp_path, source, code=1).stdout
    assert "TypeError" in out and "GradientError" not in out


# Other tests are not affected.


@pytest.mark.slow
def test_it_is_listed_with_how_to_call_it(tmp_path):
    out = run_pytest(tmp_path, UNRELATED, "--fixtures", code=0).stdout
    (line,) = [i for i, text in enumerate(out.splitlines()) if text.startswith("gradcheck")]
    assert "gradcheck(f, grad_f, x)" in out.splitlines()[line + 1]


@pytest.mark.slow
def test_it_can_be_left_out(tmp_path):
    out = run_pytest(tmp_path, RIGHT, "-p", "no:minigan", code=1).stdout
    assert "fixture 'gradcheck' not found" in out


@pytest.mark.slow
def test_a_project_that_does_not_use_it_is_not_disturbed(tmp_path):
    """The same words, but for the line that lists plugins and the time; even where every setting is strict."""

    def essence(*options: str) -> list[str]:
        out = run_pytest(tmp_path, UNRELATED, "--strict-markers", "--strict-config", *options, code=0).stdout
        return [line for line in out.splitlines() if not line.startswith(("plugins:", "=="))]

    assert essence() == essence("-p", "no:minigan")


@pytest.mark.slow
def test_a_fixture_of_the_same_name_wins(tmp_path):
    source = """
import pytest
@pytest.fixture
def gradcheck():
    return 42
def test_own(gradcheck):
    assert gradcheck == 42
"""
    assert "1 passed" in run_pytest(tmp_path, source, code=0).stdout


@pytest.mark.slow
@pytest.mark.parametrize("options", [["-p", "no:xdist"], ["--import-mode=importlib"], ["--assert=plain"], ["-s"]])
def test_it_needs_no_other_plugin_and_no_mode(tmp_path, options):
    out = run_pytest(tmp_path, WRONG + RIGHT, *options, code=1).stdout
    assert "1 failed, 1 passed" in out


@pytest.mark.slow
def test_it_works_without_autoloading(tmp_path):
    """Where entry points are switched off, naming the module is enough."""
    out = run_pytest(tmp_path, RIGHT, code=1, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1").stdout
    assert "fixture 'gradcheck' not found" in out
    run_pytest(tmp_path, RIGHT, "-p", "minigan.checking.pytest_plugin", code=0, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


def test_there_is_one_entry_point():
    (entry,) = [e for e in importlib.metadata.entry_points(group="pytest11") if e.value.startswith("minigan")]
    assert (entry.name, entry.value) == ("minigan", "minigan.checking.pytest_plugin")


# The cost.


@pytest.mark.slow
@pytest.mark.parametrize("module", ["minigan", "minigan.checking.pytest_plugin"])
def test_importing_it_imports_nothing_heavy(module):
    """Every run of pytest in the environment pays for this import."""
    program = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert (
        set(result.stdout.split()) & {"numba", "llvmlite", "matplotlib", "PIL", "torch", "jax", "cupy", "scipy"}
        == set()
    )
