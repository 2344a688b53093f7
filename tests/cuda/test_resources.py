"""Every compiled form of every CUDA kernel, by NVIDIA's own compiler, without a GPU: accepted, no spills, in budget."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from support import cuda_shapes, dry_launches, nvrtc
from support.environment import skip_unless_exhaustive

from minigan_kernels.cuda import compiler
from minigan_kernels.cuda.launch import MAX_SHARED_BYTES

pytestmark = [pytest.mark.exhaustive, skip_unless_exhaustive]

REGISTERS = 65_536  # of a multiprocessor, and so of a block at most; 32 bits each
SOURCES = Path(compiler.__file__).parent
BUDGETS = tomllib.loads(Path(__file__).with_name("budgets.toml").read_text())
COMPILERS = [
    pytest.param(name, marks=pytest.mark.skipif(name not in nvrtc.compilers(), reason=f"{name} is not installed"))
    for name in ("nvrtc", "nvcc")
]


def _variants() -> list[dry_launches.Variant]:
    return dry_launches.variants(cuda_shapes.launches())


def _jobs(name: str) -> list[tuple[dry_launches.Variant, nvrtc.Job]]:
    """Each compiled form for one architecture, in turn; a few by nvcc, which is slow.

    MINIGAN_CUDA_FORMS=all compiles each form for each architecture, with both compilers.
    """
    every = [
        (variant, nvrtc.Job(variant.source, compiler.full_source(*variant), architecture))
        for variant in _variants()
        for architecture in nvrtc.ARCHITECTURES
        if ("TF32", 1) not in variant.constants or int(architecture) >= 80  # tf32.py refuses older cards
    ]
    if os.environ.get("MINIGAN_CUDA_FORMS") == "all":
        return every
    step = len(nvrtc.ARCHITECTURES) + 1  # so that the architecture changes from form to form
    return every[:: 8 * step if name == "nvcc" else step]


@cache
def _compiled(name: str) -> dict[tuple[dry_launches.Variant, nvrtc.Job], dict[str, nvrtc.Resources] | str]:
    jobs = _jobs(name)
    found = nvrtc.compile_all(name, [job for _, job in jobs])
    return {(variant, job): found[job] for variant, job in jobs}


def test_the_launches_cover_every_kernel() -> None:
    declared = {
        (path.name, kernel)
        for path in SOURCES.glob("*.cu")
        for kernel in re.findall(r'extern "C" __global__ [^;{]*?\b(\w+)\((?=[^)]*\)\s*\{)', path.read_text())
    }
    assert declared
    assert declared == {(launch.variant.source, launch.kernel) for launch in cuda_shapes.launches()}


@pytest.mark.parametrize("name", COMPILERS)
def test_every_source_compiles(name: str) -> None:
    refused = {
        f"{job.source} {job.architecture} {v.constants}": r
        for (v, job), r in _compiled(name).items()
        if isinstance(r, str)
    }
    assert not refused


@pytest.mark.parametrize("name", COMPILERS)
def test_no_kernel_spills_or_keeps_arrays_in_memory(name: str) -> None:
    for (variant, job), kernels in _compiled(name).items():
        for kernel, used in kernels.items():
            assert used.spill_bytes == used.stack_bytes == 0, (kernel, variant, job.architecture, used)


@pytest.mark.parametrize("name", COMPILERS)
def test_no_kernel_exceeds_its_budget(name: str) -> None:
    over = [
        f"{kernel} {variant.dtype} {dict(variant.constants)} sm_{job.architecture}: {used}, budgeted: {budget}"
        for (variant, job), kernels in _compiled(name).items()
        for kernel, used in kernels.items()
        if used.registers > (budget := _budget(variant, kernel))["registers"] or used.shared_bytes > budget["shared"]
    ]
    assert not over, "\n".join(over)


def _budget(variant: dry_launches.Variant, kernel: str) -> dict[str, int]:
    budgets: dict[str, dict[str, int]] = BUDGETS[variant.source.removesuffix(".cu")][kernel]
    return budgets[str(variant.dtype)]


def test_no_budget_is_for_a_kernel_that_is_not_there() -> None:
    launched = {(launch.variant.source, launch.kernel) for launch in cuda_shapes.launches()}
    assert {(f"{source}.cu", kernel) for source, kernels in BUDGETS.items() for kernel in kernels} == launched


@pytest.mark.parametrize("name", COMPILERS)
def test_a_block_fits_a_multiprocessor(name: str) -> None:
    """CUDA refuses a launch whose block needs more registers or shared memory than a multiprocessor has."""
    used = {
        (variant, kernel): resources
        for (variant, _), kernels in _compiled(name).items()
        for kernel, resources in kernels.items()
    }
    for launch in cuda_shapes.launches():
        if resources := used.get((launch.variant, launch.kernel)):
            in_units_of_eight = -(-resources.registers // 8) * 8
            assert in_units_of_eight * launch.threads <= REGISTERS, launch
            assert resources.shared_bytes + launch.shared_bytes <= MAX_SHARED_BYTES, launch


def test_the_report_of_the_assembler_is_understood() -> None:
    report = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'first' for 'sm_90'
ptxas info    : Function properties for first
ptxas         .     8 bytes stack frame, 12 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 14 registers, used 1 barriers, 8 bytes cumulative stack size, 4096 bytes smem
ptxas info    : Compiling entry function 'second' for 'sm_90'
ptxas info    : Function properties for second
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
"""
    assert nvrtc.parsed(report) == {
        "first": nvrtc.Resources(registers=14, stack_bytes=8, spill_bytes=16, shared_bytes=4096),
        "second": nvrtc.Resources(registers=255, stack_bytes=0, spill_bytes=0, shared_bytes=0),
    }


@pytest.mark.parametrize("name", COMPILERS)
def test_spills_are_seen_and_errors_are_told(name: str) -> None:
    spilling = """extern "C" __global__ void __launch_bounds__(1024) spilling(float* x) {
    float a[200];
    #pragma unroll
    for (int i = 0; i < 200; ++i) a[i] = x[i * 1024 + threadIdx.x];
    __syncthreads();
    #pragma unroll
    for (int i = 0; i < 200; ++i) x[i * 1024 + threadIdx.x] = a[i] * a[(i * 7) % 200] + a[199 - i];
}"""
    job, wrong = nvrtc.Job("spilling.cu", spilling, "80"), nvrtc.Job("wrong.cu", "mistake", "80")
    found = nvrtc.compile_all(name, [job, wrong])
    assert isinstance(found[job], dict) and found[job]["spilling"].spill_bytes > 0
    assert isinstance(found[wrong], str) and "wrong.cu(1): error" in found[wrong]
