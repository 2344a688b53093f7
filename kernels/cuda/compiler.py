"""Compile CUDA sources for this GPU with NVRTC, and keep the compiled code in minigan's cache.

A source is compiled once for each dtype and each set of compile-time constants. The file in the cache is named after
all that determines the code: the sources with the headers inserted, the constants, the options, the compute
capability and NVRTC's version. CuPy's own cache is not used: it does not know the headers that a source includes, and
CuPy adds `-ftz=true`, which would flush denormal numbers to zero, as no CPU does.
"""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from minigan_kernels import checked_files, notices
from minigan_kernels.cache import trusted_directory
from minigan_kernels.cuda import driver

OPTIONS = ("-std=c++17", "-ftz=false")
_REAL = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
_HERE = Path(__file__).parent

Constants = tuple[tuple[str, int], ...]


@cache
def load_module(source: str, dtype: np.dtype, constants: Constants = ()) -> Any:
    """The `cupy.cuda.Module` of the file `source` (such as "matmul.cu"), compiled for `dtype` and `constants`.

    Raises TypeError for a dtype other than float32 and float64, and RuntimeError if the compiler refuses the source.
    """
    start = time.perf_counter()
    module = driver.cupy_module().cuda.Module()
    module.load(_cubin(source, full_source(source, dtype, constants)))
    notices.Announcer.seconds += time.perf_counter() - start
    return module


def full_source(source: str, dtype: np.dtype, constants: Constants = ()) -> str:
    """The text that is compiled: the dtype as `real`, the constants, and the file with its headers inserted."""
    if dtype not in _REAL:
        raise TypeError(f"the CUDA kernels in {source} work in float32 and float64, not in {dtype}")
    real = _REAL[dtype]
    defines = [f"typedef {real} real;", f"#define REAL_BYTES {dtype.itemsize}"]
    defines += [f"#define {name} {value}" for name, value in constants]
    return "\n".join([*defines, _with_headers(_HERE / source, set())])


def _with_headers(path: Path, inserted: set[str]) -> str:
    """The text of the file with each `#include "x.cuh"` replaced by that file, once."""

    def insert(match: re.Match[str]) -> str:
        name = match[1]
        if name in inserted:
            return ""
        inserted.add(name)
        return _with_headers(path.with_name(name), inserted) + f'\n#line {_line(text, match) + 1} "{path.name}"'

    text = path.read_text(encoding="utf-8")
    return f'#line 1 "{path.name}"\n' + _INCLUDE.sub(insert, text)


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def _cubin(source: str, text: str) -> bytes:
    """The machine code of `text`, from the cache or newly compiled; `source` is its name in messages."""
    nvrtc = driver.cupy_module().cuda.nvrtc
    options = (*OPTIONS, f"-arch=sm_{driver.architecture()}")
    identity = repr((text, options, nvrtc.getVersion())).encode()
    folder = _folder()
    if folder is None:
        _say_once(f"compiling the CUDA kernels in {source} for this GPU (they will not be cached)")
        return compile_source(nvrtc, source, text, options)
    path = folder / f"{Path(source).stem}-{hashlib.sha256(identity).hexdigest()[:32]}.cubin"
    try:
        return checked_files.read(path, identity)
    except FileNotFoundError:
        _say_once(f"compiling the CUDA kernels in {source} for this GPU (once; they are cached)")
    except (OSError, ValueError) as error:  # whatever is wrong with the file, compiling again repairs it
        with suppress(OSError):
            path.unlink()
        notices.say(f"compiling the CUDA kernels in {source} again: their cache file cannot be used ({error})")
    cubin = compile_source(nvrtc, source, text, options)
    try:
        checked_files.write(path, identity, cubin)
    except OSError as error:
        _say_once(f"some compiled CUDA kernels cannot be cached in {folder} ({error.strerror or error})")
    return cubin


def compile_source(nvrtc: Any, source: str, text: str, options: tuple[str, ...]) -> bytes:
    """Compile `text`; `nvrtc` is `cupy.cuda.nvrtc`. Raises RuntimeError with the compiler's first error."""
    program = nvrtc.createProgram(text, source, (), ())
    try:
        nvrtc.compileProgram(program, options)
        cubin: bytes = nvrtc.getCUBIN(program)
        return cubin
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        lines = [line for line in log.splitlines() if "error" in line] or [str(error)]
        raise RuntimeError(f"NVRTC cannot compile {source} with {' '.join(options)}: {lines[0].strip()}") from error
    finally:
        nvrtc.destroyProgram(program)


@lru_cache
def _folder() -> Path | None:
    """The folder for compiled kernels; None, after a message, if no folder can be used."""
    folder, problem = trusted_directory("cuda")
    if problem:
        _say_once(f"{problem}; compiled CUDA kernels are {f'cached in {folder}' if folder else 'not cached'}")
    return folder


_say_once = lru_cache(notices.say)
