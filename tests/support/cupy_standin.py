"""Make the stand-in for CuPy (tests/standin) importable as `cupy`, and take it away again without a trace.

The stand-in is imported once in a process; between the tests that use it, its modules are kept out of `sys.modules`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import minigan_kernels
from minigan_kernels.cuda import driver, launch

FOLDER = str(Path(__file__).parents[1] / "standin")
_modules: dict[str, ModuleType] = {}


@contextmanager
def importable() -> Iterator[ModuleType]:
    """A context in which `import cupy` finds the stand-in, and the library uses it. Yields the module.

    What the library remembers of CuPy is forgotten before and after. Raises AssertionError if the stand-in is left
    with another stream, allocator or capture than it had.
    """
    if is_in_use():  # the same modules as in the rest of the session: kernels that are loaded take no others' arrays
        forget_cupy()
        with left_as_it_was():
            yield importlib.import_module("cupy")
        forget_cupy()
        return
    others = _taken_from_sys()
    sys.modules.update(_modules)
    sys.path.insert(0, FOLDER)
    forget_cupy()
    try:
        with left_as_it_was():
            yield importlib.import_module("cupy")
    finally:
        sys.path.remove(FOLDER)
        _modules.update(_taken_from_sys())
        sys.modules.update(others)
        forget_cupy()


@contextmanager
def left_as_it_was() -> Iterator[None]:
    """A context that restores stream, allocator and captures of the stand-in, and says if it had to."""
    standin = importlib.import_module("cupy")._standin
    state = standin.state()
    yield
    standin.restore(state)


def use_for_the_session() -> None:
    """Let `import cupy` find the stand-in from now on."""
    _taken_from_sys()
    sys.path.insert(0, FOLDER)
    forget_cupy()


def is_in_use() -> bool:
    """Whether `import cupy` finds the stand-in."""
    return FOLDER in sys.path


def _taken_from_sys() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "cupy"]
    return {name: sys.modules.pop(name) for name in names}


def forget_cupy() -> None:
    """Clear what `minigan_kernels` remembers of CuPy and its device."""
    minigan_kernels._table.cache_clear()
    for value in _values_of_cuda_modules():
        if hasattr(value, "cache_clear"):
            value.cache_clear()
        elif GPU is not None and isinstance(value, launch.Kernel):  # it may have been loaded by the other CuPy
            value._functions.clear()
            value._converters.clear()


def _values_of_cuda_modules() -> Iterator[Any]:
    """What the modules of the CUDA kernels define, and what lies in their dictionaries."""
    for name, module in list(sys.modules.items()):
        if name.startswith("minigan_kernels.cuda"):
            for value in list(vars(module).values()):
                yield value
                if isinstance(value, dict):
                    yield from value.values()


GPU: str | None = driver.describe()["GPU"] if driver.find_cupy()[0] is not None else None
"""The GPU that the real CuPy finds; None without one."""
