"""Translate CUDA sources to C++, and compile them with g++ into shared libraries that lie in minigan's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from minigan_kernels.cache import trusted_directory

MODE_VARIABLE = "MINIGAN_SHIM_MODE"  # "coverage" to count lines
HERE = Path(__file__).parent
# Without contraction to FMA, and with vectors that change no order of a sum: the same bits on every machine.
_COMMON = ("-std=c++17", "-fno-strict-aliasing", "-ffp-contract=off", "-fno-math-errno", "-fno-exceptions", "-fno-rtti",
           "-Wno-unknown-pragmas", "-Wno-attributes", "-Werror=frame-larger-than=32768")  # fmt: skip
_LIBRARY = ("-fPIC", "-shared", "-fvisibility=hidden")
_OPTIMIZE = ("-O2", "-fpeel-loops")  # the latter unrolls the short loops over registers, so that they become vectors
EXECUTOR_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-g1")
_SANITIZED = {
    "thread": ("-O1", "-g", "-DCUDA_CPU_THREADS", "-fsanitize=thread", "-rdynamic", "-pthread"),
    "address": ("-O1", "-g", "-DCUDA_CPU_THREADS", "-fsanitize=address,undefined", "-rdynamic", "-pthread"),
}

_COMMENT_OR_STRING = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*(.*)$", re.MULTILINE)
_SHARED = re.compile(r"\b(extern\s+)?__shared__\s+(?:(?:__align__|alignas)\s*\([^)]*\)\s*)?([^;]*);")
_DECLARATION = re.compile(r"(.*?[\w>\s])\b(\w+)\s*((?:\[[^\]]*\]\s*)*)", re.DOTALL)
_DECLARATOR = re.compile(r"\s*(\w+)\s*((?:\[[^\]]*\]\s*)*)", re.DOTALL)
_BOUNDS = r"(?:__launch_bounds__\s*\(((?:[^()]|\([^()]*\))*)\)\s*)?"
_KERNEL = re.compile(rf'extern\s+"C"\s+__global__\s+{_BOUNDS}void\s+{_BOUNDS}(?P<name>\w+)\s*\(')
_ANY_KERNEL = re.compile(r"\b__global__\b")


def translate(text: str, name: str = "kernel.cu") -> str:
    """The C++ source for the CUDA source `text`: shared memory declared by macros, and its kernels exported.

    Line numbers stay. Raises ValueError for what NVRTC would refuse or the shim cannot run: a foreign header, a kernel
    that is not `extern "C"`, shared memory outside of a function.
    """
    code = _without_comments(text)
    if match := _INCLUDE.search(code):
        included = text[match.start() : match.end()].split(None, 1)[-1].strip()
        raise ValueError(
            f"{name} includes {included}: NVRTC has no headers; use only the .cuh files next to the kernels"
        )
    kernels = list(_kernels(code, name))
    code = _SHARED.sub(lambda match: _shared(match, code, name), code)
    exports = [f"CUDA_CPU_EXPORT({kernel}, ({most_threads}))" for kernel, _, most_threads in kernels]
    listed = " ".join(",".join([kernel, *parameters]) for kernel, parameters, _ in kernels)
    exports.append(f'CUDA_CPU_EXPORT_NAMES("{listed}")')
    return "\n".join(['#include "cuda_cpu.h"', f'#line 1 "{name}"', code, '#line 1 "exports"', *exports, ""])


def _kernels(code: str, name: str) -> Iterator[tuple[str, list[str], str]]:
    """The name of each kernel in the source `code`, the names of its parameters, and the most threads of a block."""
    found = list(_KERNEL.finditer(code))
    if len(found) != len(_ANY_KERNEL.findall(code)):
        raise ValueError(f'each kernel in {name} must be declared as: extern "C" __global__ void name(...)')
    for match in found:
        parameters = code[match.end() : _closing(code, match.end() - 1)].split(",")
        bounds = match[1] or match[2] or "cuda_cpu::MAX_THREADS"
        yield match["name"], [re.findall(r"\w+", p)[-1] for p in parameters if p.strip()], _split(bounds)[0].strip()


def compile(text: str, name: str = "kernel.cu", mode: str | None = None) -> Path:
    """What g++ makes of the CUDA source `text`, which has the name `name` in messages.

    mode: "fibers" for a shared library, "coverage" for one that counts how often each line runs, "thread" and "address"
    for a program under that sanitizer, see `sanitized.py`. The default is "fibers", or `MINIGAN_SHIM_MODE`.
    Raises ValueError as `translate` does, RuntimeError with the compiler's first error, FileNotFoundError without g++.
    """
    source, stem = translate(text, name), Path(name).stem
    mode = mode or os.environ.get(MODE_VARIABLE, "fibers")
    if mode in _SANITIZED:
        return _built(stem, source, _flags(mode), ".run", (_threads(),))
    return _built(stem, source, _flags(mode), ".so")


def _flags(mode: str) -> tuple[str, ...]:
    if mode in _SANITIZED:
        return (*_COMMON, *_SANITIZED[mode])
    return (*_COMMON, *_LIBRARY, *(("-O0", "--coverage") if mode == "coverage" else (*_OPTIMIZE, *_vector_flags())))


@cache
def executor() -> Path:
    """The shared library of the executor with fibers, which must be loaded before the kernels' libraries."""
    return _built("fibers", _text("fibers.cpp"), EXECUTOR_FLAGS, ".so")


@cache
def _threads() -> Path:
    """The object file of the executor with threads."""
    return _built("threads", _text("threads.cpp"), ("-std=c++20", "-O2", "-g1", "-c", "-DCUDA_CPU_THREADS"), ".o")


def notes_of(counts: Path) -> Path:
    """The file of g++'s notes about the library whose line counts are in the file `counts`."""
    return _folder() / f"{counts.stem.partition('.so-')[0]}.gcno"


@cache
def _vector_flags() -> tuple[str, ...]:
    if platform.machine() != "x86_64":
        return ()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    features = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    return ("-march=x86-64-v3",) if {"avx2", "fma", "bmi2", "f16c", "movbe"} <= features else ()


def compiler() -> str | None:
    """The path of g++, or None; on Linux alone, since macOS calls another compiler g++."""
    return shutil.which("g++") if sys.platform == "linux" else None


@cache
def _compiler_version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout


@cache
def _folder() -> Path:
    folder, problem = trusted_directory("cuda-cpu")
    if folder is None:
        raise OSError(problem)
    return folder


def _built(stem: str, source: str, flags: Sequence[str], suffix: str, objects: Sequence[Path] = ()) -> Path:
    """The file that g++ makes of `source` and `objects`, from the cache or newly made.

    One process compiles, and others that want the same file wait for it. The file's name is a checksum of all that
    determines its content.
    """
    path = compiler()
    if path is None:
        raise FileNotFoundError("there is no g++; install it, on Linux, to run CUDA kernels on the CPU")
    headers = [_text(header) for header in ("execution.h", "cuda_cpu.h")]
    identity = repr((source, headers, flags, [o.name for o in objects], _compiler_version(path))).encode()
    target = _folder() / f"{stem}-{hashlib.sha256(identity).hexdigest()[:32]}{suffix}"
    if target.exists():
        return target
    with _locked(target.with_suffix(".lock")):
        if not target.exists():
            _run_compiler([path, f"-I{HERE}", *flags], source, objects, target)
    return target


def _run_compiler(command: Sequence[str], source: str, objects: Sequence[Path], target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        cpp = made.with_suffix(".cpp")
        cpp.write_text(source, encoding="utf-8")
        run = subprocess.run([*command, "-o", made, cpp, *objects], capture_output=True, text=True)
        if run.returncode:
            stem, lines = target.stem.rpartition("-")[0], run.stderr.splitlines()
            error = next((line for line in lines if "error" in line or "undefined" in line), "it failed")
            raise RuntimeError(f"g++ cannot compile {stem}: {error}")
        for notes in Path(folder).glob("*.gcno"):
            notes.replace(target.with_suffix(".gcno"))
        made.replace(target)


@cache
def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _without_comments(text: str) -> str:
    """`text` with comments replaced by spaces; lines and positions stay."""

    def blank(match: re.Match[str]) -> str:
        return match[0] if match[0][0] in "\"'" else re.sub(r"[^\n]", " ", match[0])

    return _COMMENT_OR_STRING.sub(blank, text)


def _shared(match: re.Match[str], code: str, name: str) -> str:
    """The macros for a declaration of shared memory."""
    declaration = match[2]
    if code.count("{", 0, match.start()) == code.count("}", 0, match.start()):
        raise ValueError(f"{name} declares shared memory outside of a function: __shared__ {declaration.strip()}")
    first, *others = _split(declaration)
    parts = _DECLARATION.fullmatch(first)
    if not parts:
        raise ValueError(f"{name}: cannot read the declaration __shared__ {declaration.strip()}")
    type_name = parts[1].strip()
    declarators = [(parts[2], parts[3].strip())]
    for other in others:
        more = _DECLARATOR.fullmatch(other)
        if not more:
            raise ValueError(f"{name}: cannot read the declaration __shared__ {declaration.strip()}")
        declarators.append((more[1], more[2].strip()))
    if match[1]:
        macros = [f"CUDA_CPU_DYNAMIC_SHARED({array}, {type_name})" for array, _ in declarators]
    else:
        macros = [f"CUDA_CPU_SHARED({array}, ({type_name}), {extents})" for array, extents in declarators]
    return " ".join(macros) + "\n" * match[0].count("\n")


def _split(declaration: str) -> list[str]:
    """`declaration` at its commas outside of brackets."""
    parts, depth = [""], 0
    for character in declaration:
        depth += (character in "[(<{") - (character in "])>}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _closing(code: str, opening: int) -> int:
    """The position of the parenthesis that closes the one at `opening`."""
    depth = 0
    for position in range(opening, len(code)):
        depth += (code[position] == "(") - (code[position] == ")")
        if depth == 0:
            return position
    raise ValueError("a parenthesis is not closed")
