"""The shim that compiles CUDA sources for the CPU and launches them: tests/support/cuda_cpu."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[2]


def _modules() -> tuple[Any, Any]:
    """The shim's modules `build` and `run`, also if only this package's folder is on the path."""
    sys.path.append(str(_TESTS))
    try:
        from support.cuda_cpu import build, run
    finally:
        sys.path.remove(str(_TESTS))
    return build, run


def _mode() -> str:
    """How to compile; see `build.MODE_VARIABLE`."""
    build, _ = _modules()
    return os.environ.get(build.MODE_VARIABLE, "") or "fibers"


def identity() -> bytes:
    """What determines the code that comes out of a source."""
    build, _ = _modules()
    files = sorted(path for path in build.HERE.iterdir() if path.suffix in (".py", ".h", ".cpp"))
    return b"\0".join([_mode().encode(), repr(build._vector_flags()).encode(), *(path.read_bytes() for path in files)])


def compile_source(source: str, name: str) -> bytes:
    """The shared library made of a CUDA source. Raises RuntimeError or ValueError with the first error."""
    build, _ = _modules()
    library: Path = build.compile(source, name, _mode())
    return library.read_bytes()


def load(path: Path) -> Any:
    """The kernels of a shared library."""
    _, run = _modules()
    return run.Library(path)
