"""`cupy.cuda.Module` and `Function`: load what `nvrtc` compiled, and launch its kernels.

Arguments pass as CuPy passes them: an array as its address, whatever its strides; a NumPy scalar by its bytes; a
Python float as a double, a Python integer as 64 bits. The shim then refuses what the kernel would misread, and after
each launch the guard zones of its arrays are looked at. The threads' order changes from launch to launch.
"""

from __future__ import annotations

import math
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cupy import _shim
from cupy._array import ndarray
from cupy._counters import record_work
from cupy._device import Launches, current
from cupy.cuda import runtime
from cupy.cuda.driver import CUDADriverError
from cupy.cuda.memory import Segment, WrittenOutsideError

_MAX_GRID = (2**31 - 1, 65_535, 65_535)
_MAX_BLOCK = (1024, 1024, 64)
_MAX_THREADS = 1024
_MAX_SHARED = 48 * 1024
_SCALARS = frozenset(np.dtype(code).type for code in "?bhilqBHILQefdFD")
_SEED_STEP = 2_654_435_761  # any large odd number: successive seeds shall have little in common


class Module:
    """Compiled kernels."""

    def __init__(self) -> None:
        self._library: Any = None

    def load(self, cubin: bytes) -> None:
        """Load compiled code. Raises CUDADriverError for anything else."""
        runtime.require_device()
        if not cubin.startswith(b"\x7fELF"):
            raise CUDADriverError(200)
        with tempfile.TemporaryDirectory() as folder:  # once loaded, a library does not need its file
            path = Path(folder) / "kernels.so"
            path.write_bytes(cubin)
            self._library = _shim.load(path)

    def get_function(self, name: str) -> Function:
        """The kernel `name`. Raises CUDADriverError if there is none."""
        return Function(self, name)


class Function:
    """A compiled kernel."""

    def __init__(self, module: Module, funcname: str) -> None:
        self.module, self.name = module, funcname
        if funcname not in module._library.kernels:
            raise CUDADriverError(500)
        self.kernel = module._library.kernels[funcname]
        """The kernel in the shim; it has no counterpart in CuPy."""

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        shared_mem: int = 0,
        stream: Any = None,
    ) -> None:
        """Launch the kernel. Raises CUDADriverError for a grid, block or shared memory over CUDA's limits."""
        grid, block = _checked_extents(grid, block, shared_mem)
        arrays = [argument for argument in args if isinstance(argument, ndarray)]
        arguments = [_passed(argument) for argument in args]
        capture = current.capture if stream is None else stream._noted_by()
        record_work(self.name)
        if capture is None:
            self._run(grid, block, arguments, shared_mem)
            self._require_intact_guards(arrays)
            return
        for parameter, argument in zip(self.kernel.parameters, arguments, strict=True):
            parameter.convert(self.name, argument)
        capture.note(lambda: self._run(grid, block, arguments, shared_mem), arrays)

    def _run(self, grid: tuple, block: tuple, arguments: list, shared_mem: int) -> None:
        Launches.count += 1
        seed = Launches.count * _SEED_STEP % 2**32 or 1
        self.kernel.launch(grid, block, arguments, shared_mem, seed)

    def _require_intact_guards(self, arrays: list[ndarray]) -> None:
        for array in arrays:
            if array._memory is not None:
                array._memory.check(self.name)
        if not _for_empty_arrays().is_intact_around(0):
            _for_empty_arrays().poison()
            raise WrittenOutsideError(f"the kernel {self.name} wrote into an empty array")


@cache
def _checked_extents(grid: tuple[int, ...], block: tuple[int, ...], shared_mem: int) -> tuple[tuple, tuple]:
    """Grid and block as CuPy launches them: every extent at least 1, which for an empty grid is one block too many."""
    grid = tuple(max(1, extent) for extent in (*grid, 1, 1)[:3])
    block = tuple(max(1, extent) for extent in (*block, 1, 1)[:3])
    within = all(extent <= limit for extent, limit in zip(grid + block, _MAX_GRID + _MAX_BLOCK, strict=True))
    if not within or math.prod(block) > _MAX_THREADS or shared_mem > _MAX_SHARED:
        raise CUDADriverError(1)
    return grid, block


def _passed(argument: Any) -> Any:
    """An argument as CuPy passes it."""
    if type(argument) in _SCALARS:
        return argument
    if isinstance(argument, ndarray):
        if not argument.size:
            return np.uint64(_for_empty_arrays().address)
        data = argument._data
        return data if data.flags.c_contiguous else np.uint64(data.ctypes.data)
    if isinstance(argument, int):
        return np.int64(argument)
    if isinstance(argument, float):
        return np.float64(argument)
    if argument is None:
        raise TypeError("CuPy passes None as no argument at all, on which CUDA crashes; pass numpy.uint64(0)")
    raise TypeError(f"Unsupported type {type(argument)}")


@cache
def _for_empty_arrays() -> Segment:
    """Poison in place of an empty array: a kernel that reads there gets NaN, where CUDA would stop it."""
    return Segment(512)
