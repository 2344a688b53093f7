"""Memory for the kernels: row-major copies, scratch memory that is reused, and heap memory kept between steps."""

from __future__ import annotations

import ctypes
import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from minigan_kernels import recorded_calls
from minigan_kernels.aligned import ALIGNMENT, aligned_empty

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_HEAP_BLOCK = 32 << 20  # bytes: glibc's own upper limit for blocks that it takes from its heap
_HEAP_KEPT = 512 << 20  # bytes of freed heap memory to keep

# Sets of scratch arrays to remember: a network needs some dozens, but images of many sizes need any number.
_MAX_SCRATCH_SETS = 500
_SMALLEST_BUFFER = 1 << 16  # elements of a scratch buffer


def keep_freed_memory() -> None:
    """Ask glibc to keep freed memory for the next allocation instead of giving it back to the system.

    A training step frees all its arrays, and the next one allocates them again. By default glibc returns much of that
    memory to the system in between and gets it back page by page, with a page fault for each: measured on a small
    network, 220 faults and half of the step's time. With other C libraries this does nothing.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries lack it
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_HEAP_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _HEAP_KEPT)


def row_major(array: np.ndarray) -> np.ndarray:
    """`array` itself if it is row-major and writable, as compiled code requires, else a copy that is."""
    return array if array.flags.carray else _row_major_copy(array)


def _row_major_copy(array: np.ndarray) -> np.ndarray:
    out = np.empty(array.shape, array.dtype)
    recorded_calls.call(np.copyto, out, array)
    return out


def repeated(vector: np.ndarray, count: int) -> np.ndarray:
    """`count` copies of `vector` one after another, as np.tile makes them."""
    out = np.empty((count, vector.size), vector.dtype)
    recorded_calls.call(np.copyto, out, vector)
    return out.reshape(-1)


@lru_cache(maxsize=256)
def zeros(count: int, dtype: np.dtype) -> np.ndarray:
    """The vector of `count` zeros that stands for a missing bias.

    It is shared by all callers, so it must not be written to; it is not marked read-only, because compiled kernels do
    not accept read-only arrays.
    """
    return np.zeros(count, dtype)


def flat_view(array: np.ndarray) -> np.ndarray:
    """`array` as a vector to be changed in place; raises ValueError unless it is row-major and writable."""
    if not array.flags.carray:
        raise ValueError(
            f"an array that a kernel changes in place must be row-major and writable; this one has shape {array.shape} "
            f"and strides {array.strides}"
        )
    return array.reshape(-1)


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[np.dtype, np.ndarray] = {}
        self.views: dict[tuple, list[np.ndarray]] = {}  # the arrays returned before, by (dtype, shapes)


_scratch = _Scratch()


def scratch(dtype: np.dtype, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Uninitialised arrays, aligned to cache lines, valid until this thread's next call with the same dtype."""
    views = _scratch.views.get((dtype, shapes))
    if views is None:
        if len(_scratch.views) > _MAX_SCRATCH_SETS:
            _scratch.views.clear()
        views = _scratch.views[dtype, shapes] = _views_of_buffer(dtype, shapes)
    return views


@contextmanager
def other_scratch() -> Iterator[None]:
    """A context in which this thread's calls of `scratch` leave the arrays of earlier calls as they are."""
    before = _scratch.buffers, _scratch.views
    _scratch.buffers, _scratch.views = {}, {}
    try:
        yield
    finally:
        _scratch.buffers, _scratch.views = before


def _views_of_buffer(dtype: np.dtype, shapes: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    """Arrays of `shapes` in this thread's buffer for `dtype`, which is replaced by a larger one if it is too small."""
    line = ALIGNMENT // dtype.itemsize
    starts = [0]
    for shape in shapes:
        starts.append(starts[-1] + -(-math.prod(shape) // line) * line)
    buffer = _scratch.buffers.get(dtype)
    if buffer is None or buffer.size < starts[-1]:
        _scratch.views = {key: arrays for key, arrays in _scratch.views.items() if key[0] != dtype}
        _scratch.buffers.pop(dtype, None)  # free the old buffer before allocating the larger one
        buffer = _scratch.buffers[dtype] = aligned_empty((max(starts[-1], _SMALLEST_BUFFER),), dtype)
    return [
        buffer[start : start + math.prod(shape)].reshape(shape)
        for start, shape in zip(starts[:-1], shapes, strict=True)
    ]
