"""The parameters of a CUDA kernel, read from its declaration, and what may be passed for each.

CuPy passes the bytes of an argument, whatever the kernel declares: a float64 array for `const float*`, or a Python
float for `float`, gives wrong numbers without a word. So each argument is compared with the declaration.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minigan_kernels.cuda import driver

MAX_ELEMENTS = 2**31 - 2**16
"""Of an array. Kernels count in 32 bits, past its end too: to the end of a block of threads, a tile or a part."""
_PARAMETER = re.compile(r"^(?:const )?(?P<type>\w+(?: long)?)(?P<pointer>\*)?(?: __restrict__)? (?P<name>\w+)$")
_DTYPES = {"float": np.float32, "double": np.float64, "int": np.int32, "long long": np.int64}


class Strided(NamedTuple):
    """An argument for a kernel that takes the strides of `array`, too: the pointer to its first element."""

    array: Any


class Parameter(NamedTuple):
    """A parameter of a kernel; `type` is "real", "float", "double", "int" or "long long", of elements if a pointer.

    is_constant: whether it is declared `const`, so that a kernel only reads what a pointer points to.
    """

    name: str
    type: str
    is_pointer: bool
    is_constant: bool

    def converter(self, kernel: str, real: np.dtype) -> Callable[[Any], Any]:
        """A function that returns an argument as CuPy passes it correctly, for `kernel` compiled with `real`.

        It raises TypeError or ValueError for an unsuitable argument.
        """
        dtype = np.dtype(real if self.type == "real" else _DTYPES[self.type])
        where = f"the CUDA kernel {kernel} takes"
        if self.is_pointer:
            return lambda argument: _array(argument, dtype, where, self.name)
        if self.type == "int":
            return lambda argument: _integer(argument, where, self.name)
        return lambda argument: _scalar(argument, dtype.type, where, self.name)


@lru_cache
def parameters(text: str, kernel: str) -> tuple[Parameter, ...]:
    """The parameters of the kernel that the complete source `text` declares as `extern "C" __global__ void`.

    Raises LookupError if there is no such declaration, and TypeError if it has a parameter of another type.
    """
    declared = re.search(rf'extern "C" __global__ [^;{{]*?\b{kernel}\(([^)]*)\)\s*\{{', re.sub("//.*", "", text))
    if not declared:
        raise LookupError(f'there is no extern "C" __global__ void {kernel}(...)')
    found = []
    for declaration in filter(None, (re.sub(r"\s+", " ", part).strip() for part in declared[1].split(","))):
        match = _PARAMETER.match(declaration)
        if not match or match["type"] not in ("real", *_DTYPES):
            raise TypeError(f"the CUDA kernel {kernel} declares '{declaration}', which nothing can be passed for")
        is_constant = declaration.startswith("const ")
        found.append(Parameter(match["name"], match["type"], bool(match["pointer"]), is_constant))
    return tuple(found)


def _array(argument: Any, dtype: np.dtype, where: str, name: str) -> Any:
    if argument is None:
        return np.uint64(0)  # the null pointer
    array = argument.array if isinstance(argument, Strided) else argument
    if not isinstance(array, driver.cupy_module().ndarray):
        raise TypeError(f"{where} a device array for '{name}', not {_kind(array)}")
    if array.dtype != dtype:
        raise TypeError(f"{where} an array in {dtype} for '{name}', not one in {array.dtype}")
    if array is argument and not array.flags.c_contiguous:
        raise ValueError(f"{where} a row-major array for '{name}', not one with strides {array.strides}")
    if array.size > MAX_ELEMENTS:
        raise ValueError(
            f"{where} arrays of up to {MAX_ELEMENTS:,} elements, and '{name}' has {array.size:,}: use a smaller batch"
        )
    return array


def _integer(argument: Any, where: str, name: str) -> np.int32:
    if not isinstance(argument, int):
        raise TypeError(f"{where} a Python integer for '{name}', not {_kind(argument)}")
    if not -(2**31) <= argument < 2**31:
        raise ValueError(
            f"{where} an integer of 32 bits for '{name}', and {argument:,} needs more: use a smaller batch"
        )
    return np.int32(argument)


def _scalar(argument: Any, kind: type, where: str, name: str) -> Any:
    if type(argument) is not kind:
        raise TypeError(f"{where} a NumPy scalar of type {kind.__name__} for '{name}', not {_kind(argument)}")
    return argument


def _kind(argument: Any) -> str:
    """The type of the argument, as "numpy.ndarray" or "float"."""
    kind = type(argument)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
