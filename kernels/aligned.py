"""NumPy arrays that start on a cache line.

Where a row ends in the middle of a line, two threads that write neighbouring columns contend for it, and a vector that
lies across two lines takes two accesses. NumPy aligns to 16 bytes only.
"""

from __future__ import annotations

import math

import numpy as np

ALIGNMENT = 64  # a cache line, and the widest vector
_SMALL = 1 << 14  # numbers: aligning takes about as long as writing these


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array of `shape`."""
    raw = np.empty(math.prod(shape) * dtype.itemsize + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, raw, -raw.__array_interface__["data"][0] % ALIGNMENT)


def result(shape: tuple[int, ...], dtype: np.dtype, out: np.ndarray | None = None) -> np.ndarray:
    """Memory for what a kernel computes: `out`, or uninitialised memory; on a cache line if large enough to pay.

    Raises ValueError unless `out` is a writable row-major array of this shape and type.
    """
    if out is None:
        return np.empty(shape, dtype) if math.prod(shape) < _SMALL else aligned_empty(shape, dtype)
    if out.shape != shape or out.dtype != dtype or not out.flags.carray:
        raise ValueError(
            f"a result of shape {shape} in {dtype} needs memory of that shape and type, row-major and writable, "
            f"not an array of shape {out.shape} in {out.dtype} with strides {out.strides}"
        )
    return out


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros of `shape`."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array
