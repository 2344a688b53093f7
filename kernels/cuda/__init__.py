"""The raw CUDA kernels for CuPy's arrays: compiled for this GPU at first use.

Importing this module imports neither CuPy, which takes two seconds, nor the launch code: `unavailable()` and reading
`KERNELS` do.
"""

from __future__ import annotations

from typing import Any

from minigan_kernels.cuda import driver

ARRAYS = "cupy"
PACKAGES = ("cupy",)


def unavailable() -> str | None:
    """Why CUDA cannot be used here, as a clause, or None; see `minigan_kernels.register`."""
    return driver.find_cupy()[1] or None


def describe() -> dict[str, str]:
    """The GPU, its compute capability, multiprocessors and memory."""
    return driver.describe()


def __getattr__(name: str) -> Any:
    if name != "KERNELS":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from minigan_kernels.cuda import kernels

    return kernels.KERNELS
