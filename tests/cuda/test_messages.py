"""What the command line says without CuPy, without a driver, without a device, and about errors of the device."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support import cupy_standin
from support.environment import needs_numba

import minigan as mg
from minigan import cli
from minigan.core import backend
from minigan_kernels.cuda import driver

IMPORT_ERROR = """
================================================================
Failed to import CuPy.

If you installed CuPy via wheels (cupy-cudaXXX), make sure that the package matches with the version of CUDA.

Original error:
  ImportError: libcublas.so.13: cannot open shared object file: No such file or directory
================================================================
"""


def one_sentence(text: str) -> bool:
    """Whether `text`, printed on standard error, is one line that ends as a sentence."""
    return text.startswith("minigan: ") and text.count("\n") == 1 and text.endswith((".\n", "?\n"))


RUN = ["train", "ring", "--steps", "2", "--quiet"]


def _without_cupy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)


def _with_broken_cupy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "site" / "cupy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"raise ImportError({IMPORT_ERROR!r})")
    monkeypatch.syspath_prepend(str(package.parent))
    for name in [name for name in sys.modules if name.partition(".")[0] == "cupy"]:
        monkeypatch.delitem(sys.modules, name)


def _standin_that_plays(machine: str) -> Callable[[pytest.MonkeyPatch, Path], None]:
    return lambda monkeypatch, tmp_path: monkeypatch.setenv("CUPY_STANDIN", machine)


def _with_a_busy_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = sys.modules["cupy.cuda.runtime"]

    def busy() -> None:
        raise runtime.CUDARuntimeError(101)  # type: ignore[attr-defined]

    monkeypatch.setattr(runtime, "memGetInfo", busy)


MACHINES: dict[str, tuple[Callable[[pytest.MonkeyPatch, Path], None], str, str]] = {
    "no CuPy": (_without_cupy, "CuPy is not installed", "pip install 'minigan[cuda13]'"),
    "broken CuPy": (_with_broken_cupy, "CuPy cannot be imported (ImportError: libcublas.so.13", "minigan[cuda13]"),
    "no driver": (_standin_that_plays("no-driver"), "no NVIDIA driver is loaded", "install one"),
    "old driver": (_standin_that_plays("old-driver"), "the NVIDIA driver supports CUDA 12", "minigan[cuda12]"),
    "no device": (_standin_that_plays("no-device"), "the NVIDIA driver finds no GPU", "CUDA_VISIBLE_DEVICES"),
    "busy device": (_with_a_busy_gpu, "CUDA cannot be started (cudaErrorInvalidDevice", "'nvidia-smi'"),
}


@pytest.fixture(autouse=True)
def _no_backend_is_named() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MINIGAN_BACKEND", raising=False)
        yield


@pytest.fixture(params=MACHINES)
def machine(
    request: pytest.FixtureRequest, standin: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[str, str]:
    """A machine on which CuPy cannot be used; parts of the sentence that says why, and what to do."""
    prepare, reason, remedy = MACHINES[request.param]
    prepare(monkeypatch, tmp_path)
    cupy_standin.forget_cupy()
    return reason, remedy


@pytest.mark.parametrize("how", ["--backend", "--kernels", "MINIGAN_BACKEND"])
def test_one_sentence_says_why_cupy_cannot_be_used(
    how: str,
    machine: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    options = {"--backend": ["--backend", "cupy"], "--kernels": ["--kernels", "cuda"]}.get(how, [])
    if how == "MINIGAN_BACKEND":
        monkeypatch.setenv(how, "cupy")
    assert cli.main([*RUN, "--out", str(tmp_path / "run"), *options]) == 2
    out, err = capsys.readouterr()
    assert one_sentence(err)
    assert out == ""
    assert all(part in err for part in machine)
    assert not (tmp_path / "run").exists()


def test_without_a_gpu_everything_else_works(machine: tuple[str, str], capsys: pytest.CaptureFixture) -> None:
    reason, remedy = machine
    assert cli.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["backend"] == "numpy"
    for entry in ("backend cupy", "kernels cuda", "kernels cuda-tf32"):
        assert reason in facts[entry]
        assert remedy in facts[entry]
    assert not any("cupy" in name for row in facts["kernels"].values() for name in row)
    assert cli.main(["gradcheck", "--only", "primitives/sigmoid", "--quiet"]) == 0
    assert mg.use("auto").name == "numpy"


def test_info_shows_the_gpu(standin: ModuleType, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["backend"] == "cupy"
    assert facts["backend cupy"] == facts["kernels cuda"] == "available"
    assert {"GPU", "compute capability", "multiprocessors", "GPU memory", "CUDA", "NVRTC"} <= facts.keys()
    assert facts["kernels"]["matmul"]["cupy cuda"] is True
    assert facts["versions"]["cupy"] == standin.__version__


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(
            ["--backend", "cupy", "--kernels", "numba"],
            "the kernels 'numba' do not work on cupy arrays; choose 'auto' or 'reference', or the backend 'numpy'.",
            marks=needs_numba,
        ),
        (
            ["--backend", "numpy", "--kernels", "cuda"],
            "the kernels 'cuda' do not work on numpy arrays; choose 'auto' or 'reference', or the backend 'cupy'.",
        ),
        (["--backend", "cuda"], "there is no --backend 'cuda'; did you mean 'cupy'?"),
    ],
)
def test_kernels_of_the_other_backend_are_refused(
    options: list[str], sentence: str, standin: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main([*RUN, "--out", str(tmp_path / "run"), *options]) == 2
    assert capsys.readouterr().err == f"minigan: {sentence}\n"
    assert not (tmp_path / "run").exists()


def test_an_environment_variable_names_the_backend(standin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mg.use("auto").name == "cupy"
    monkeypatch.setenv("MINIGAN_BACKEND", "numpy")
    assert mg.use("auto").name == mg.use().name == "numpy"
    assert mg.use("cupy").name == "cupy"
    monkeypatch.setenv("MINIGAN_BACKEND", "cuda")
    with pytest.raises(mg.errors.UsageError, match="MINIGAN_BACKEND is 'cuda', and there is no such backend; did you"):
        mg.use()
    assert backend.current().name == "cupy"


# Errors of the device.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps on NumPy."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = [option for name in ("generator_widths", "discriminator_widths") for option in ("--set", f"{name}=16")]
    arguments = ["train", "mnist-mlp", "--steps", "3", "--set", "batch_size=16", *options, "--quiet"]
    assert cli.main([*arguments, "--out", str(folder), "--backend", "numpy", "--kernels", "reference"]) == 0
    return folder


@pytest.fixture
def run(trained: Path, standin: ModuleType, tmp_path: Path) -> Path:
    """A run on a machine with the stand-in, with the default backend."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"backend": "auto", "kernels": "auto"}))
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


COMMANDS = {
    "train": lambda run: ["train", "ring", "--steps", "2", "--backend", "cupy", "--out", str(run.parent / "other")],
    "resume": lambda run: ["train", "--resume", str(run), "--steps", "9", "--quiet"],
    "sample": lambda run: ["sample", str(run), "--n", "5000"],
    "evaluate": lambda run: ["evaluate", str(run), "--n", "500"],
    "gradcheck": lambda run: ["gradcheck", "--only", "primitives/matmul", "--quiet"],
    "bench": lambda run: ["bench", "toy", "--backend", "cupy", "--seconds", "0.1"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_memory_of_the_device_that_runs_out_is_reported_in_a_sentence(
    command: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = _contents(run)
    driver.cupy_module().get_default_memory_pool().free_all_blocks()
    monkeypatch.setenv("CUPY_STANDIN_MEMORY", "2000")
    assert cli.main(COMMANDS[command](run)) == 1
    err = capsys.readouterr().err
    assert one_sentence(err.splitlines(keepends=True)[-1])
    assert "the GPU has no memory for " in err
    assert "of 2,000 are free); choose a smaller batch_size" in err
    assert _contents(run) == before
    assert not (run.parent / "other").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_vanishes_is_reported_in_a_sentence(
    command: str, run: Path, standin: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = _contents(run)

    def fail(*arguments: object, **options: object) -> None:
        raise standin.cuda.runtime.CUDARuntimeError(700)

    monkeypatch.setattr(standin.cuda.Function, "__call__", fail)
    assert cli.main(COMMANDS[command](run)) == 1
    err = capsys.readouterr().err
    assert one_sentence(err.splitlines(keepends=True)[-1])
    assert "the GPU failed (cudaErrorIllegalAddress" in err
    assert _contents(run) == before
    assert not (run.parent / "other").exists()


def test_other_errors_are_none_of_the_device(standin: ModuleType) -> None:
    for error in (ValueError("no"), MemoryError(), RuntimeError("CUDA"), KeyboardInterrupt()):
        assert backend.device_problem(error) is None
    memory = standin.cuda.memory.OutOfMemoryError(1_234_567, 0, 0)
    assert "no memory for 1,234,567 more bytes (" in (backend.device_problem(memory) or "")
