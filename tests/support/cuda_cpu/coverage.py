"""Which lines of the CUDA sources were executed on the CPU, counted by g++'s gcov.

A process that runs with `environment(folder)` on the stand-in for CuPy compiles the kernels with counters, and writes
the counts into the folder when it ends; several processes may write to one folder. `line_counts(folder)` adds them up.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

from . import build


def environment(folder: Path) -> dict[str, str]:
    """The environment variables of a process whose kernels count their lines."""
    return {build.MODE_VARIABLE: "coverage", "GCOV_PREFIX": str(folder), "GCOV_PREFIX_STRIP": "99"}


def available() -> bool:
    """Whether gcov is installed; it comes with g++."""
    return shutil.which("gcov") is not None


def line_counts(folder: Path) -> dict[str, dict[int, int]]:
    """How often each line of code ran, by file ("matmul.cu") and line number; 0 for code that never ran.

    A line of a template, or of a file that several kernels insert, counts for all of them together. Raises
    FileNotFoundError without gcov, and RuntimeError if it cannot read the counts.
    """
    gcov = shutil.which("gcov")
    if gcov is None:
        raise FileNotFoundError("gcov is not installed; it comes with g++")
    counts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for data in sorted(folder.glob("*.gcda")):
        shutil.copy(build.notes_of(data), data.with_suffix(".gcno"))
        run = subprocess.run([gcov, "--json-format", "--stdout", data.name], cwd=folder, capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(f"gcov cannot read {data}: {run.stderr.strip()}")
        for file in json.loads(run.stdout)["files"]:
            if Path(file["file"]).suffix in (".cu", ".cuh"):
                for line in file["lines"]:
                    counts[Path(file["file"]).name][line["line_number"]] += line["count"]
    return {file: dict(lines) for file, lines in counts.items()}
