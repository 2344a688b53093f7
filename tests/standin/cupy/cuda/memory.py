"""`cupy.cuda.memory`: the device's memory, poisoned where nobody has written, with guard zones around every array.

Memory comes in segments. A pool hands a freed segment to the next request that it fits, as CuPy's pool does, so that
whoever still uses freed memory finds somebody else's numbers there. Two simplifications: CuPy splits a larger block,
this pool hands out a whole one of up to twice the size; CuPy keeps the blocks of each stream apart, here they are
shared by all streams, which finds more mistakes.

Fresh and freed memory holds NaNs, in float32 as in float64, and a different one for each segment. The same pattern
lies before and after each array: a kernel that reads outside gets NaN, one that writes there is found out.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cupy._device import DEVICE_ID, MEMORY, Current, Launches, current
from cupy.cuda import runtime

UNIT = 512  # bytes; sizes and addresses are multiples of it, as in CuPy
GUARD = 256  # bytes before and after an array that are looked at
_OUT_OF_MEMORY = 2  # CUDA's number of the error
_SERIAL = itertools.count(1)


class OutOfMemoryError(MemoryError):
    """No memory of `size` bytes is left: `total` bytes are allocated, of at most `limit` (0: what the device has)."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        self._size, self._total, self._limit = size, total, limit
        message = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        super().__init__(message + (f", limit set to: {limit:,} bytes)." if limit else ")."))

    def __reduce__(self) -> tuple[type, tuple[int, int, int]]:
        return type(self), (self._size, self._total, self._limit)


class WrittenOutsideError(RuntimeError):
    """A kernel wrote outside the arrays that it was given; only the stand-in notices."""


class Segment:
    """A piece of the device's memory with `capacity` bytes for an array.

    It has no finaliser; what hands it out has: of a reference cycle, Python finalises every object, in any order, also
    one that the finaliser of another puts to use again, as that of an array's memory does.
    """

    __slots__ = (
        "_guard",
        "_word",
        "_words",
        "address",
        "buffer",
        "capacity",
        "captured",
        "overwritten",
        "released",
        "start",
    )

    def __init__(self, capacity: int) -> None:
        if MEMORY.used + capacity > MEMORY.total():
            raise runtime.CUDARuntimeError(_OUT_OF_MEMORY)
        MEMORY.used += capacity
        self.released = self.overwritten = False
        self.captured: weakref.WeakKeyDictionary[Any, set[int]] | None = None
        """For each capture that still exists, the sizes of the arrays that its work has here."""
        self.capacity = capacity
        self.buffer = np.empty(capacity + 3 * UNIT, np.uint8)
        address = self.buffer.ctypes.data
        self.start = UNIT + -address % UNIT
        self.address = address + self.start
        self._words = self.buffer.view(np.uint32)
        # Quiet NaNs in both precisions; the payload tells segments apart, as arithmetic passes a NaN's payload on.
        self._word = 0xFFF80000 | next(_SERIAL) & 0x7FFFF
        self._guard = np.full(GUARD // 4, self._word, np.uint32).tobytes()
        self.poison()

    def poison(self, kept: int = 0) -> None:
        """Overwrite the memory, guard zones included, but for the first `kept` bytes for the array."""
        if kept:
            array = self.buffer[self.start : self.start + kept]
            saved = array.copy()
        self._words.fill(self._word)
        self.overwritten = False
        if kept:
            array[...] = saved

    def is_intact_around(self, size: int) -> bool:
        """Whether nobody has written before the array or behind its `size` bytes.

        True if a graph may have written another, larger array here.
        """
        if self.overwritten:
            return True
        end = self.start + (size + 3 & ~3)
        before = self.buffer[self.start - GUARD : self.start].tobytes()
        return before == self._guard == self.buffer[end : end + GUARD].tobytes()

    def note_captured(self, capture: Any, size: int) -> None:
        """Note that work of `capture` has an array of `size` bytes here."""
        if self.captured is None:
            self.captured = weakref.WeakKeyDictionary()
        self.captured.setdefault(capture, set()).add(size)

    def note_launch(self) -> None:
        """Note that a graph writes here: what lies around an array is no longer poison if graphs have several sizes."""
        if self.captured is not None and len(set().union(*self.captured.values())) > 1:
            self.overwritten = True

    def release(self) -> None:
        """Give the memory back to the device."""
        if not self.released:
            self.released = True
            MEMORY.used -= self.capacity


class BaseMemory:
    """Memory of the device: `size` bytes at the address `ptr`."""

    __slots__ = ("__weakref__", "_launches", "ptr", "segment", "size")
    device_id = DEVICE_ID
    offset = 0

    @property
    def mem(self) -> BaseMemory:
        """The memory itself, as of a `MemoryPointer`; it has no counterpart in CuPy."""
        return self

    def __init__(self, segment: Segment | None, size: int) -> None:
        self.segment, self.size = segment, size
        self.ptr = 0 if segment is None else segment.address
        self._launches = Launches.count

    @property
    def device(self) -> Any:
        from cupy.cuda.device import Device

        return Device(DEVICE_ID)

    def __int__(self) -> int:
        return self.ptr

    def check(self, kernel: str) -> None:
        """Raise WrittenOutsideError if `kernel` has written beside this memory."""
        segment = self.segment
        if segment is not None and not segment.is_intact_around(self.size):
            segment.poison(self.size)
            raise WrittenOutsideError(f"the kernel {kernel} wrote outside an array of {self.size:,} bytes")


class Memory(BaseMemory):
    """Memory that goes back to the device when its last array is gone."""

    __slots__ = ()

    def __init__(self, size: int) -> None:
        runtime.require_device()
        super().__init__(Segment(_rounded(size)) if size else None, size)

    def __del__(self) -> None:
        if segment := getattr(self, "segment", None):
            segment.release()


class PooledMemory(BaseMemory):
    """Memory that goes back to its pool when its last array is gone."""

    __slots__ = ("pool",)

    def __init__(self, segment: Segment | None, size: int, pool: weakref.ref[MemoryPool]) -> None:
        # As in BaseMemory; spelt out because every operation makes one.
        self.segment, self.size, self.pool = segment, size, pool
        self.ptr = 0 if segment is None else segment.address
        self._launches = Launches.count

    def free(self) -> None:
        """Give the memory back to the pool."""
        segment = self.segment
        if segment is None:
            return
        self.segment, self.ptr = None, 0
        pool = self.pool()
        if pool is None:
            segment.release()
        else:
            pool.take_back(segment)
        intact = self._launches == Launches.count or segment.is_intact_around(self.size)
        segment.poison()
        if not intact:
            raise WrittenOutsideError(f"a kernel wrote outside an array of {self.size:,} bytes")

    __del__ = free


class MemoryPointer:
    """An address `offset` bytes into a memory."""

    __slots__ = ("mem", "offset")
    device_id = DEVICE_ID

    def __init__(self, mem: BaseMemory, offset: int) -> None:
        self.mem, self.offset = mem, offset

    @property
    def ptr(self) -> int:
        """The address."""
        return self.mem.ptr + self.offset

    @property
    def device(self) -> Any:
        return self.mem.device

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.offset + offset)


Allocator = Callable[[int], MemoryPointer]


def _rounded(size: int) -> int:
    return (size + UNIT - 1) & -UNIT


class MemoryPool:
    """Memory that is kept for the next array when an array is gone."""

    def __init__(self, allocator: Allocator | None = None) -> None:
        self._allocator = allocator
        self._free: dict[int, list[Segment]] = {}
        self._used = self._total = self._limit = 0
        self._self = weakref.ref(self)

    def malloc(self, size: int) -> MemoryPointer:
        """Memory of `size` bytes. Raises OutOfMemoryError."""
        return MemoryPointer(self.memory(size), 0)

    def memory(self, size: int) -> PooledMemory:
        """As `malloc`, without the pointer; it has no counterpart in CuPy."""
        if not size:
            return PooledMemory(None, 0, self._self)
        capacity = (size + UNIT - 1) & -UNIT
        free = self._free.get(capacity)
        segment = free.pop() if free else self._best_fit(capacity) or self._new(capacity)
        self._used += segment.capacity
        return PooledMemory(segment, size, self._self)

    def take_back(self, segment: Segment) -> None:
        """Keep the memory of an array that is gone for the next one."""
        self._used -= segment.capacity
        free = self._free.get(segment.capacity)
        if free is None:
            self._free[segment.capacity] = [segment]
        else:
            free.append(segment)

    def _best_fit(self, capacity: int) -> Segment | None:
        """The smallest free segment of `capacity` to twice as many bytes."""
        fitting = [c for c, free in self._free.items() if capacity <= c <= 2 * capacity and free]
        return self._free[min(fitting)].pop() if fitting else None

    def _new(self, capacity: int) -> Segment:
        """New memory of the device; if there is none, after freeing what the pool keeps, as CuPy's pool does."""
        runtime.require_device()
        if current.capture is not None and current.capture.mode != runtime.streamCaptureModeRelaxed:
            current.capture.refuse()
        for free in (None, self.free_all_blocks, gc.collect):
            if free is gc.collect:
                gc.collect()
                self.free_all_blocks()
            elif free is not None:
                free()
            if self._limit and self._total + capacity > self._limit:
                continue
            try:
                segment = self._new_segment(capacity)
            except runtime.CUDARuntimeError as error:
                if error.status != _OUT_OF_MEMORY:
                    raise
                continue
            self._total += capacity
            return segment
        raise OutOfMemoryError(capacity, self._total, self._limit)

    def _new_segment(self, capacity: int) -> Segment:
        if self._allocator is None:
            return Segment(capacity)
        memory = self._allocator(capacity).mem
        segment, memory.segment = memory.segment, None  # it is the pool that gives it back
        return segment

    def free_all_blocks(self, stream: Any = None) -> None:
        """Give the memory that no array has back to the device."""
        for free in list(self._free.values()):
            while free:
                segment = free.pop()
                self._total -= segment.capacity
                segment.release()

    def used_bytes(self) -> int:
        """The bytes that arrays have."""
        return self._used

    def free_bytes(self) -> int:
        """The bytes kept for the next arrays."""
        return self._total - self._used

    def total_bytes(self) -> int:
        """The bytes that the pool has from the device."""
        return self._total

    def n_free_blocks(self) -> int:
        """The number of blocks kept for the next arrays."""
        return sum(map(len, self._free.values()))

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        """Let the pool have at most `size` bytes, or this fraction of the device's memory; 0: no limit."""
        if (size is None) == (fraction is None):
            raise ValueError("size and fraction cannot be specified at one time; one of them is needed")
        if fraction is not None:
            if not 0 <= fraction <= 1:
                raise ValueError(f"memory limit fraction out of range: {fraction}")
            size = int(fraction * MEMORY.total())
        if size < 0:
            raise ValueError(f"memory limit size out of range: {size}")
        self._limit = size

    def get_limit(self) -> int:
        """The most bytes that the pool may have; 0: no limit."""
        return self._limit

    def __del__(self) -> None:
        self.free_all_blocks()


DEFAULT_POOL = MemoryPool()
Place = BaseMemory | MemoryPointer


def _of_allocator(allocator: Allocator | None) -> Callable[[int], Place]:
    """A function from a number of bytes to memory by `allocator`; None: from the device, without a pool."""
    if allocator is None:
        return _without_pool
    pool = getattr(allocator, "__self__", None)
    if isinstance(pool, MemoryPool):
        return pool.memory
    return allocator


def _without_pool(size: int) -> Memory:
    try:
        return Memory(size)
    except runtime.CUDARuntimeError as error:
        if error.status != _OUT_OF_MEMORY:
            raise
        raise OutOfMemoryError(size, -1) from None


# For every thread, unless it is inside of `using_allocator`.
Current.allocate, Current.allocator = DEFAULT_POOL.memory, DEFAULT_POOL.malloc


def alloc(size: int) -> MemoryPointer:
    """Memory of `size` bytes by the current allocator."""
    place = current.allocate(size)
    return MemoryPointer(place.mem, place.offset)


def get_allocator() -> Allocator | None:
    """The current allocator."""
    return current.allocator


def set_allocator(allocator: Allocator | None = None) -> None:
    """Let new arrays have memory by `allocator`; None: from the device, without a pool."""
    if "allocate" in vars(current):
        raise ValueError("Can't change the global allocator inside `using_allocator` context manager")
    Current.allocator, Current.allocate = allocator, _of_allocator(allocator)


@contextmanager
def using_allocator(allocator: Allocator | None = None) -> Iterator[None]:
    """A context in which new arrays of this thread have memory by `allocator`."""
    before = {name: vars(current)[name] for name in ("allocate", "allocator") if name in vars(current)}
    current.allocate, current.allocator = _of_allocator(allocator), allocator
    try:
        yield
    finally:
        del current.allocate, current.allocator
        vars(current).update(before)
