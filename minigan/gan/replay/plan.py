"""Gives the calls of a recording their memory, and makes them ready to be called.

What a call makes lies in one arena; where its last reader is done, others may lie there after it. An array that is only
copied to a lasting place, such as a gradient to flat memory, is computed there at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from minigan.gan.replay.arena import Arena
from minigan.gan.replay.memory import flattened
from minigan.gan.replay.recorder import Block, NotedCall, View
from minigan_kernels.aligned import ALIGNMENT

ReadyCall = tuple[Callable[..., Any], tuple[Any, ...]]


class Plan:
    """Where each block lies, and the calls that do what `noted` did. `kept`: views that are read in the end."""

    def __init__(self, noted: Sequence[NotedCall], kept: Sequence[View], arena: Arena) -> None:
        lives = _lives(noted, kept)
        self._places: dict[Block, np.ndarray] = {}
        rest = [call for i, call in enumerate(noted) if not self._computed_in_place(i, noted, lives)]
        waiting = {block: life for block, life in lives.items() if block not in self._places}
        offsets, size = _packed(waiting)
        memory = arena.take(size)
        self._places |= {block: memory[offset : offset + _size(block)] for block, offset in offsets.items()}
        self.calls = [self._ready(call) for call in rest]

    def array(self, x: Any) -> Any:
        """The array of a view; itself of anything else."""
        if not isinstance(x, View):
            return x
        return np.ndarray(x.shape, x.dtype, self._places[x.block], x.address - x.block.first, x.strides)

    def _ready(self, call: NotedCall) -> ReadyCall:
        arguments = tuple(map(self.array, call.arguments))
        results = tuple(map(self.array, call.results))
        if not results:
            return call.function, arguments
        if call.fills:
            return _Filling(call.function, results[0] if len(results) == 1 else results), arguments
        return _Copying(call.function, results), arguments

    def _computed_in_place(self, i: int, noted: Sequence[NotedCall], lives: dict[Block, tuple[int, int]]) -> bool:
        """Whether call i only copies a block to where it could have been computed; then that is its place."""
        call = noted[i]
        if not call.copies:
            return False
        target, source = call.arguments
        if isinstance(target, View) or not isinstance(source, View):
            return False
        block = source.block
        first, last = lives[block]
        whole = target.nbytes == _size(block) and source.address == block.first
        fits = whole and target.dtype == source.dtype and target.flags.c_contiguous and _is_contiguous(source)
        if not fits or last != i or block in self._places or _touched(noted[first:i], target):
            return False
        self._places[block] = target.reshape(-1).view(np.uint8)
        return True


class _Filling:
    """A function that writes its result into `out`."""

    __slots__ = ("function", "out")

    def __init__(self, function: Callable[..., Any], out: Any) -> None:
        self.function, self.out = function, out

    def __call__(self, *arguments: Any) -> None:
        self.function(*arguments, out=self.out)


class _Copying:
    """A function whose results are copied into their places."""

    __slots__ = ("function", "places")

    def __init__(self, function: Callable[..., Any], places: tuple[np.ndarray, ...]) -> None:
        self.function, self.places = function, places

    def __call__(self, *arguments: Any) -> None:
        found = self.function(*arguments)
        for place, result in zip(self.places, flattened(found), strict=True):
            np.copyto(place, result)


def _lives(noted: Sequence[NotedCall], kept: Sequence[View]) -> dict[Block, tuple[int, int]]:
    """The first and the last call that look at each block."""
    lives: dict[Block, tuple[int, int]] = {}
    for i, call in enumerate(noted):
        for view in call.views:
            lives[view.block] = lives.get(view.block, (i, i))[0], i
    for view in kept:
        lives[view.block] = lives[view.block][0], len(noted)
    return lives


def _packed(lives: dict[Block, tuple[int, int]]) -> tuple[dict[Block, int], int]:
    """An offset for each block, such that those that live at one time do not overlap, and the size of it all."""
    offsets: dict[Block, int] = {}
    alive: list[tuple[int, int, int]] = []  # (offset, end, last call), in order of offset
    size = 1
    for block, (first, last) in sorted(lives.items(), key=lambda item: item[1][0]):
        alive = [lying for lying in alive if lying[2] >= first]
        needed = -(-_size(block) // ALIGNMENT) * ALIGNMENT
        offset = _gap(alive, needed)
        offsets[block] = offset
        alive.append((offset, offset + needed, last))
        alive.sort()
        size = max(size, offset + needed)
    return offsets, size


def _gap(alive: Sequence[tuple[int, int, int]], needed: int) -> int:
    """The offset of the smallest gap between what is alive that is large enough; the end of it all if none is."""
    best, best_size, end = None, 0, 0
    for start, stop, _ in alive:
        if start - end >= needed and (best is None or start - end < best_size):
            best, best_size = end, start - end
        end = max(end, stop)
    return end if best is None else best


def _size(block: Block) -> int:
    return block.last - block.first


def _is_contiguous(view: View) -> bool:
    expected = view.dtype.itemsize
    for extent, stride in zip(reversed(view.shape), reversed(view.strides), strict=True):
        if extent != 1 and stride != expected:
            return False
        expected *= extent
    return True


def _touched(noted: Sequence[NotedCall], target: np.ndarray) -> bool:
    """Whether one of `noted` looks at the memory of `target`."""
    low, high = byte_bounds(target)
    arrays = [x for call in noted for x in call.arguments if isinstance(x, np.ndarray)]
    return any(first < high and low < last for first, last in map(byte_bounds, arrays))
