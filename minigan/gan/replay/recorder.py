"""Records every call that a function makes on arrays: operations, kernels, and the compiled code that kernels start.

The function computes as usual while it is recorded. Arrays are identified by the memory that they view. The memory of
the inputs, and the memory that the function changes in place, is persistent; any other memory must first be written by
a recorded call. An array from anywhere else might hold other numbers the next time, so the function cannot be recorded.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from minigan.core import backend
from minigan.gan.replay.memory import flatten_results, owner, unknown_array
from minigan.gan.replay.trace import trace
from minigan_kernels import recorded_calls


@dataclass(eq=False)
class Block:
    """Memory that views of recorded calls share: the bytes from address `first` up to, but not including, `last`.

    persistent: the array that owns the memory, if that outlives the recorded calls; else None.
    """

    persistent: Any = None
    first: int = 0
    last: int = 0

    def include(self, array: np.ndarray) -> None:
        """Extend the bounds by those of the view `array`."""
        low, high = byte_bounds(array)
        self.first = min(self.first or low, low)
        self.last = max(self.last, high)


@dataclass(frozen=True, eq=False)
class View:
    """An array in a block whose memory is not planned yet; `address`: its address during the recording."""

    block: Block
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype


@dataclass(eq=False)
class RecordedCall:
    """One recorded call. arguments: Views, persistent arrays, and arguments that are not arrays.

    results: the Views that receive what the function returns; as its argument `out` if it `takes_out`, else by a copy.
    is_copy: whether the call only copies an array, with the arguments (target, source).
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    results: tuple[View, ...] = ()
    takes_out: bool = False
    is_copy: bool = False
    views: list[View] = field(default_factory=list)


class Recorder:
    """The value of `backend.recorder` while a function is recorded; `persistent`: arrays that outlive its calls.

    refusal: why the function cannot be recorded, as a clause; None if it can.
    """

    def __init__(self, persistent: Iterable[Any]) -> None:
        self.calls: list[RecordedCall] = []
        self.refusal: str | None = None
        self._blocks: dict[int, tuple[Any, Block]] = {}  # by the id of the owner: a reference to it, and its block
        for array in persistent:
            memory = owner(array)
            self._blocks[id(memory)] = memory, Block(persistent=memory)

    def forward(
        self, forward: Callable[..., Any], library: backend.Backend, arrays: Sequence[Any], static: dict
    ) -> Any:
        """Run and record an operation's forward; returns what `forward(library, *arrays, **static)` returns.

        Nothing more is recorded for a forward that returns views or whose work is done by kernels. For any other
        forward, the array functions that it calls are recorded, or the whole forward if they cannot be traced.
        """
        before = len(self.calls)
        returned = forward(library, *arrays, **static)
        results = tuple(library.asarray(result) for result in flatten_results(returned))  # full reductions give scalars
        if len(self.calls) > before or all(self._is_view(result, arrays) for result in results):
            self._require_known(results)
        else:
            results = self._record_forward(partial(forward, library, **static), arrays, results)
        data, *saved = results
        return (data, tuple(saved)) if saved else data

    def _record_forward(self, call: partial, arrays: Sequence[Any], results: tuple) -> tuple:
        """Record a forward that calls no kernel; returns its results."""
        calls, traced_results = trace(call, arrays) or ([], ())
        if len(traced_results) == len(results) and all(map(_same_bits, traced_results, results)):
            self._require_known(arrays)
            for traced in calls:
                self._record_launch(traced)
            return traced_results
        self._record(call, arrays, results)
        return results

    def kernel(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, wrapped so that its calls of compiled code are recorded, or, if it makes none, its own call."""

        def recording(*arguments: Any, **options: Any) -> Any:
            self._require_known(arguments)
            with recorded_calls.record() as calls:
                returned = function(*arguments, **options)
            for call in calls:
                self._record_launch(call)
            results = () if returned is None else flatten_results(returned)
            if calls:
                self._require_known(results)
            else:
                self._record(partial(function, **options), arguments, results, takes_out=_takes_out(function))
                self.calls[-1].is_copy = operation == "assign"
            return returned

        return recording

    def refuse(self, reason: str) -> None:
        """Note why the function cannot be recorded; the first reason counts."""
        self.refusal = self.refusal or reason

    def view(self, array: Any) -> Any:
        """`array` as recorded calls refer to it: a View, or itself if it is persistent or unknown."""
        block = self._block(array)
        return array if block is None or block.persistent is not None else _view(block, array)

    def known_view(self, array: Any) -> Any:
        """`view(array)`; refuses an array that no recorded call has written and that is not persistent."""
        self._require_known([array])
        return self.view(array)

    def _record(
        self, function: Callable, arguments: Sequence[Any], results: Sequence[Any], takes_out: bool = False
    ) -> None:
        self._require_known(arguments)
        recorded_arguments = tuple(self._reference(x) for x in arguments)
        recorded_results = tuple(self._new_view(result) for result in results)
        self._append(RecordedCall(function, recorded_arguments, recorded_results, takes_out))

    def _append(self, call: RecordedCall) -> None:
        call.views = [x for x in (*call.arguments, *call.results) if isinstance(x, View)]
        self.calls.append(call)

    def _record_launch(self, call: recorded_calls.Call) -> None:
        arguments = tuple(self._written(x) if i in call.writes else self._read(x) for i, x in enumerate(call.arguments))
        self._append(RecordedCall(call.function, arguments))

    def _written(self, x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        return self._reference(x) if self._block(x) else self._new_view(x)

    def _read(self, x: Any) -> Any:
        # An unknown array is a constant of the kernel, such as zeros: the same at every call.
        return self._reference(x) if isinstance(x, np.ndarray) and self._block(x) else x

    def _require_known(self, arrays: Iterable[Any]) -> None:
        for x in arrays:
            if isinstance(x, np.ndarray) and not self._block(x):
                self.refuse(unknown_array(x))

    def _reference(self, x: Any) -> Any:
        return self.view(x) if isinstance(x, np.ndarray) else x

    def _block(self, array: np.ndarray) -> Block | None:
        memory = owner(array)
        reference, block = self._blocks.get(id(memory), (None, None))
        same = reference is memory or (isinstance(reference, weakref.ref) and reference() is memory)
        return block if same else None

    def _new_view(self, array: np.ndarray) -> View:
        """The View of an array that a call writes, in the block of its memory or in a new one."""
        block = self._block(array)
        if block is None:
            memory, block = owner(array), Block()
            self._blocks[id(memory)] = weakref.ref(memory), block
        return _view(block, array)

    def _is_view(self, result: Any, arrays: Sequence[Any]) -> bool:
        return any(isinstance(x, np.ndarray) and owner(x) is owner(result) for x in arrays)


def _view(block: Block, array: np.ndarray) -> View:
    block.include(array)
    return View(block, array.__array_interface__["data"][0], array.shape, array.strides, array.dtype)


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether both arrays have the same bits, shape, strides and dtype."""
    return (one.shape, one.strides, one.dtype) == (other.shape, other.strides, other.dtype) and (
        one.tobytes() == other.tobytes()
    )


@lru_cache(maxsize=1024)
def _takes_out(function: Callable[..., Any]) -> bool:
    try:
        return "out" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled code without a signature
        return False
