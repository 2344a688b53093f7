"""Memory for the kernels: in the form they take, reused where it is scratch, and not given back between steps."""

from __future__ import annotations

import ctypes
import math
import sys
import threading
from functools import lru_cache

import numpy as np

from minigan_kernels import recorded_calls
from minigan_kernels.aligned import ALIGNMENT, aligned_empty

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 32 << 20  # glibc's own limit for what it takes from its heap
_KEPT_IN_ALL = 512 << 20

_MOST_DIVISIONS = 500  # of scratch memory to remember: a network has some dozens, pictures of all sizes without end


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
    return array if array.flags.carray else copied(array)


def copied(array: np.ndarray) -> np.ndarray:
    """A copy in row-major order, made by a call that can be noted."""
    out = np.empty(array.shape, array.dtype)
    recorded_calls.call(np.copyto, out, array)
    return out


def repeated(vector: np.ndarray, count: int) -> np.ndarray:
    """`vector`, `count` times one after another."""
    out = np.empty((count, vector.size), vector.dtype)
    recorded_calls.call(np.copyto, out, vector)
    return out.reshape(-1)


@lru_cache(maxsize=256)
def zeros(count: int, dtype: np.dtype) -> np.ndarray:
    """The constant vector of `count` zeros, for a bias that is missing: only to be read, though kernels take no array
    that says so."""
    return np.zeros(count, dtype)


def flat(array: np.ndarray) -> np.ndarray:
    """`array`, which is to be changed in place, as a vector; raises ValueError unless it is row-major and writable."""
    if not array.flags.carray:
        raise ValueError(
            f"what a kernel changes in place must be row-major and writable, not of shape {array.shape} with strides "
            f"{array.strides}"
        )
    return array.reshape(-1)


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[np.dtype, np.ndarray] = {}
        self.divided: dict[tuple, list[np.ndarray]] = {}  # by type and shapes, as they were divided before


_scratch = _Scratch()


def scratch(dtype: np.dtype, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Uninitialised arrays that start on cache lines, good until this thread's next call for the same type."""
    divided = _scratch.divided.get((dtype, shapes))
    if divided is None:
        if len(_scratch.divided) > _MOST_DIVISIONS:
            _scratch.divided.clear()
        divided = _scratch.divided[dtype, shapes] = _divide(dtype, shapes)
    return divided


def _divide(dtype: np.dtype, shapes: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    line = ALIGNMENT // dtype.itemsize
    starts = [0]
    for shape in shapes:
        starts.append(starts[-1] + -(-math.prod(shape) // line) * line)
    buffer = _scratch.buffers.get(dtype)
    if buffer is None or buffer.size < starts[-1]:
        _scratch.divided = {key: arrays for key, arrays in _scratch.divided.items() if key[0] != dtype}
        _scratch.buffers.pop(dtype, None)  # freed before the larger one is taken
        buffer = _scratch.buffers[dtype] = aligned_empty((max(starts[-1], 1 << 16),), dtype)
    return [
        buffer[start : start + math.prod(shape)].reshape(shape)
        for start, shape in zip(starts[:-1], shapes, strict=True)
    ]
