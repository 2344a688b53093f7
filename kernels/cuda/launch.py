"""Launch compiled CUDA kernels, with every argument checked first: a wrong one would read or write foreign memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from minigan_kernels.cuda import compiler, driver, signature
from minigan_kernels.cuda.signature import MAX_ELEMENTS as MAX_ELEMENTS  # of an array
from minigan_kernels.cuda.signature import Strided as Strided

MAX_GRID = (2**31 - 1, 65_535, 65_535)
MAX_BLOCK = 1024  # threads
MAX_SHARED_BYTES = 48 * 1024  # without asking for more
WARP = 32


class Kernel:
    """The kernel that the CUDA source file `source` declares as `extern "C" __global__ void NAME(...)`."""

    def __init__(self, source: str, name: str) -> None:
        self.source, self.name = source, name
        self._functions: dict[Any, Any] = {}
        self._converters: dict[np.dtype, tuple[Callable[[Any], Any], ...]] = {}

    def launch(
        self,
        dtype: np.dtype,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        *arguments: Any,
        shared_bytes: int = 0,
        **constants: int,
    ) -> None:
        """Run the kernel, compiled for `dtype` and the compile-time `constants`, on the current stream.

        grid, block: the numbers of blocks, and of threads in a block, in x, y and z. A grid with a 0 launches nothing.
        shared_bytes: dynamic shared memory. Each argument must suit its declaration: for a pointer, a row-major device
        array of that type of element, another one in a `Strided`, or None for a null pointer; for `int`, a Python
        integer; for `real`, `double` and `long long`, a NumPy scalar of exactly that type.
        Raises TypeError or ValueError, and launches nothing, if an argument is unsuitable or a limit is exceeded.
        """
        grid, block = _three(grid), _three(block)
        _require_limits(self.name, grid, block, shared_bytes)
        converted = self._converted(dtype, arguments)
        if 0 not in grid:  # CUDA refuses an empty grid, and CuPy would run one block
            self._function(dtype, constants)(grid, block, converted, shared_mem=shared_bytes)

    def _converted(self, dtype: np.dtype, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        converters = self._converters.get(dtype)
        if converters is None:
            declared = signature.parameters(compiler.full_source(self.source, dtype), self.name)
            converters = tuple(parameter.converter(self.name, dtype) for parameter in declared)
            self._converters[dtype] = converters
        if len(arguments) != len(converters):
            raise TypeError(f"the CUDA kernel {self.name} takes {len(converters)} arguments, not {len(arguments)}")
        return tuple([convert(argument) for convert, argument in zip(converters, arguments, strict=True)])

    def _function(self, dtype: np.dtype, constants: dict[str, int]) -> Any:
        key = dtype, tuple(constants.items())
        function = self._functions.get(key)
        if function is None:
            module = compiler.load_module(self.source, *key)
            function = self._functions[key] = module.get_function(self.name)
        return function


def _three(extents: int | tuple[int, ...]) -> tuple[int, int, int]:
    x, y, z = (*(extents if isinstance(extents, tuple) else (extents,)), 1, 1)[:3]
    return x, y, z


@lru_cache(maxsize=4096)
def _require_limits(name: str, grid: tuple[int, int, int], block: tuple[int, int, int], shared_bytes: int) -> None:
    if any(not 0 <= extent <= limit for extent, limit in zip(grid, MAX_GRID, strict=True)):
        raise ValueError(
            f"the CUDA kernel {name} would need a grid of {grid} blocks; CUDA allows {MAX_GRID}: use a smaller batch"
        )
    if min(block) < 1 or math.prod(block) > MAX_BLOCK:
        raise ValueError(f"the CUDA kernel {name} cannot run blocks of {block} threads; CUDA allows 1 to {MAX_BLOCK}")
    if shared_bytes > MAX_SHARED_BYTES:
        raise ValueError(
            f"the CUDA kernel {name} would need {shared_bytes:,} bytes of shared memory, and a block has "
            f"{MAX_SHARED_BYTES:,}"
        )


def blocks_for(count: int, block: int) -> int:
    """The number of blocks of `block` threads that have a thread for each of `count` elements."""
    return -(-count // block)


def row_major(x: Any) -> Any:
    """`x` in row-major order, without a copy if it is."""
    if x.flags.c_contiguous:
        return x
    from minigan_kernels.cuda.copy import contiguous  # that module launches kernels, too

    return contiguous(x)


def output_array(shape: tuple[int, ...], dtype: np.dtype, out: Any = None) -> Any:
    """The array for a kernel's result: `out`, or a new uninitialised array.

    Raises ValueError unless `out` is a row-major array of this shape and dtype.
    """
    if out is None:
        return driver.cupy_module().empty(shape, dtype)
    if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
        raise ValueError(
            f"a result of shape {shape} in {dtype} needs row-major memory of that shape and type, "
            f"not an array of shape {out.shape} in {out.dtype} with strides {out.strides}"
        )
    return out
