"""Registered kernels of other packages appear in `minigan info`, `--kernels`, `minigan gradcheck` and the fixtures."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from support import standin_kernels
from support.environment import needs_numba

import minigan as mg
import minigan_kernels
from minigan import cli, ops
from minigan.core import backend
from minigan_kernels import reference

ROOT = Path(__file__).resolve().parents[2]
FEW = [
    "--steps", "2", "--set", "generator_widths=4", "--set", "discriminator_widths=4", "--set", "batch_size=4",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _empty_folder_and_restored_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = dict(minigan_kernels.IMPLEMENTATIONS)
    standin_kernels.calls.clear()
    yield
    minigan_kernels.IMPLEMENTATIONS.clear()
    minigan_kernels.IMPLEMENTATIONS.update(before)


@pytest.fixture
def standin() -> None:
    minigan_kernels.register("standin", standin_kernels)


def _register_other(**attributes: object) -> None:
    """Register the kernels "other": those of the stand-in with other `attributes`."""
    facts = {name: getattr(standin_kernels, name) for name in ("ARRAYS", "KERNELS", "unavailable", "describe")}
    minigan_kernels.register("other", SimpleNamespace(**facts | attributes))


def _printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main([*arguments]) == 0
    return capsys.readouterr().out


# The stand-in implementation, registered.


def test_the_standin_is_small() -> None:
    assert len(Path(standin_kernels.__file__).read_text().splitlines()) < 40


@pytest.mark.usefixtures("standin")
def test_the_last_registered_computes_its_operations_and_the_reference_the_rest() -> None:
    assert mg.use("numpy").kernels == "standin"
    a = mg.Tensor([[1.0, 2.0]])
    assert (a @ mg.Tensor([[3.0], [4.0]])).item() == 11
    ops.leaky_relu(a, slope=0.5)
    assert standin_kernels.calls == {"matmul": 1}
    assert backend.set_threads(3) == 1
    mg.use("numpy", "reference")
    ops.matmul(a, mg.Tensor([[3.0], [4.0]]))
    assert standin_kernels.calls == {"matmul": 1}


def test_a_recorded_step_uses_new_kernels_after_the_next_use() -> None:
    """Until `use` is called, the recorded step keeps the old kernels."""
    mg.use("numpy")
    gan = mg.recipes.get("ring-plain").build(generator_widths=[4], discriminator_widths=[4])
    batches = iter(np.random.default_rng(0).standard_normal((30, 8, 2)).astype(np.float32))

    def adam_calls(steps: int) -> int:
        before = standin_kernels.calls["adam"]
        for _ in range(steps):
            gan.train_step(next(batches))
        return standin_kernels.calls["adam"] - before

    adam_calls(6)
    assert gan.replay.steps > 0
    minigan_kernels.register("standin", standin_kernels)
    assert adam_calls(4) == 0
    mg.use("numpy")
    assert adam_calls(1) == 2
    replayed = gan.replay.steps
    assert adam_calls(4) >= 8
    assert gan.replay.steps > replayed


@pytest.mark.usefixtures("standin")
def test_info_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(_printed(capsys, "info", "--json"))
    assert facts["kernels standin"] == "available"
    assert "1 number" in (facts["vector width"], facts.get("vector width of standin"))
    assert facts["versions"]["support.standin_kernels"] == "0.7"
    assert facts["kernels"]["matmul"]["standin"] is facts["kernels"]["conv2d"]["reference"] is True
    assert "standin" not in facts["kernels"]["conv2d"]
    assert all(sum(row.values()) == 1 for row in facts["kernels"].values())
    row = next(line for line in _printed(capsys, "info").splitlines() if line.startswith("dense "))
    assert "standin*" in row.split()


@pytest.mark.slow
@pytest.mark.usefixtures("standin")
def test_training_selects_it_by_name_and_computes_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    results = {}
    for name in ("reference", "standin"):
        results[name] = json.loads(_printed(capsys, "train", *FEW, "--kernels", name, "--out", name, "--json"))
    same = ("discriminator_loss", "generator_loss", "real_score", "fake_score")
    assert {k: results["standin"][k] for k in same} == {k: results["reference"][k] for k in same}
    assert standin_kernels.calls["adam"] == 4
    assert min(standin_kernels.calls["matmul"], standin_kernels.calls["dense"]) > 2
    assert json.loads(Path("standin/config.json").read_text())["computed_on"]["kernels"] == "standin"


@pytest.mark.usefixtures("standin")
def test_help_and_spelling_suggestions_know_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "--help"])
    assert ended.value.code == 0
    known = ", ".join(minigan_kernels.IMPLEMENTATIONS)
    assert f"{known}, or auto" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["train", "--kernels", "standing"]) == 2
    assert "did you mean 'standin'?" in capsys.readouterr().err


@pytest.mark.usefixtures("standin")
def test_gradcheck_checks_the_operations_that_it_offers(capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(_printed(capsys, "gradcheck", "--quiet", "--only", "layers/Dense/train", "--json"))
    rows = [(check["kernels"], check["report"]["verdict"]) for check in result["checks"]]
    assert rows[0] == ("reference", "PASS")
    assert ("standin", "PASS") in rows
    assert standin_kernels.calls["dense"] > 10
    result = json.loads(_printed(capsys, "gradcheck", "--quiet", "--only", "primitives/batch_norm/0", "--json"))
    assert result["left_to_reference"]["standin"] == ["primitives/batch_norm/0"]


def test_gradcheck_finds_its_errors(capsys: pytest.CaptureFixture[str]) -> None:
    def matmul(*arguments: object) -> np.ndarray:
        return 2 * reference.matmul(np, *arguments)

    _register_other(KERNELS=(matmul,))
    assert cli.main(["gradcheck", "--quiet", "--only", "layers/Dense/train"]) == 1
    assert "layers/Dense/train, kernels other\nFAIL" in capsys.readouterr().out


@pytest.mark.slow
def test_the_fixtures_include_it() -> None:
    code = (
        "import sys, minigan_kernels, pytest\n"
        "from support import standin_kernels\n"
        "minigan_kernels.register('standin', standin_kernels)\n"
        "sys.exit(pytest.main(sys.argv[1:]) or standin_kernels.calls['matmul'] == 0)"
    )
    test = "ops/test_primitives.py::test_values_equal_those_of_numpy"
    done = subprocess.run(
        [sys.executable, "-c", code, "-o", "addopts=", "-p", "no:cacheprovider", "-v", "-k", "standin", test],
        cwd=ROOT / "tests", env=os.environ | {"PYTHONPATH": str(ROOT / "tests"), "MINIGAN_PART": "1/1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::test_values_equal_those_of_numpy[standin-matmul] PASSED" in done.stdout


# Implementations that cannot be used.


def test_an_unavailable_implementation_gives_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    usual = backend.current().kernels
    _register_other(unavailable=lambda: "there is no moon", describe=lambda: 1 // 0)
    assert mg.use("numpy").kernels == usual
    assert cli.main(["train", *FEW, "--kernels", "other"]) == 2
    expected = "the kernels 'other' cannot be used here: there is no moon; choose 'auto' or 'reference'."
    assert capsys.readouterr().err == f"minigan: {expected}\n"
    assert "kernels other there is no moon" in " ".join(_printed(capsys, "info").split())
    out = _printed(capsys, "gradcheck", "--quiet", "--only", "layers/Dense/train")
    assert "other was not checked: there is no moon.\n" in out
    with pytest.raises(RuntimeError, match="'other' cannot be used: there is no moon"):
        minigan_kernels.table("other", np)


@pytest.mark.parametrize("command", [["info"], ["train", *FEW], ["gradcheck", "--only", "layers/Dense/train"]])
def test_an_invalid_environment_variable_is_reported(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def unavailable() -> str | None:
        raise ValueError("MOONS must be a count, not 'many'")

    _register_other(unavailable=unavailable)
    assert cli.main(command) == 2
    assert capsys.readouterr().err == "minigan: MOONS must be a count, not 'many'.\n"


@pytest.mark.parametrize("name", ["reference", "numba", "auto"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    before = dict(minigan_kernels.IMPLEMENTATIONS)
    with pytest.raises(ValueError, match=f"the name '{name}' is taken"):
        minigan_kernels.register(name, standin_kernels)
    assert before == minigan_kernels.IMPLEMENTATIONS


@pytest.mark.parametrize("attribute", ["ARRAYS", "unavailable", "describe"])
def test_an_implementation_with_a_missing_attribute_is_refused(attribute: str) -> None:
    facts = {"ARRAYS": "numpy", "KERNELS": (), "unavailable": lambda: None, "describe": dict}
    del facts[attribute]
    with pytest.raises(TypeError, match=f"the kernels 'other' have no {attribute}"):
        minigan_kernels.register("other", SimpleNamespace(**facts))


# Other array libraries.


def test_kernels_compute_on_arrays_of_their_library_only(cupy: ModuleType) -> None:
    def matmul(a, b, transpose_a, transpose_b):
        return reference.matmul(cupy, a, b, transpose_a, transpose_b)

    _register_other(ARRAYS="cupy", KERNELS=(matmul,))
    with pytest.raises(mg.MiniganError, match="the kernels 'other' do not work on numpy arrays"):
        mg.use("numpy", "other")
    on_numpy = [pair for pair in backend.implementations() if pair.backend.name == "numpy"]
    assert "other" not in {pair.kernels for pair in on_numpy}

    device = mg.use("cupy")
    assert device.kernels == "other"
    on_cupy = [pair for pair in backend.implementations() if pair.backend is device]
    assert on_cupy[0] == (device, "reference", None)
    assert on_cupy[-1] == (device, "other", None)
    minigan_kernels.register("standin", standin_kernels)
    with pytest.raises(mg.MiniganError, match="the kernels 'standin' do not work on cupy arrays"):
        mg.use(device, "standin")


def test_gradcheck_checks_every_library_in_use(capsys: pytest.CaptureFixture[str], cupy: ModuleType) -> None:
    def matmul(a, b, transpose_a, transpose_b):
        return reference.matmul(cupy, a, b, transpose_a, transpose_b)

    _register_other(ARRAYS="cupy", KERNELS=(matmul,))
    device = mg.use("cupy")
    out = _printed(capsys, "gradcheck", "--quiet", "--only", "layers/Dense/train")
    rows = [" ".join(line.split()[1:-5]) for line in out.splitlines() if line.startswith("layers/")]
    assert rows[0] == "reference"
    on_cupy = [row for row in rows if row.startswith("cupy")]
    assert (on_cupy[0], on_cupy[-1]) == ("cupy reference", "cupy other")
    assert backend.by_array_type[cupy.ndarray] is device


def test_a_context_restores_the_backend_and_kernels(cupy: ModuleType) -> None:
    device = backend.Backend("cupy", cupy)
    before, kernels = backend.current(), backend.current().kernels
    with backend.using(device):
        assert backend.current() is device
        with backend.using(before, "reference"):
            assert before.kernels == "reference"
    assert backend.current() is before
    assert before.kernels == kernels
    assert cupy.ndarray not in backend.by_array_type


# Nothing else depends on numba.


def _names_numba(path: Path) -> bool:
    """Whether `path` imports numba or minigan_kernels.numba, or contains the string "numba"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import) and any("numba" in alias.name.split(".") for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            if "numba" in names:
                return True
        if isinstance(node, ast.Constant) and node.value == "numba":
            return True
    return False


@pytest.mark.slow
def test_only_the_registry_names_numba() -> None:
    sources = [*(ROOT / "minigan").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    naming = {str(path.relative_to(ROOT)) for path in sources if _names_numba(path)}
    assert {name for name in naming if not name.startswith("kernels/numba/")} == {"kernels/__init__.py"}


@pytest.mark.slow
@needs_numba
def test_numba_is_imported_only_when_it_is_needed() -> None:
    code = """
import sys, minigan, minigan_kernels, minigan_kernels.numba, minigan.core.backend, minigan.cli.parser
minigan.use("numpy", "reference")
minigan.Tensor([[1.0]]) @ minigan.Tensor([[2.0]])
assert "numba" not in sys.modules
assert minigan_kernels.unavailable("numba") is None
assert "numba" in sys.modules and "minigan_kernels.numba.kernels" not in sys.modules
assert minigan_kernels.numba.KERNELS and "minigan_kernels.numba.kernels" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# Packaging.


@pytest.mark.slow
def test_kernel_sources_in_other_languages_are_packaged(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    wanted = ["cuda/gemm.cu", "cuda/common.cuh", "cuda/include/tile.h"]
    Path("setup.py").write_text((ROOT / "setup.py").read_text(encoding="utf-8"), encoding="utf-8")
    for name in ["minigan/__init__.py", "minigan/data/__init__.py", "kernels/cuda/__init__.py", "kernels/__init__.py"]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    for name in [*wanted, "cuda/notes.txt"]:
        (tmp_path / "kernels" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "kernels" / name).touch()
    subprocess.run(
        [sys.executable, "setup.py", "build_py", "--build-lib", "built"], check=True, capture_output=True, cwd=tmp_path
    )
    packed = tmp_path / "built" / "minigan_kernels"
    others = {str(path.relative_to(packed)) for path in packed.rglob("*.*") if path.suffix != ".py"}
    assert others == set(wanted)
