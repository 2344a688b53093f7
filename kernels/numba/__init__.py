"""The kernels for CPUs: Numba compiles them for this machine's vector registers; they use the cores of this process.

Importing this module does not import Numba, which takes half a second: `unavailable()` and reading `KERNELS` do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from minigan_kernels import environment

ARRAYS = "numpy"
PACKAGES = ("numba",)
Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""(function, arguments)"""


def unavailable() -> str | None:
    """Why Numba cannot be used here, as a clause, or None; see `minigan_kernels.register`. Raises ValueError."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    return _not_importable()


@lru_cache
def _not_importable() -> str | None:
    environment.count("NUMBA_NUM_THREADS")  # our message is clearer than the error that numba's import would raise
    try:
        import numba  # noqa: F401
    except Exception as error:  # missing, built for other versions of its dependencies, or misconfigured
        return f"numba cannot be imported ({error})"
    return None


def describe() -> dict[str, str]:
    """The width of the vector registers that kernels are compiled for."""
    from minigan_kernels.numba.cpu import vector_bytes

    return {"vector width": f"{8 * vector_bytes()} bits"}


def set_threads(count: int | None) -> int:
    """Compute on `count` CPU threads and return the count in use; see `jit.set_threads`. Raises ValueError."""
    from minigan_kernels.numba import kernels  # the first import sets the count, too

    return kernels.set_threads(count)


def join_calls(calls: Sequence[Call]) -> list[Call]:
    """Recorded calls that do the same as `calls`, most of them within native sequences; see `native_calls`."""
    from minigan_kernels.numba import native_calls

    return native_calls.join(calls)


def __getattr__(name: str) -> Any:
    if name != "KERNELS":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from minigan_kernels.numba import kernels

    return kernels.KERNELS
