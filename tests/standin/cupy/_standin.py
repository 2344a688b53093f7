"""What tests ask the stand-in; the real CuPy has no such module."""

from __future__ import annotations

from typing import Any

from ._counters import count_synchronisations, observed
from ._device import current
from ._functions import NAMES
from .cuda import stream
from .cuda.memory import WrittenOutsideError, get_allocator, set_allocator

__all__ = ["NAMES", "WrittenOutsideError", "count_synchronisations", "observed", "restore", "state"]


def state() -> tuple[Any, ...]:
    """The current stream of the thread, the allocator, and the streams that capture."""
    return current.stream, get_allocator(), tuple(stream.capturing())


def restore(before: tuple[Any, ...]) -> None:
    """Restore an earlier `state()`. Raises AssertionError if there was something to restore."""
    after = state()
    current.stream, current.capture = before[0], None
    for name in ("allocate", "allocator"):
        vars(current).pop(name, None)
    set_allocator(before[1])
    stream.capturing().clear()
    if (before[0] or stream.Stream.null) != (after[0] or stream.Stream.null) or before[1:] != after[1:]:
        raise AssertionError(f"CuPy was left with (stream, allocator, capturing streams) {after}, not {before}")
