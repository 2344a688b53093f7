"""The kernels for CPUs: compiled by Numba for this machine's vectors, on the cores this process may use.

This module alone does not import Numba, which takes half a second: `unavailable()` does, and `KERNELS` when asked for.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from minigan_kernels import environment

ARRAYS = "numpy"
PACKAGES = ("numba",)


def unavailable() -> str | None:
    """Why Numba cannot be used here, as a clause; None if it can. Raises ValueError; see `minigan_kernels.register`."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    return _not_importable()


@lru_cache
def _not_importable() -> str | None:
    environment.count("NUMBA_NUM_THREADS")  # what is no count would keep numba from being imported
    try:
        import numba  # noqa: F401
    except Exception as error:  # missing, made for other versions of what it needs, or set up wrongly
        return f"numba cannot be imported ({error})"
    return None


def describe() -> dict[str, str]:
    """The width of the vectors that kernels are compiled for."""
    from minigan_kernels.numba.cpu import vector_bytes

    return {"vector width": f"{8 * vector_bytes()} bits"}


def set_threads(count: int | None) -> int:
    """Compute on `count` CPU threads; see `jit.set_threads`."""
    from minigan_kernels.numba import kernels  # all of them: the first import of these sets the count, too

    return kernels.set_threads(count)


def __getattr__(name: str) -> Any:
    if name != "KERNELS":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from minigan_kernels.numba import kernels

    return kernels.KERNELS
