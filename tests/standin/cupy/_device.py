"""The state of the made-up device: its memory, and the stream, capture and allocator of each thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

DEVICE_ID = 0
_DEFAULT_MEMORY = 8 * 2**30  # bytes


class DeviceMemory:
    """How many bytes of the device's memory are allocated (`used`)."""

    used = 0

    def total(self) -> int:
        """The size of the memory in bytes: CUPY_STANDIN_MEMORY, or 8 GiB."""
        return int(os.environ.get("CUPY_STANDIN_MEMORY", "") or _DEFAULT_MEMORY)


MEMORY = DeviceMemory()


class Current(threading.local):
    """What each thread works with: its stream, that stream's capture if there is one, and its allocator."""

    stream: Any = None
    """The current `cupy.cuda.Stream`."""

    allocator: Any
    """What `cupy.cuda.get_allocator` returns."""

    capture: Any = None
    """The `Capture` of the current stream; None while work is executed."""

    allocate: Callable[[int], Any]
    """From a number of bytes to where an array of that size shall lie; set by `cuda.memory`."""


current = Current()


class Launches:
    """The number of kernels launched so far."""

    count = 0
