"""Plans the memory of a recording's calls, and binds the calls to it.

The calls' results lie in one arena, where memory is reused after the last call that reads it. A result that is only
copied to a persistent array, such as a gradient to flat memory, is computed there directly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from minigan.gan.replay.arena import Arena
from minigan.gan.replay.memory import flatten_results
from minigan.gan.replay.recorder import Block, RecordedCall, View
from minigan.gan.replay.recording import BoundCall
from minigan_kernels.aligned import ALIGNMENT

Lifetime = tuple[int, int]
"""The indices of the first and of the last call that use a block."""


class Plan:
    """The calls of a recording, bound to memory. `calls`: pairs (function, arguments) that repeat the calls `recorded`.

    results: views that are read after the last call. arena: provides the memory.
    """

    def __init__(self, recorded: Sequence[RecordedCall], results: Sequence[View], arena: Arena) -> None:
        lifetimes = _lifetimes(recorded, results)
        self._memory: dict[Block, np.ndarray] = {}
        needed = [call for i, call in enumerate(recorded) if not self._place_in_target(i, recorded, lifetimes)]
        unplaced = {block: lifetime for block, lifetime in lifetimes.items() if block not in self._memory}
        offsets, size = _offsets(unplaced)
        memory = arena.allocate(size)
        self._memory |= {block: memory[offset : offset + _size(block)] for block, offset in offsets.items()}
        self.calls = [self._bind(call) for call in needed]

    def array(self, x: Any) -> Any:
        """The array of a View in its planned memory; anything else as it is."""
        if not isinstance(x, View):
            return x
        return np.ndarray(x.shape, x.dtype, self._memory[x.block], x.address - x.block.first, x.strides)

    def _bind(self, call: RecordedCall) -> BoundCall:
        arguments = tuple(map(self.array, call.arguments))
        results = tuple(map(self.array, call.results))
        if not results:
            return call.function, arguments
        if call.takes_out:
            return _WithOut(call.function, results[0] if len(results) == 1 else results), arguments
        return _WithCopy(call.function, results), arguments

    def _place_in_target(self, i: int, recorded: Sequence[RecordedCall], lifetimes: dict[Block, Lifetime]) -> bool:
        """Whether call i is a copy whose source can be computed in the memory of its target; if so, place it there."""
        call = recorded[i]
        if not call.is_copy:
            return False
        target, source = call.arguments
        if isinstance(target, View) or not isinstance(source, View):
            return False
        block = source.block
        first, last = lifetimes[block]
        whole = target.nbytes == _size(block) and source.address == block.first
        fits = whole and target.dtype == source.dtype and target.flags.c_contiguous and _is_contiguous(source)
        if not fits or last != i or block in self._memory or _uses(recorded[first:i], target):
            return False
        self._memory[block] = target.reshape(-1).view(np.uint8)
        return True


class _WithOut:
    """A function that writes its result into `out`."""

    __slots__ = ("function", "out")

    def __init__(self, function: Callable[..., Any], out: Any) -> None:
        self.function, self.out = function, out

    def __call__(self, *arguments: Any) -> None:
        self.function(*arguments, out=self.out)


class _WithCopy:
    """A function whose results are copied into `targets`."""

    __slots__ = ("function", "targets")

    def __init__(self, function: Callable[..., Any], targets: tuple[np.ndarray, ...]) -> None:
        self.function, self.targets = function, targets

    def __call__(self, *arguments: Any) -> None:
        returned = self.function(*arguments)
        for target, result in zip(self.targets, flatten_results(returned), strict=True):
            np.copyto(target, result)


def _lifetimes(recorded: Sequence[RecordedCall], results: Sequence[View]) -> dict[Block, Lifetime]:
    """The lifetime of each block; blocks of `results` live beyond the last call."""
    lifetimes: dict[Block, Lifetime] = {}
    for i, call in enumerate(recorded):
        for view in call.views:
            lifetimes[view.block] = lifetimes.get(view.block, (i, i))[0], i
    for view in results:
        lifetimes[view.block] = lifetimes[view.block][0], len(recorded)
    return lifetimes


def _offsets(lifetimes: dict[Block, Lifetime]) -> tuple[dict[Block, int], int]:
    """An offset for each block, such that blocks with overlapping lifetimes do not overlap, and the total size."""
    offsets: dict[Block, int] = {}
    live: list[tuple[int, int, int]] = []  # (offset, end, last call), in order of offset
    size = 1
    for block, (first, last) in sorted(lifetimes.items(), key=lambda item: item[1][0]):
        live = [entry for entry in live if entry[2] >= first]
        needed = -(-_size(block) // ALIGNMENT) * ALIGNMENT
        offset = _best_fit(live, needed)
        offsets[block] = offset
        live.append((offset, offset + needed, last))
        live.sort()
        size = max(size, offset + needed)
    return offsets, size


def _best_fit(live: Sequence[tuple[int, int, int]], needed: int) -> int:
    """The offset of the smallest gap between live blocks that is large enough; else the end of the last live block."""
    best, best_size, end = None, 0, 0
    for start, stop, _ in live:
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


def _uses(recorded: Sequence[RecordedCall], target: np.ndarray) -> bool:
    """Whether one of the calls `recorded` has an argument in the memory of `target`."""
    low, high = byte_bounds(target)
    arrays = [x for call in recorded for x in call.arguments if isinstance(x, np.ndarray)]
    return any(first < high and low < last for first, last in map(byte_bounds, arrays))
