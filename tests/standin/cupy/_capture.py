"""What a capturing stream notes instead of executing it.

An operation that is captured runs once, for its checks and the shape of its result, and is undone at once: memory that
it wrote gets its bytes back, and a new array keeps the poison of memory that nobody has written. What is noted is a
function on raw memory, the bytes at an address: it neither keeps arrays alive nor knows who owns the memory later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Work = Callable[[], Any]

# CuPy computes these with cuBLAS.
_CUBLAS = {np.matmul, np.dot, np.vdot, np.inner, np.tensordot, np.einsum, np.ndarray.dot, np.cov, np.corrcoef}
# CuPy sorts with Thrust, which waits for the stream.
_THRUST = {np.sort, np.argsort, np.lexsort, np.partition, np.argpartition, np.median, np.ndarray.sort}
_THRUST |= {np.ndarray.argsort, np.ndarray.partition, np.ndarray.argpartition}
# CuPy joins more arrays than this by one kernel, to which it uploads the table of their addresses.
_MOST_JOINED_BY_COPIES = 8
_JOINING = {np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack, np.array}


class Capture:
    """The work noted by a capturing stream."""

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.work: list[Work] = []
        self.segments: dict[int, Any] = {}
        self.invalidated = False

    def require_capturable(self, function: Callable, arguments: tuple) -> None:
        """Refuse what CuPy computes with a library that cannot be captured, or with an upload.

        Raises NotImplementedError or CUDARuntimeError.
        """
        if function in _CUBLAS:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        joined = arguments[0] if function in _JOINING else ()
        if function in _THRUST or (isinstance(joined, (tuple, list)) and len(joined) > _MOST_JOINED_BY_COPIES):
            self.refuse()

    def note(self, work: Work, arrays: Iterable[Any]) -> None:
        """Note `work`, which reads or writes the memory of `arrays`."""
        memories = [array._memory for array in arrays if array._memory is not None]
        for memory in memories:
            memory.segment.note_captured(self, memory.size)
        self.note_graph(work, [memory.segment for memory in memories])

    def note_graph(self, work: Work, segments: Iterable[Any]) -> None:
        """Note the launch of another graph, which reads or writes `segments`."""
        self.work.append(work)
        self.segments |= {id(segment): segment for segment in segments}

    def refuse(self, status: int = 900) -> None:
        """Raise the error of an operation that no capture allows; the capture is lost."""
        from .cuda.runtime import CUDARuntimeError

        self.invalidated = True
        raise CUDARuntimeError(status)


class Undone:
    """A context in which the bytes of `arrays` (on raw memory) change for a moment only."""

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        self._arrays = [array for array in arrays if array.flags.writeable]  # NumPy's broadcast views are not

    def __enter__(self) -> None:
        self._saved = [array.copy() for array in self._arrays]

    def __exit__(self, *exception: object) -> None:
        for array, saved in zip(self._arrays, self._saved, strict=True):
            array[...] = saved


def without_indices(arguments: tuple) -> tuple:
    """Arguments with zeros in place of integer arrays: while captured, these may hold poison, which is no index."""
    return tuple([_without_indices(argument) for argument in arguments])


def _without_indices(argument: Any) -> Any:
    if isinstance(argument, np.ndarray) and argument.dtype.kind in "iu":
        return np.zeros_like(argument)
    return without_indices(argument) if type(argument) is tuple else argument
