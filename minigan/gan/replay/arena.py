"""Memory for what recorded steps compute on the way. All recordings of a game share it: only one runs at a time."""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np

_UNIT = 1 << 16  # bytes
_ROOM = 1.25  # times what is asked for, so that a somewhat larger recording fits, too; untouched memory costs nothing


class Arena:
    """Memory that starts on a page and grows when more is asked for; older recordings keep what they were given."""

    def __init__(self) -> None:
        self._map: mmap.mmap | None = None
        self._memory = np.empty(0, np.uint8)

    def take(self, size: int) -> np.ndarray:
        """`size` bytes; raises MemoryError if there are none."""
        if size > self._memory.size:
            try:
                self._map = mmap.mmap(-1, -(-int(size * _ROOM) // _UNIT) * _UNIT)
            except OSError as error:
                raise MemoryError(f"no memory for {size:,} bytes") from error
            self._memory = np.frombuffer(self._map, np.uint8)
        return self._memory[:size]

    def give_back(self) -> None:
        """Return the memory to the system, contents and all, until it is touched again."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):  # on Linux, say
            self._map.madvise(mmap.MADV_DONTNEED)


def trim_heap() -> None:
    """Give the memory that has been freed back to the system; on other C libraries than glibc this does nothing.

    Plain runs want it again and again (see keep_freed_memory), but replays have an arena for that.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
