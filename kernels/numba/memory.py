"""Memory for the kernels: in the form they take, reused where it is scratch, and not given back between steps."""

from __future__ import annotations

import ctypes
import math
import sys
import threading

import numpy as np

_ALIGNMENT = 64  # a cache line, and the widest vector

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 32 << 20  # glibc's own limit for what it takes from its heap
_KEPT_IN_ALL = 512 << 20


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory for the next allocation instead of giving it back to the system.

    A training step frees all its arrays, and the next one wants them again. By default much of that memory goes
    back to the system in between and returns page by page, each a fault: measured on a small network, 220 faults
    and half of the step's time. Elsewhere than on glibc this does nothing.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries lack it
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_IN_ALL)


def plain(array: np.ndarray) -> np.ndarray:
    """`array` as the kernels take it, in row-major order and writable; itself if it is so already."""
    return array if array.flags.carray else np.array(array, order="C")


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[np.dtype, np.ndarray] = {}


_scratch = _Scratch()


def scratch(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uninitialised, cache-line aligned memory, good until this thread's next call for the same type."""
    count = math.prod(shape)
    buffer = _scratch.buffers.get(dtype)
    if buffer is None or buffer.size < count:
        buffer = _scratch.buffers[dtype] = aligned_empty(max(count, 1 << 16), dtype)
    return buffer[:count].reshape(shape)


def aligned_empty(count: int, dtype: np.dtype) -> np.ndarray:
    """A vector of `count` uninitialised numbers that starts on a cache line."""
    raw = np.empty(count * dtype.itemsize + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + count * dtype.itemsize].view(dtype)
