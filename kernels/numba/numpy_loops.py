"""The inner loops of NumPy's elementwise functions (ufuncs), to be called without NumPy's Python interface.

A ufunc has one compiled loop for each combination of types. NumPy's C interface (`PyUFuncObject` in ufuncobject.h)
publishes their addresses. Calling the same loop on the same numbers gives the same bits as NumPy. A call through Python
takes about a microsecond, most of which goes into types, shapes and the allocation of iterators.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

_MOST_LOOPS = 16  # for one call: operands whose strides need more are left to NumPy
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_DTYPES = (*_FLOATS, np.dtype(bool))  # loops of integers and objects may raise exceptions


class Loop(NamedTuple):
    """One call of the inner loop at the address `function`, with the number `data` that NumPy passes to it.

    addresses: of the first element of each operand. count: of elements. strides: of each operand, in bytes.
    """

    function: int
    data: int
    addresses: tuple[int, ...]
    count: int
    strides: tuple[int, ...]


class _UFunc(ctypes.Structure):
    """The beginning of NumPy's PyUFuncObject."""

    _fields_ = (
        ("head", ctypes.c_byte * object.__basicsize__),
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    )


def elementwise(ufunc: np.ufunc, operands: Sequence[np.ndarray]) -> list[Loop] | None:
    """The loops that compute ufunc(*inputs, out) for operands (*inputs, out); None if they cannot be called here.

    Inputs are broadcast to the shape of `out`. No loop is found for types that NumPy would convert, nor for operands
    that overlap without being the same or that are not aligned.
    """
    found = _find_loop(ufunc, operands)
    out = operands[-1]
    if found is None or not all(_separate_or_same(x, out) for x in operands[:-1]):
        return None
    broadcast = [np.broadcast_to(x, out.shape) for x in operands[:-1]] + [out]
    *outer, (count, strides) = _joined_dimensions(out.shape, [x.strides for x in broadcast])
    if math.prod(extent for extent, _ in outer) > _MOST_LOOPS:
        return None
    starts = [tuple(x.__array_interface__["data"][0] for x in broadcast)]
    for extent, steps in outer:
        starts = [
            tuple(address + i * step for address, step in zip(start, steps, strict=True))
            for start in starts
            for i in range(extent)
        ]
    return [Loop(*found, start, count, strides) for start in starts] if out.size else []


def copy(target: np.ndarray, source: np.ndarray) -> list[Loop] | None:
    """The loops that copy `source` to `target`, of the same dtype; None if they cannot be called here."""
    return elementwise(np.positive, (source, target)) if target.dtype in _FLOATS else None


def sum_of_all(x: np.ndarray, out: np.ndarray) -> list[Loop] | None:
    """The loops by which np.add.reduce sums all elements of `x` to the one element of `out`; None as `elementwise`.

    NumPy starts with 0 and adds the elements pairwise, in a loop whose result and first operand are the same number.
    """
    found = _find_loop(np.add, (x, x, out))
    if found is None or out.size != 1 or not x.flags.c_contiguous or np.may_share_memory(x, out):
        return None
    start = copy(out, _zero(out.dtype))
    address, total = (array.__array_interface__["data"][0] for array in (x, out))
    loop = Loop(*found, (total, address, total), x.size, (0, x.itemsize, 0))
    return start if start is None or not x.size else [*start, loop]


@lru_cache
def _zero(dtype: np.dtype) -> np.ndarray:
    return np.zeros((), dtype)


def _separate_or_same(x: np.ndarray, out: np.ndarray) -> bool:
    if not np.may_share_memory(x, out):
        return True
    return x.__array_interface__["data"] == out.__array_interface__["data"] and x.strides == out.strides


def _joined_dimensions(shape: tuple[int, ...], strides: Sequence[tuple[int, ...]]) -> list[tuple[int, tuple[int, ...]]]:
    """(extent, strides of each operand) of as few dimensions as possible, from the outermost to the innermost."""
    dimensions: list[tuple[int, tuple[int, ...]]] = []
    for extent, *steps in zip(shape, *strides, strict=True):
        if extent == 1:
            continue
        if dimensions and dimensions[-1][1] == tuple(step * extent for step in steps):
            extent *= dimensions.pop()[0]
        dimensions.append((extent, tuple(steps)))
    return dimensions or [(1, (0,) * len(strides))]


def _find_loop(ufunc: np.ufunc, operands: Sequence[np.ndarray]) -> tuple[int, int] | None:
    """(address, data) of the inner loop for operands of exactly these types; None if there is none."""
    if not all(x.dtype in _DTYPES and x.flags.aligned for x in operands):  # dtypes of swapped bytes are others
        return None
    return _find_loop_of_types(ufunc, "".join(x.dtype.char for x in operands))


@lru_cache(maxsize=256)
def _find_loop_of_types(ufunc: np.ufunc, types: str) -> tuple[int, int] | None:
    if ufunc.signature is not None:  # such as np.matmul, which is not elementwise
        return None
    described = _UFunc.from_address(id(ufunc))
    read = described.nin, described.nout, described.nargs, described.ntypes
    if read != (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes):  # another layout than the one known here
        return None
    try:
        i = ufunc.types.index(f"{types[: ufunc.nin]}->{types[ufunc.nin :]}")
    except ValueError:
        return None
    function = described.functions[i]
    return None if function is None else (function, described.data[i] or 0)
