"""Notes every call that a function makes on arrays: operations, kernels, and what compiled kernels launch.

The function runs as ever while it is recorded. An array is told apart by the memory that it looks at: that of the
inputs and of what the function changes in place is there for good; other memory must first be written by a noted call.
An array from anywhere else might hold other numbers the next time, so it makes the function unrecordable.
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
from minigan.gan.replay.expand import expanded
from minigan.gan.replay.memory import flattened, owner
from minigan_kernels import recorded_calls


@dataclass(eq=False)
class Block:
    """Memory that noted calls share: the bytes from `first` up to `last` of it are looked at.

    `lasting`: the array that owns it, where it is there for good.
    """

    lasting: Any = None
    first: int = 0
    last: int = 0

    def include(self, array: np.ndarray) -> None:
        """Note that `array` looks at this memory."""
        low, high = byte_bounds(array)
        self.first = min(self.first or low, low)
        self.last = max(self.last, high)


@dataclass(frozen=True, eq=False)
class View:
    """An array in a block that has not been given its memory yet; `address`: where it was while it was recorded."""

    block: Block
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype


@dataclass(eq=False)
class NotedCall:
    """One noted call. arguments: views, arrays that are there for good, and what is no array.

    results: the views that take what the function returns; it is given them as `out` where it can `fill` them.
    copies: (to, from) if all it does is to copy one array into another.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    results: tuple[View, ...] = ()
    fills: bool = False
    copies: bool = False
    views: list[View] = field(default_factory=list)


class Recorder:
    """What `backend.recorder` is while a function is recorded; `lasting`: arrays that are there for good."""

    def __init__(self, lasting: Iterable[Any]) -> None:
        self.calls: list[NotedCall] = []
        self.refused: str | None = None
        self._blocks: dict[int, tuple[Any, Block]] = {}  # by the identity of the owner, and a reference to it
        for array in lasting:
            memory = owner(array)
            self._blocks[id(memory)] = memory, Block(lasting=memory)

    def forward(self, forward: Callable[..., Any], room: backend.Backend, arrays: Sequence[Any], static: dict) -> Any:
        """What the forward of an operation returns, noted unless it is a view or all the work of a kernel.

        Noted are the array functions that it calls, or the whole forward where these do not tell.
        """
        before = len(self.calls)
        found = forward(room, *arrays, **static)
        results = tuple(room.asarray(result) for result in flattened(found))  # NumPy gives scalars for full reductions
        if len(self.calls) > before or all(self._is_view(result, arrays) for result in results):
            self._known(results)
        else:
            results = self._plain_forward(partial(forward, room, **static), arrays, results)
        data, *saved = results
        return (data, tuple(saved)) if saved else data

    def _plain_forward(self, call: partial, arrays: Sequence[Any], results: tuple) -> tuple:
        """The results of a forward that calls no kernel, noted."""
        calls, found = expanded(call, arrays) or ([], ())
        if len(found) == len(results) and all(map(_same, found, results)):
            self._known(arrays)
            for noted in calls:
                self._launched(noted)
            return found
        self._note(call, arrays, results)
        return results

    def kernel(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, which notes what it launches, or itself if it launches nothing."""

        def noted(*arguments: Any, **options: Any) -> Any:
            self._known(arguments)
            with recorded_calls.record() as calls:
                found = function(*arguments, **options)
            for call in calls:
                self._launched(call)
            results = () if found is None else flattened(found)
            if calls:
                self._known(results)
            else:
                self._note(partial(function, **options), arguments, results, fills=_takes_out(function))
                self.calls[-1].copies = operation == "assign"
            return found

        return noted

    def refuse(self, reason: str) -> None:
        """Remember why what is being done cannot be replayed; the first reason stays."""
        self.refused = self.refused or reason

    def view(self, array: Any) -> Any:
        """`array` as the noted calls refer to it."""
        block = self._block(array)
        return array if block is None or block.lasting is not None else _view(block, array)

    def known_view(self, array: Any) -> Any:
        """`view(array)` of what must have been made by noted calls, or be there for good."""
        self._known([array])
        return self.view(array)

    def _note(self, function: Callable, arguments: Sequence[Any], results: Sequence[Any], fills: bool = False) -> None:
        self._known(arguments)
        taken = tuple(self._reference(x) for x in arguments)
        made = tuple(self._fresh(result) for result in results)
        self._append(NotedCall(function, taken, made, fills))

    def _append(self, call: NotedCall) -> None:
        call.views = [x for x in (*call.arguments, *call.results) if isinstance(x, View)]
        self.calls.append(call)

    def _launched(self, call: recorded_calls.Call) -> None:
        arguments = tuple(self._written(x) if i in call.writes else self._read(x) for i, x in enumerate(call.arguments))
        self._append(NotedCall(call.function, arguments))

    def _written(self, x: Any) -> Any:
        return x if not isinstance(x, np.ndarray) else self._reference(x) if self._block(x) else self._fresh(x)

    def _read(self, x: Any) -> Any:
        """What a kernel brings along, such as zeros, is the same at every call."""
        return self._reference(x) if isinstance(x, np.ndarray) and self._block(x) else x

    def _known(self, arrays: Iterable[Any]) -> None:
        for x in arrays:
            if isinstance(x, np.ndarray) and not self._block(x):
                self.refuse(
                    f"it computes with an array of shape {x.shape} that no operation has made; keep constants in a "
                    "Buffer, and compute with the operations of minigan"
                )

    def _reference(self, x: Any) -> Any:
        return self.view(x) if isinstance(x, np.ndarray) else x

    def _block(self, array: np.ndarray) -> Block | None:
        memory = owner(array)
        known, block = self._blocks.get(id(memory), (None, None))
        same = known is memory or (isinstance(known, weakref.ref) and known() is memory)
        return block if same else None

    def _fresh(self, array: np.ndarray) -> View:
        """The view of an array that a call writes; its memory is that of an older array, or not known yet."""
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


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether both hold the same bits, and lie in memory in the same way."""
    return (one.shape, one.strides, one.dtype) == (other.shape, other.strides, other.dtype) and (
        one.tobytes() == other.tobytes()
    )


@lru_cache(maxsize=1024)
def _takes_out(function: Callable[..., Any]) -> bool:
    try:
        return "out" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # compiled code that does not tell
        return False
