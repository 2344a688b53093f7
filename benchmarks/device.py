"""Everything that needs a GPU, in under nine minutes, on a bare machine with CuPy and PyTorch.

    python benchmarks/device.py --out results              # minigan need not be installed
    python benchmarks/device.py --out results --minutes 4  # the most valuable parts alone
    python benchmarks/device.py --out results --dry-run    # on the stand-in for CuPy: no GPU

The parts run one after another, the most valuable first, each in a process of its own with a time limit, so that one
that crashes or hangs does not end the others. Each part's output and results are in the folder, summary.json says how
each ended, and both are written as they come. Linux only. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
GPU_PY = str(ROOT / "benchmarks" / "gpu.py")
SMALL_TESTS = ["tests/cuda", "-m", "gpu and not slow"]
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")


class Part(NamedTuple):
    """A command, and the most seconds it may take."""

    name: str
    command: list[str]
    seconds: int


def parts(out: Path, dry_run: bool) -> Iterator[Part]:
    """The parts, the most valuable first."""
    python, dry = sys.executable, ["--dry-run"] if dry_run else []

    def gpu(part: str, seconds: int, *more: str) -> Part:
        command = [
            python,
            GPU_PY,
            part,
            "--json",
            str(out / f"{part}.json"),
            "--budget",
            str(seconds - 10),
            *dry,
            *more,
        ]
        return Part(part, command, seconds)

    pytest = [python, "-m", "pytest", "-o", "addopts=", "-o", "filterwarnings=default", "-p", "no:cacheprovider"]
    pytest += ["-v", "--tb=short"]  # so that a part that is stopped has told the outcome of each test before
    workers = ["-n", "4"] if importlib.util.find_spec("xdist") else []  # kernels are compiled while others run
    if not dry_run:
        yield Part("machine", ["nvidia-smi"], 20)
    yield Part("info", [python, "-m", "minigan", "info"], 40)
    yield gpu("agreement", 60)
    # On the dry run a few of the tests, on the stand-in.
    tests = ["tests/cuda/test_sums.py", "-k", "float32"] if dry_run else [*SMALL_TESTS, *workers]
    yield Part("tests", [*pytest, *tests], 120)
    yield gpu("steps", 110, "--seconds", "0.5")
    yield gpu("kernels", 100, "--seconds", "0.05")
    yield gpu("products", 30, "--seconds", "0.2")
    yield Part("ladder", [python, str(ROOT / "benchmarks/cuda_matmul/ladder.py"), *(["--on-cpu"] if dry_run else []),
                          "--json", str(out / "ladder.json")], 40)  # fmt: skip
    run_folder = str(out / time.strftime("run-%Y%m%d-%H%M%S"))  # a new one, since minigan keeps those of earlier runs
    train = ["train", "mnist-dcgan", "--backend", "cupy", "--steps", "300", "--out", run_folder]
    small = ["train", "ring", "--backend", "cupy", "--steps", "2", "--out", run_folder]
    yield Part("training", [python, "-m", "minigan", *(small if dry_run else train)], 60)
    if sanitizer := _sanitizer():
        for tool in SANITIZERS:
            checked = [*pytest, "tests/cuda/test_matmul.py", "tests/cuda/test_sums.py", "-m", "gpu and not slow", "-x"]
            yield Part(tool, [sanitizer, "--tool", tool, "--error-exitcode", "9", *checked], 40)


def _sanitizer() -> str | None:
    """The path of NVIDIA's compute-sanitizer, or None."""
    usual = "/usr/local/cuda/bin/compute-sanitizer"
    return shutil.which("compute-sanitizer") or (usual if os.access(usual, os.X_OK) else None)


def environment(out: Path, dry_run: bool) -> dict[str, str]:
    """The environment of the parts: minigan from this checkout, installed or not."""
    links = out / "path"
    links.mkdir(parents=True, exist_ok=True)
    for package, folder in (("minigan", "minigan"), ("minigan_kernels", "kernels")):
        if not (links / package).exists():
            (links / package).symlink_to(ROOT / folder)
    folders = [str(links), *([str(ROOT / "tests" / "standin")] if dry_run else [])]
    path = os.pathsep.join(filter(None, [*folders, os.environ.get("PYTHONPATH", "")]))
    # JAX would take most of the GPU's memory when it starts.
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def run(part: Part, out: Path, variables: dict[str, str], seconds: float) -> dict[str, Any]:
    """Run a part with its output in a file; how it ended."""
    start = time.monotonic()
    with open(out / f"{part.name}.log", "w") as log:
        try:
            process = subprocess.Popen(
                part.command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            return {"ended": f"cannot be started: {error}", "seconds": 0.0}
        try:
            ended: Any = process.wait(min(part.seconds, seconds))
        except subprocess.TimeoutExpired:
            ended = "stopped at its time limit"
            _end(process)
    return {"ended": ended, "seconds": round(time.monotonic() - start, 1)}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children: interrupted, pytest still reports the failures so far."""
    os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a file."""
    return path.read_text(errors="replace").splitlines()[-count:] if path.exists() else []


def main(arguments: list[str] | None = None) -> int:
    """Run all parts that fit into the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for results and logs")
    parser.add_argument("--minutes", type=float, default=8.8, help="for all parts together (8.8)")
    parser.add_argument("--dry-run", action="store_true", help="tiny, on the stand-in for CuPy")
    options = parser.parse_args(arguments)
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    variables = environment(out, options.dry_run)
    end = time.monotonic() + options.minutes * 60
    summary: dict[str, Any] = {}
    for part in parts(out, options.dry_run):
        left = end - time.monotonic()
        summary[part.name] = run(part, out, variables, left) if left > 5 else {"ended": "not started: no time left"}
        (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        print(f"{part.name}: {summary[part.name]}", flush=True)
        for line in last_lines(out / f"{part.name}.log", 3 if summary[part.name]["ended"] == 0 else 12):
            print(f"    {line[:200]}", flush=True)
    shutil.rmtree(out / "path", ignore_errors=True)
    return 0 if all(result["ended"] == 0 for result in summary.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
