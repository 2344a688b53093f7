"""The CUDA kernels, with matrix products and convolutions of float32 on tensor cores in TF32.

TF32 keeps 10 of the 23 bits of a float32's mantissa: every factor is rounded to a relative error of at most 2^-11, and
products are summed in float32. In float64, and for every other operation, these are the kernels of `cuda`.
"""

from __future__ import annotations

from typing import Any

from minigan_kernels.cuda import driver

ARRAYS = "cupy"
PACKAGES = ("cupy",)
_CAPABILITY = 80  # the first with TF32


def unavailable() -> str | None:
    """Why TF32 cannot be used here, as a clause, or None; see `minigan_kernels.register`."""
    if reason := driver.find_cupy()[1]:
        return reason
    if int(capability := driver.architecture()) < _CAPABILITY:
        return (
            "tensor cores with TF32 need a GPU of compute capability 8.0 or higher, and this one has "
            f"{capability[:-1]}.{capability[-1]}; use the kernels 'cuda'"
        )
    return None


def describe() -> dict[str, str]:
    """The precision of the factors in products."""
    return {"TF32": "factors of float32 products are rounded to 10 bits of mantissa"}


def __getattr__(name: str) -> Any:
    if name != "KERNELS":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from minigan_kernels.cuda import tf32_kernels

    return tf32_kernels.KERNELS
