"""CUDA graphs: work on the GPU captured once, and launched again by one call.

While a stream captures, the work that is put on it is recorded instead of executed, with the addresses of its arrays. A
launch of the graph does that work on the numbers that these addresses then hold. So memory that the work allocates must
belong to the graph for as long as it lives: CuPy's pool would give it to somebody else as soon as the arrays are freed.
It comes from a pool of its own here, and so every launch finds it as it was planned.

The stream of the capture is a non-blocking one. With a blocking one, any work on the default stream during the capture,
also of another thread, would be an error. No other work is ever put on it: a graph is launched on the current stream,
like every other kernel, so that it runs after the work before it and before the work after it, without an event.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from minigan_kernels.cuda import driver

Result = TypeVar("Result")


class Graph:
    """Captured work. `memory` holds its arrays, and is kept alive with it."""

    def __init__(self, graph: Any, memory: GraphMemory) -> None:
        self._graph, self._memory = graph, memory

    def launch(self) -> None:
        """Put the work on the current stream; does not wait for it."""
        self._graph.launch()


class GraphMemory:
    """Memory for graphs that are launched one after another, never at once, and the stream on which they are captured.

    Graphs share memory for what they compute on the way. What a graph leaves there for its caller is lost when the next
    one is launched, unless the array is still referenced from Python when that one is captured.
    """

    def __init__(self) -> None:
        cuda = driver.cupy_module().cuda
        self._stream = cuda.Stream(non_blocking=True)
        self._pool = cuda.MemoryPool(_device_memory)

    def capture(
        self, function: Callable[[], Result], on_allocation: Callable[[int], None] = lambda address: None
    ) -> tuple[Result, Graph]:
        """Capture the work of `function()`, which is not executed; returns its result and the graph.

        on_allocation: is called with the address of each allocation. Raises what `function` raises, MemoryError if
        the device has no memory for it or too little left to run the work without the graph, and what CuPy raises for
        work that cannot be captured: a copy between host and device, or a call of a library such as cuBLAS. The stream
        captures no longer, whatever was raised. What a failed capture has allocated stays here for the next one.
        """
        cupy = driver.cupy_module()

        def allocate(size: int) -> Any:
            pointer = self._pool.malloc(size)
            on_allocation(pointer.mem.ptr)
            return pointer

        needed = _free_unused_memory(cupy.get_default_memory_pool())  # by earlier runs of the same work
        with self._stream, cupy.cuda.using_allocator(allocate):
            try:
                self._stream.begin_capture()
                result = function()
                graph = Graph(self._stream.end_capture(), self)
            except BaseException:
                self._end_capture_after_error()
                raise
        if cupy.cuda.runtime.memGetInfo()[0] < needed:
            raise MemoryError(f"beside the graph, the GPU has no memory for {needed:,} more bytes")
        return result, graph

    def _end_capture_after_error(self) -> None:
        with suppress(Exception):  # an error of CUDA has made the capture invalid; to end it reports that once more
            self._stream.end_capture()


def _free_unused_memory(pool: Any) -> int:
    """Give the memory that `pool` keeps for new arrays back to the device; returns how many bytes that were."""
    before: int = pool.total_bytes()
    pool.free_all_blocks()
    return before - int(pool.total_bytes())


def _device_memory(size: int) -> Any:
    """New memory of `size` bytes. Raises MemoryError, for which CuPy's pool does not free memory that graphs use."""
    cuda = driver.cupy_module().cuda
    try:
        return cuda.MemoryPointer(cuda.Memory(size), 0)
    except cuda.runtime.CUDARuntimeError as error:
        if "cudaErrorMemoryAllocation" not in str(error):
            raise
        raise MemoryError(f"the GPU has no memory for {size:,} more bytes") from None


def address_of_block(array: Any) -> int:
    """The address of the block of memory in which `array`, or the array that it views, lies; 0 if it has no bytes."""
    address: int = array.data.mem.ptr
    return address


def same_view(array: Any, old: Any, new: Any) -> Any:
    """The array that views `new` as `array` views `old`, two arrays of bytes; None if it does not view `old`."""
    start = array.data.ptr - old.data.ptr
    if not 0 <= start < old.nbytes:
        return None
    return new[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
