"""NumPy arrays that start at the beginning of a cache line.

NumPy aligns arrays to 16 bytes only. If the rows of an array do not start on cache lines, two threads that write
neighbouring columns write to the same line and slow each other down (false sharing), and a vector load that crosses a
line takes two accesses.
"""

from __future__ import annotations

import math

import numpy as np

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
_SMALL = 1 << 14  # elements; aligning an array takes about as long as writing this many


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array of `shape`, aligned to a cache line."""
    raw = np.empty(math.prod(shape) * dtype.itemsize + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, raw, -raw.__array_interface__["data"][0] % ALIGNMENT)


def output_array(shape: tuple[int, ...], dtype: np.dtype, out: np.ndarray | None = None) -> np.ndarray:
    """The array for a kernel's result: `out`, or a new uninitialised array, aligned if it is large.

    Raises ValueError unless `out` is a writable row-major array of this shape and dtype.
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
    """Zeros of `shape`, aligned to a cache line."""
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array
