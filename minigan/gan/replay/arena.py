"""Memory for intermediate results of recorded steps, shared by all recordings of a GAN: only one runs at a time."""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np

_UNIT = 1 << 16  # bytes
_OVERALLOCATION = 1.25  # so that a somewhat larger recording fits, too; untouched memory costs nothing


class Arena:
    """Page-aligned memory that grows on request; recordings made before it grew keep the memory that they have."""

    def __init__(self) -> None:
        self._map: mmap.mmap | None = None
        self._memory = np.empty(0, np.uint8)

    def allocate(self, size: int) -> np.ndarray:
        """The first `size` bytes; raises MemoryError if the system has no memory for them."""
        if size > self._memory.size:
            try:
                self._map = mmap.mmap(-1, -(-int(size * _OVERALLOCATION) // _UNIT) * _UNIT)
            except OSError as error:
                raise MemoryError(f"no memory for {size:,} bytes") from error
            self._memory = np.frombuffer(self._map, np.uint8)
        return self._memory[:size]

    def release(self) -> None:
        """Return the physical memory to the system until it is next written; its contents are lost."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):  # as on Linux
            self._map.madvise(mmap.MADV_DONTNEED)


def trim_heap() -> None:
    """Return freed memory to the system; does nothing with C libraries other than glibc.

    Plain runs reuse the freed memory (see keep_freed_memory), but replays use an arena instead.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
