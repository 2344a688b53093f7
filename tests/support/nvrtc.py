"""Compiles CUDA sources without a GPU, with NVRTC or nvcc, and reads what each kernel needs in the assembler's report.

NVRTC is the library in the package nvidia-cuda-nvrtc (in the extra `dev`); nvcc is NVIDIA's command line compiler.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from minigan_kernels.cache import cache_directory
from minigan_kernels.cuda import compiler

ARCHITECTURES = ("75", "80", "90", "120")  # Turing, Ampere, Hopper, Blackwell: compute capability without the point
_REPORT = "--ptxas-options=-v"  # to NVRTC and nvcc alike


class Resources(NamedTuple):
    """What a thread of a kernel needs: 32-bit registers, bytes of stack, bytes moved by spills; and a block's memory.

    shared_bytes: the static shared memory of a block.
    """

    registers: int
    stack_bytes: int
    spill_bytes: int
    shared_bytes: int


class CompilerError(Exception):
    """A source that the compiler refuses; the message is the compiler's log."""


class Job(NamedTuple):
    """A text to compile for an architecture; `source` is its name in messages."""

    source: str
    text: str
    architecture: str


def compilers() -> dict[str, Any]:
    """The compilers that are there, by name: functions from a Job to {kernel: Resources}."""
    found: dict[str, Any] = {}
    if _nvrtc() is not None:
        found["nvrtc"] = _with_nvrtc
    if _nvcc() is not None:
        found["nvcc"] = _with_nvcc
    return found


def compile_all(name: str, jobs: Iterable[Job]) -> dict[Job, dict[str, Resources] | str]:
    """Compile every job, on all cores, with the compiler `name`; a text that it refuses has its log as the result.

    Results are kept in minigan's cache: a text is compiled once.
    """
    jobs = list(dict.fromkeys(jobs))
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        return dict(zip(jobs, pool.map(lambda job: _cached(name, job), jobs), strict=True))


def _cached(name: str, job: Job) -> dict[str, Resources] | str:
    identity = repr((name, _version(name), job.text, job.architecture, compiler.OPTIONS)).encode()
    path = cache_directory("cuda-resources") / f"{hashlib.sha256(identity).hexdigest()[:32]}.json"
    if path.exists():
        return {kernel: Resources(*numbers) for kernel, numbers in json.loads(path.read_text()).items()}
    try:
        found: dict[str, Resources] = compilers()[name](job)
    except CompilerError as error:
        return str(error)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(found, file)
    os.replace(file.name, path)
    return found


def parsed(report: str) -> dict[str, Resources]:
    """The resources of each kernel, by name, in the report of `ptxas -v`."""
    found = {}
    for kernel, body in re.findall(
        r"Compiling entry function '(\w+)'(.*?)(?=Compiling entry function|\Z)", report, re.S
    ):
        stack, stores, loads = re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", body
        ).groups()
        registers = re.search(r"Used (\d+) registers", body)[1]
        shared = re.search(r"(\d+) bytes smem", body)
        found[kernel] = Resources(int(registers), int(stack), int(stores) + int(loads), int(shared[1]) if shared else 0)
    return found


def _options(architecture: str) -> list[str]:
    return [*compiler.OPTIONS, f"-arch=sm_{architecture}", _REPORT]


@cache
def _version(name: str) -> str:
    if name == "nvcc":
        return subprocess.run([_nvcc(), "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = ctypes.c_int(), ctypes.c_int()
    _nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


@cache
def _nvrtc() -> Any:
    """The library of the package nvidia-cuda-nvrtc, or None."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted([*Path(folder).glob("*/lib/libnvrtc.so.*"), *Path(folder).glob("*/bin/**/nvrtc64*.dll")]):
            if ".alt." not in path.name:
                return ctypes.CDLL(str(path))
    return None


def _with_nvrtc(job: Job) -> dict[str, Resources]:
    library, program = _nvrtc(), ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), job.text.encode(), job.source.encode(), 0, None, None)
    options = [option.encode() for option in _options(job.architecture)]
    failed = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise CompilerError(log.value.decode())
    return parsed(log.value.decode())


@cache
def _nvcc() -> str | None:
    """The path of nvcc, or None; also without the C++ compiler that it calls first."""
    if shutil.which("cl" if os.name == "nt" else "gcc") is None:
        return None
    usual = "/usr/local/cuda/bin/nvcc"
    return shutil.which("nvcc") or (usual if os.access(usual, os.X_OK) else None)


def _with_nvcc(job: Job) -> dict[str, Resources]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, job.source)
        path.write_text(job.text)
        command = [_nvcc(), "-cubin", "-o", f"{path}bin", *_options(job.architecture), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompilerError(done.stderr)
    return parsed(done.stderr + done.stdout)
