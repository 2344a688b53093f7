"""Launch kernels that `build.py` compiled, with every argument checked against the kernel's parameters."""

from __future__ import annotations

import ctypes
import math
import struct
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import build

MAX_GRID = (2**31 - 1, 65_535, 65_535)
MAX_BLOCK = (1024, 1024, 64)

_SCALARS = {"int": np.int32, "long long": np.int64, "float": np.float32, "double": np.float64}
_POINTED = _SCALARS | {"unsigned": np.uint32, "unsigned char": np.uint8}
_PACKED = {"int": "i4x", "long long": "q", "float": "f4x", "double": "d"}  # 8 bytes each
_lock = threading.Lock()  # the executor runs one launch at a time


class Parameter:
    """A kernel's parameter: its name, its type ("const float*"), and how an argument becomes 8 bytes."""

    def __init__(self, name: str, type_name: str) -> None:
        self.name, self.type = name, type_name
        self.is_pointer, self.constant = type_name.endswith("*"), type_name.startswith("const ")
        self.packed = "Q" if self.is_pointer else _PACKED[type_name]

    def __repr__(self) -> str:
        return f"{self.type} {self.name}"

    def convert(self, kernel: str, argument: Any) -> Any:
        """`argument` as a number that `struct` packs. Raises TypeError if CUDA would read something else."""
        if self.is_pointer:
            return self._address(kernel, argument)
        expected = _SCALARS[self.type]
        if type(argument) is expected:
            return argument
        if self.type == "int" and type(argument) is int and -(2**31) <= argument < 2**31:
            return argument
        raise TypeError(
            f"the kernel {kernel} takes a {self.type} for {self.name}: pass numpy.{expected.__name__}, "
            f"not {type(argument).__name__}"
        )

    def _address(self, kernel: str, argument: Any) -> int:
        if argument is None:
            return 0
        if isinstance(argument, np.ndarray):
            return self._array_address(kernel, argument)
        if isinstance(argument, np.uint64):
            return int(argument)
        if isinstance(argument, (ctypes.c_void_p, ctypes._Pointer)):
            return ctypes.cast(argument, ctypes.c_void_p).value or 0
        raise TypeError(
            f"the kernel {kernel} takes a pointer ({self.type}) for {self.name}: pass an array, None, a ctypes pointer "
            f"or an address in numpy.uint64, not {type(argument).__name__}"
        )

    def _array_address(self, kernel: str, array: np.ndarray) -> int:
        if array.dtype != _POINTED[self.type.removeprefix("const ").removesuffix("*")]:
            raise TypeError(f"the kernel {kernel} takes {self.type} for {self.name}, not an array of {array.dtype}")
        if not array.flags.c_contiguous:
            raise TypeError(f"the kernel {kernel} takes a row-major array for {self.name}")
        if not self.constant and not array.flags.writeable:
            raise TypeError(f"the kernel {kernel} writes to {self.name}, and the array is read-only")
        return array.ctypes.data


class Kernel:
    """A kernel of a library: its name, its parameters, and the most threads of a block (its `__launch_bounds__`)."""

    def __init__(self, name: str, entry: Any, parameters: Sequence[Parameter], most_threads: int) -> None:
        self.name, self.parameters, self.most_threads = name, tuple(parameters), most_threads
        self._entry = ctypes.cast(entry, ctypes.c_void_p)
        self._packed = struct.Struct("=" + "".join(parameter.packed for parameter in parameters))
        self._encoded = name.encode()

    def launch(
        self,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
        seed: int = 0,
    ) -> None:
        """Run the kernel on `grid` blocks of `block` threads; see `Library.launch`."""
        packed = self._packed.pack(*self.convert(arguments))
        extents = self.extents(grid, block)
        with _lock:
            problem = _executor()(self._entry, self._encoded, extents, shared_bytes, seed, packed)
        if problem:
            raise RuntimeError(problem.decode())

    def extents(self, grid: int | tuple[int, ...], block: int | tuple[int, ...]) -> Any:
        """The extents of grid and block, three each, as an array for C. Raises ValueError for what CUDA refuses."""
        return _extents(self.name, self.most_threads, grid, block)

    def convert(self, arguments: Sequence[Any]) -> list[Any]:
        """The arguments as numbers. Raises TypeError unless they are what the parameters are declared as."""
        if len(arguments) != len(self.parameters):
            raise TypeError(f"the kernel {self.name} takes {len(self.parameters)} arguments, not {len(arguments)}")
        return [p.convert(self.name, argument) for p, argument in zip(self.parameters, arguments, strict=True)]


class Library:
    """The kernels of a shared library that `build.compile` made."""

    def __init__(self, path: Path) -> None:
        _executor()
        self._library = ctypes.CDLL(str(path))
        names = ctypes.c_char_p.in_dll(self._library, "cuda_cpu_names").value or b""
        self.kernels: dict[str, Kernel] = {}
        for line in names.decode().split():
            name, *parameters = line.split(",")
            self.kernels[name] = self._kernel(name, parameters)

    def _kernel(self, name: str, parameters: list[str]) -> Kernel:
        types = ctypes.POINTER(ctypes.c_char_p).in_dll(self._library, f"cuda_cpu_types_{name}")
        made = [Parameter(parameter, (types[i] or b"").decode()) for i, parameter in enumerate(parameters)]
        most_threads = ctypes.c_int.in_dll(self._library, f"cuda_cpu_most_threads_{name}").value
        return Kernel(name, getattr(self._library, f"cuda_cpu_entry_{name}"), made, most_threads)

    def launch(
        self,
        name: str,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
        seed: int = 0,
    ) -> None:
        """Run the kernel `name` on `grid` blocks of `block` threads (up to three extents each).

        arguments: NumPy arrays, ctypes pointers, addresses in numpy.uint64, or None for pointers; numpy.float32,
        float64, int64 for `float`, `double`, `long long`; an integer or numpy.int32 for `int`. shared_bytes: dynamic
        shared memory. seed: draws the order of threads and blocks; 0 is the natural order.
        Raises TypeError if the arguments are not what the kernel takes, ValueError for a grid or block that CUDA
        refuses, RuntimeError for what the kernel may not do: a divergent barrier, a write beside a shared array.
        """
        self.kernels[name].launch(grid, block, arguments, shared_bytes, seed)


@cache
def _executor() -> Any:
    library = ctypes.CDLL(str(build.executor()), mode=ctypes.RTLD_GLOBAL)
    launch = library.cuda_cpu_launch
    launch.restype = ctypes.c_char_p
    launch.argtypes = (
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_char_p,
    )
    return launch


@cache
def _extents(kernel: str, most_threads: int, grid: int | tuple[int, ...], block: int | tuple[int, ...]) -> Any:
    grid, block = _three(grid), _three(block)
    if any(not 1 <= extent <= limit for extent, limit in zip(grid, MAX_GRID, strict=True)):
        raise ValueError(f"the kernel {kernel} cannot run a grid of {grid} blocks; CUDA allows 1 to {MAX_GRID}")
    if any(not 1 <= extent <= limit for extent, limit in zip(block, MAX_BLOCK, strict=True)):
        raise ValueError(f"the kernel {kernel} cannot run blocks of {block} threads; CUDA allows 1 to {MAX_BLOCK}")
    if math.prod(block) > most_threads:
        raise ValueError(
            f"the kernel {kernel} runs blocks of up to {most_threads} threads (__launch_bounds__), not of {block}"
        )
    return (ctypes.c_uint * 6)(*grid, *block)


def _three(extents: int | tuple[int, ...]) -> tuple[int, int, int]:
    x, y, z = (*(extents if isinstance(extents, tuple) else (extents,)), 1, 1)[:3]
    return x, y, z
