"""`cupy.cuda` of the stand-in: one made-up device, whose kernels a C++ compiler builds for the CPU."""

from cupy.cuda import device, driver, function, graph, memory, nvrtc, runtime, stream
from cupy.cuda.device import Device, get_device_id
from cupy.cuda.function import Function, Module
from cupy.cuda.graph import Graph
from cupy.cuda.memory import (
    BaseMemory,
    Memory,
    MemoryPointer,
    MemoryPool,
    alloc,
    get_allocator,
    set_allocator,
    using_allocator,
)
from cupy.cuda.stream import Event, Stream, get_current_stream, get_elapsed_time

__all__ = [
    "BaseMemory", "Device", "Event", "Function", "Graph", "Memory", "MemoryPointer", "MemoryPool", "Module", "Stream",
    "alloc", "device", "driver", "function", "get_allocator", "get_current_stream", "get_device_id",
    "get_elapsed_time", "graph", "is_available", "memory", "nvrtc", "runtime", "set_allocator", "stream",
    "using_allocator",
]  # fmt: skip


def is_available() -> bool:
    """Whether there is a device to work on."""
    try:
        return runtime.getDeviceCount() > 0
    except runtime.CUDARuntimeError:
        return False
