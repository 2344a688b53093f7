"""The scripts in benchmarks/ that measure and predict on GPUs: what can be known of them without one."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from support import dry_launches, nvrtc
from support.cuda_cpu import build
from support.environment import WITHOUT_COMPILER, skip_unless_exhaustive

from minigan_kernels.geometry import of_convolution

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"

needs_compiler = pytest.mark.skipif(build.compiler() is None, reason=WITHOUT_COMPILER)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A function that imports a module of benchmarks/ by its name; it is unloaded afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), str(BENCHMARKS / "cuda_matmul"), *sys.path])
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


# The ladder of matrix products


@needs_compiler
def test_every_version_of_the_product_is_right(cupy, script) -> None:
    ladder = script("ladder")
    multiples = {version.name: version.multiple for version in ladder.VERSIONS}
    found = ladder.functions()
    assert len(found) == 7
    for name, product in found.items():
        assert 0 < ladder.check(name, product, multiples.get(name, 1)) < ladder.TOLERANCE


def test_a_wrong_version_is_found(cupy, script) -> None:
    ladder = script("ladder")

    def wrong(a, b, c) -> None:
        c[...] = cupy.matmul(a, b)
        c[-1, -1] += 1e-3

    with pytest.raises(ArithmeticError, match="wrong is wrong by"):
        ladder.check("wrong", wrong)
    with pytest.raises(ArithmeticError, match="nothing is wrong by inf"):
        ladder.check("nothing", lambda a, b, c: None)


@pytest.mark.skipif(not nvrtc.compilers(), reason="needs NVRTC or nvcc")
def test_no_version_of_the_product_spills(script) -> None:
    texts = {path.name: path.read_text() for path in (BENCHMARKS / "cuda_matmul").glob("*.cu")}
    jobs = [nvrtc.Job(name, text, "90") for name, text in texts.items()]
    for job, found in nvrtc.compile_all(next(iter(nvrtc.compilers())), jobs).items():
        assert isinstance(found, dict), found
        assert found["matmul"].spill_bytes == found["matmul"].stack_bytes == 0, job.source


# The roofline


def _launch(threads: int, shared_bytes: int = 0) -> dry_launches.Launch:
    variant = dry_launches.Variant("matmul.cu", np.dtype(np.float32), ())
    return dry_launches.Launch(variant, "kernel", (1, 1, 1), (threads, 1, 1), shared_bytes, 0, None)


@pytest.mark.parametrize(
    ("threads", "registers", "static", "dynamic", "expected"),
    [
        (256, 32, 0, 0, 1.0),
        (256, 128, 0, 0, 0.25),  # 65,536 registers are enough for 512 threads
        (256, 33, 0, 0, 0.75),  # a warp takes 40 x 32: 51 warps, 6 blocks of 8
        (32, 16, 0, 0, 0.5),  # at most 32 blocks
        (1024, 64, 0, 0, 0.5),
        (128, 32, 40_000, 5_000, 0.3125),  # 5 blocks of 45,000 + 1,024 bytes in 233,472
        (100, 32, 0, 0, 1.0),  # a block of 4 warps
    ],
)
def test_occupancy_on_an_h200(script, threads, registers, static, dynamic, expected) -> None:
    resources = nvrtc.Resources(registers, 0, 0, static)
    assert script("cuda_roofline").occupancy(resources, _launch(threads, dynamic)) == expected


def test_operations_are_counted(script) -> None:
    flops_of, call = script("cuda_roofline").flops_of, dry_launches.Call
    for a, b in (((3, 5), (5, 7)), ((5, 3), (5, 7)), ((3, 5), (7, 5)), ((5, 3), (7, 5))):
        assert flops_of(call("matmul", (a, b))) == pytest.approx(2 * 3 * 5 * 7)
    assert flops_of(call("dense", ((3, 5), (5, 7), (7,)))) == 2 * 3 * 5 * 7
    geometry = of_convolution((8, 8), (4, 4), 2, 1)  # to 4 x 4
    x, y, w = (2, 8, 8, 3), (2, 4, 4, 5), (4, 4, 3, 5)
    for operation, shapes in (("conv2d", (x, w)), ("conv2d_input_grad", (y, w)), ("conv2d_weight_grad", (x, y))):
        assert flops_of(call(operation, shapes, geometry)) == 2 * 2 * 4 * 4 * 4 * 4 * 3 * 5


def test_traffic_of_a_launch() -> None:
    """Inputs and results count once, and twice what is changed in place."""
    with dry_launches.recorded() as launches:
        kernels = dry_launches.table()
        kernels["slope_gate"](np.ones(1000, np.float32), np.ones(1000, np.float32), 0.2)
        kernels["clip"](np.ones(1000, np.float64), 0.5)
    assert [launch.traffic for launch in launches] == [12_000, 16_000]
    assert [launch.call.operation for launch in launches] == ["slope_gate", "clip"]


@pytest.mark.exhaustive
@skip_unless_exhaustive
def test_the_roofline_of_a_step(script, capsys) -> None:
    roofline = script("cuda_roofline")
    assert roofline.main(["toy"]) == 0
    table = capsys.readouterr().out
    assert "| toy | matmul |" in table and "| toy | adam | 2 |" in table
    (row,) = [row for row in roofline.rows("toy", False, {}) if row.operation == "adam"]
    assert row.seconds * roofline.BYTES == row.traffic


# Measurements


@needs_compiler
@pytest.mark.slow
def test_what_is_measured_on_a_gpu_runs_on_the_stand_in(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--dry-run", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(path.read_text())
    assert facts["dry_run"] is True
    assert not [name for part in facts.values() if isinstance(part, dict) for name, v in part.items() if "error" in v]
    assert facts["steps"].keys() == {"toy float32", "toy tf32", "toy no graph"}
    for name, errors in facts["agreement"].items():
        bound = 5e-3 if "tf32" in name else 1e-12 if "float64" in name else 1e-5
        assert max(errors.values()) < bound, name


@needs_compiler
def test_a_peer_that_fails_costs_no_other_result(script, cupy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # cannot be imported
    gpu = script("gpu")
    settings, record = gpu.Settings(gpu.parsed_arguments(["--dry-run"])), gpu.Record(None, {})
    settings.peers = ["torch"]
    gpu.products(record, settings)
    assert record.facts["products"]["24"]["implementations"].keys() == {"cuda", "cuda-tf32", "cuBLAS"}
    gpu.steps(record, settings)
    assert record.facts["steps"].keys() == {"toy float32", "toy tf32", "toy no graph"}
    assert all("torch" in reason["error"] for reason in record.facts["steps left out"].values())
    assert set(record.facts["kernels left out"]) == {"matmul 24x24 24x24 torch"}


def test_a_part_that_hangs_or_is_missing_does_not_end_the_others(script, tmp_path: Path) -> None:
    device = script("device")
    sleep = device.Part("sleep", [sys.executable, "-c", "import time; time.sleep(60)"], 1)
    assert device.run(sleep, tmp_path, {}, 60)["ended"] == "stopped at its time limit"
    missing = device.Part("missing", ["no such program"], 1)
    assert device.run(missing, tmp_path, {}, 60)["ended"].startswith("cannot be started: ")
    works = device.Part("works", [sys.executable, "-c", "print('seen')"], 30)
    assert device.run(works, tmp_path, {}, 60)["ended"] == 0
    assert device.last_lines(tmp_path / "works.log", 3) == ["seen"]


def test_minigan_need_not_be_installed(script, tmp_path: Path) -> None:
    variables = script("device").environment(tmp_path, dry_run=True) | {"PYTHONNOUSERSITE": "1"}
    program = "import minigan, minigan_kernels, cupy; print(minigan.__file__, minigan_kernels.__file__, cupy.__file__)"
    found = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert found.stdout.split()[2] == str(ROOT / "tests" / "standin" / "cupy" / "__init__.py")


def test_all_parts_fit_into_nine_minutes(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = script("device")
    monkeypatch.setattr(device, "_sanitizer", lambda: "compute-sanitizer")
    assert sum(part.seconds for part in device.parts(tmp_path, dry_run=False)) < 13 * 60
    essential = [part for part in device.parts(tmp_path, dry_run=False) if part.name not in device.SANITIZERS]
    assert [part.name for part in essential][:5] == ["machine", "info", "agreement", "tests", "steps"]
    assert sum(part.seconds for part in essential) < 9.8 * 60


def test_times_by_turns(script, cupy) -> None:
    clock = script("gpu_clock")
    calls = {"first": 0, "second": 0}

    def call(name: str):
        def count() -> None:
            calls[name] += 1

        return clock.Timed("cupy", count)

    found = clock.measure({name: call(name) for name in calls}, seconds=0, repeat=2, flush_bytes=4096)
    assert calls == {"first": 10, "second": 10}  # twice 2 untimed, 3 times 2 timed
    assert all(row["count"] == 3 and row["q1_ms"] <= row["median_ms"] <= row["q3_ms"] for row in found.values())
