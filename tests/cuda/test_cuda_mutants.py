"""The tool that plants mistakes in the CUDA kernels: it plants what it says, and the tests find what it plants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.cuda_cpu import build
from support.environment import WITHOUT_COMPILER, skip_unless_exhaustive

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from cuda_mutation.sites import Sites  # noqa: E402

sys.path.remove(str(BENCHMARKS))

needs_compiler = pytest.mark.skipif(build.compiler() is None, reason=WITHOUT_COMPILER)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

SOURCE = """typedef float real;
#define TILE 8
#line 1 "header.cuh"
struct Matrix {
    const real* data;
    int rows, columns;
    __device__ real at(int i, int j) const { return i < rows && j < columns ? data[i * columns + j] : real(0); }
};
#line 1 "kernel.cu"
constexpr int COUNT = TILE * 2;
template <int SIZE> __device__ void copy(const real* from, real* to, int count, int stride) {
    real values[SIZE * 2];
    for (int i = 0; i < SIZE; ++i) values[i] = from[i * stride];  // i < SIZE is no boundary
    for (int i = threadIdx.x; i < SIZE; i += 32) to[i] = values[i];
    copy<TILE * 2>(from, to, count, stride);
    __syncthreads();
    if (from[0] >= to[0]) __syncwarp();
}
constexpr int twice(int x) {
    return x > 0 ? x * 2 : 0;
}
__device__ int alone(int width) {
    const int half = width / 2;
    return threadIdx.y * width + threadIdx.x % half + blockIdx.x * blockDim.x;
}
"""


def planted() -> tuple[Sites, dict[tuple[str, int], list[tuple[str, str]]]]:
    sites, places = Sites(), {}
    sites.text = sites.planted(SOURCE)
    for _, site in sites:
        places.setdefault((site.file, site.line), []).append((site.kind, site.change))
    return sites, places


def test_what_is_planted_where() -> None:
    _, places = planted()
    less = [("boundary", "< becomes <="), ("boundary", "< lets one less through")]
    assert places == {
        ("header.cuh", 4): [*less, *less, ("stride", "i becomes j"), ("stride", "columns becomes rows")],
        ("kernel.cu", 4): [("stride", "stride becomes count")],
        ("kernel.cu", 5): less,
        ("kernel.cu", 7): [("barrier", "__syncthreads(); left out")],
        ("kernel.cu", 8): [
            ("barrier", "__syncwarp(); left out"),
            ("boundary", ">= lets one more through (real numbers: becomes >)"),
            ("boundary", ">= lets one less through"),
        ],
        ("kernel.cu", 15): [
            ("stride", "width becomes width + 1"),
            ("stride", "half becomes half + 1"),
            ("stride", "blockDim.x becomes blockDim.x + 1"),
        ],
    }


def test_a_header_has_the_same_numbers_in_every_source() -> None:
    sites = Sites()
    first = sites.planted(SOURCE)
    count = len(list(sites))
    other = SOURCE.partition('#line 1 "kernel.cu"')[0]
    assert first.startswith(sites.planted(other).rstrip("\n"))
    assert len(list(sites)) == count


def test_untouched_files_stay_as_they_are() -> None:
    sites = Sites()
    text = sites.planted(SOURCE, untouched=("header.cuh",))
    assert not [site for _, site in sites if site.file == "header.cuh"]
    assert SOURCE.partition('#line 1 "kernel.cu"')[0] in text


@needs_compiler
def test_comparisons_mean_what_they_meant(tmp_path: Path) -> None:
    """Each relation with no mistake, with one more and one less, on integers, unsigned integers and real numbers."""
    relations = ["<", "<=", ">", ">="]
    sites = Sites()
    text = sites.planted(
        '#line 1 "all.cu"\n'
        + "\n".join(
            f"template <class A> bool compare{i}(A a, A b) {{\n    return a + 0 {r} b * 1;\n}}"
            for i, r in enumerate(relations)
        )
    )
    main = ["int minigan_mutant; unsigned char minigan_reached[64];", "int main() {"]
    for kind in ("int", "unsigned", "float"):
        for i in range(4):
            for mutant in (0, 2 * i + 1, 2 * i + 2):
                main.append(f"minigan_mutant = {mutant};")
                main += [
                    f'printf("%d", (int)compare{i}<{kind}>({a}, {b}));'
                    for a, b in ((1, 3), (2, 3), (3, 3), (4, 3), (5, 3))
                ]
                main.append('printf(" ");')
    source, program = tmp_path / "all.cpp", tmp_path / "all"
    source.write_text("\n".join(["#include <stdio.h>", text, *main, "}"]))
    subprocess.run([build.compiler(), "-std=c++17", "-o", program, source], check=True)
    found = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    #         none     one more  one less
    whole = ["11000", "11100", "10000", "11100", "11110", "11000",
             "00011", "00111", "00001", "00111", "01111", "00011"]  # fmt: skip
    real = ["11000", "11100", "11000", "11100", "11000", "11100",
            "00011", "00111", "00011", "00111", "00011", "00111"]  # fmt: skip
    assert found == whole + whole + real


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "cuda_mutants.py"), *arguments], capture_output=True, text=True, check=False
    )


@needs_compiler
@needs_fork
@pytest.mark.slow
@pytest.mark.exhaustive
@skip_unless_exhaustive
def test_the_tests_of_the_sums_find_every_mistake_in_them(tmp_path: Path) -> None:
    done = run_tool("--kernel", "sums", "--file", r"^sums\.cu$", "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((tmp_path / "found.json").read_text())
    assert facts["survivors"] == []
    assert facts["files"]["sums.cu"]["planted"] == facts["files"]["sums.cu"]["found"] > 0


WEAK = """
import numpy as np
from conftest import cupy

def test_one_block_of_whole_rows(cupy):
    from minigan_kernels.cuda.leaky_relu import slope_gate

    x = cupy.asarray(np.ones((4, 256), np.float32))
    assert (slope_gate(x, x, 0.5).get() == 1).all()
"""


@needs_compiler
@needs_fork
@pytest.mark.slow
@pytest.mark.exhaustive
@skip_unless_exhaustive
def test_a_mistake_that_no_test_notices_survives(tmp_path: Path) -> None:
    weak = tmp_path / "test_weak.py"
    weak.write_text(WEAK)
    done = run_tool(str(weak), "--json", str(tmp_path / "found.json"))
    assert done.returncode == 1, done.stdout + done.stderr
    survivors = json.loads((tmp_path / "found.json").read_text())["survivors"]
    assert {"survived", "never executed"} <= {item["how"] for item in survivors}


@needs_compiler
@needs_fork
def test_tests_that_fail_without_a_mistake_are_told(tmp_path: Path) -> None:
    failing = tmp_path / "test_failing.py"
    failing.write_text("def test_failing():\n    assert False, 'reason'\n")
    done = run_tool(str(failing))
    assert done.returncode == 2
    assert "The tests must pass as long as no mistake is at work" in done.stderr
    assert "reason" in done.stderr
