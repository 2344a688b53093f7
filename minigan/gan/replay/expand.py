"""Takes the forward of an operation apart into the array functions that it calls.

The forward runs again on arrays of a subclass of NumPy's, which note the functions that are called with them, each with
an array for its result: `sigmoid` becomes `np.absolute(x, a)`, `np.negative(a, b)` and so on. Made again, these calls
give the same numbers without the Python of the forward, and allocate nothing. A forward that does what is not
understood here, such as to read a number or to use an array from elsewhere, is left whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigan.gan.replay.memory import flattened, owner
from minigan_kernels.recorded_calls import Call


def expanded(forward: Callable[..., Any], arrays: Sequence[Any]) -> tuple[list[Call], tuple[np.ndarray, ...]] | None:
    """The calls that `forward(*arrays)` makes, and its results one after another.

    Each call writes an array made for it, the views of which are what later calls and the results look at. None if the
    forward does what is not understood.
    """
    trace = _Trace()
    try:
        found = forward(*map(trace.argument, arrays))
        return trace.calls, tuple(map(trace.array, flattened(found)))
    except Exception:  # any code may stumble over arrays that cannot be read
        return None
    finally:
        trace.calls, trace.known = [], {}  # what looks at an argument keeps its trace


class _NotUnderstoodError(Exception):
    pass


class _Trace:
    """The calls noted so far. known: the arrays whose memory holds what a replay will find there, by identity.

    given: the identities of those that the forward was given.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.known: dict[int, np.ndarray] = {}
        self.given: set[int] = set()

    def argument(self, x: Any) -> Any:
        """`x` as the forward is given it."""
        if not isinstance(x, np.ndarray):
            return x
        self.given.add(id(owner(x)))
        return self._traced(x)

    def array(self, x: Any) -> np.ndarray:
        """The plain array that a traced one is."""
        if type(x) is not _Traced or id(owner(x)) not in self.known:
            raise _NotUnderstoodError
        return x.view(np.ndarray)

    def plain(self, x: Any) -> Any:
        """The plain array that a traced one is, or a Python number; NumPy's numbers were read from some array."""
        return x if type(x) in (bool, int, float) else self.array(x)

    def called(self, function: np.ufunc, *inputs: Any) -> _Traced:
        """function(*inputs)."""
        operands = _of_one_type([self.plain(x) for x in inputs])
        out = np.asarray(function(*operands))
        return self._note(_INTO.get(function, function), (*operands, out), len(operands))

    def reduced(
        self, function: np.ufunc, x: Any, *, axis: Any, keepdims: bool, dtype: None = None, where: bool = True
    ) -> _Traced:
        """function.reduce(x, axis, keepdims=keepdims)."""
        if dtype is not None or where is not True:
            raise _NotUnderstoodError
        array = self.array(x)
        out = np.asarray(function.reduce(array, axis=axis, keepdims=keepdims))
        return self._note(function.reduce, (array, axis, None, out, keepdims), 3)

    def where(self, condition: Any, a: Any, b: Any) -> _Traced:
        """np.where(condition, a, b)."""
        condition, a, b = self.array(condition), self.plain(a), self.plain(b)
        if condition.dtype != bool:
            raise _NotUnderstoodError
        out = np.where(condition, a, b)
        self._copy(out, b)
        self._copy(out, a, condition)
        return self._traced(out)

    def concatenate(self, parts: Sequence[Any], axis: int = 0) -> _Traced:
        """np.concatenate(parts, axis)."""
        arrays = [self.array(part) for part in parts]
        out = np.concatenate(arrays, axis)
        along, start = np.moveaxis(out, axis, 0), 0
        for array in arrays:
            self._copy(along[start : start + array.shape[axis]], np.moveaxis(array, axis, 0))
            start += array.shape[axis]
        return self._traced(out)

    def full_like(self, x: Any, value: Any, **options: Any) -> _Traced:
        """np.full_like(x, value, ...)."""
        value = self.plain(value)
        out = np.full_like(self.array(x), value, **options)
        self._copy(out, value)
        return self._traced(out)

    def zeros_like(self, x: Any, **options: Any) -> _Traced:
        """np.zeros_like(x, ...)."""
        return self.full_like(x, 0, **options)

    def assign(self, target: Any, key: Any, value: Any) -> None:
        """target[key] = value."""
        place = self.array(target[key])
        if id(owner(place)) in self.given:
            raise _NotUnderstoodError
        self._copy(place, self.plain(value))

    def converted(self, x: Any, dtype: Any) -> _Traced:
        """x.astype(dtype)."""
        array = self.array(x)
        out = array.astype(dtype)
        return self._note(np.copyto, (out, array, "unsafe"), 0)

    def _copy(self, out: np.ndarray, x: Any, condition: np.ndarray | None = None) -> None:
        value = x if isinstance(x, np.ndarray) else np.asarray(x, out.dtype)
        arguments = (out, value) if condition is None else (out, value, "same_kind", condition)
        np.copyto(*arguments)
        self.calls.append(Call(np.copyto, arguments, (0,)))

    def _note(self, function: Callable[..., Any], arguments: tuple[Any, ...], written: int) -> _Traced:
        self.calls.append(Call(function, arguments, (written,)))
        return self._traced(arguments[written])

    def _traced(self, array: np.ndarray) -> _Traced:
        memory = owner(array)
        self.known[id(memory)] = memory
        traced = array.view(_Traced)
        traced._trace = self
        return traced


# Of these two NumPy does not want `out` by its place.
_INTO: dict[np.ufunc, Callable[..., Any]] = {
    np.maximum: lambda a, b, out: np.maximum(a, b, out=out),
    np.minimum: lambda a, b, out: np.minimum(a, b, out=out),
}
# What tells nothing of the numbers in an array, or is noted.
_UNDERSTOOD = {
    "T", "__class__", "_trace", "astype", "base", "copy", "dtype", "flags", "itemsize", "max", "min", "nbytes", "ndim",
    "reshape", "shape", "size", "squeeze", "strides", "sum", "transpose", "view",
}  # fmt: skip
_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: _Trace.where,
    np.concatenate: _Trace.concatenate,
    np.full_like: _Trace.full_like,
    np.zeros_like: _Trace.zeros_like,
}


class _Traced(np.ndarray):
    """An array that tells its trace what is called with it, and refuses to be read in any other way."""

    _trace: _Trace

    def __array_finalize__(self, source: Any) -> None:
        if isinstance(source, _Traced):
            self._trace = source._trace

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "reduce":
            return self._trace.reduced(ufunc, *inputs, **options)
        if method != "__call__" or options or ufunc.nout != 1:
            raise _NotUnderstoodError
        return self._trace.called(ufunc, *inputs)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        return _FUNCTIONS[function](self._trace, *arguments, **options)

    def __getattribute__(self, name: str) -> Any:
        if name not in _UNDERSTOOD:
            raise _NotUnderstoodError
        return super().__getattribute__(name)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._trace.assign(self, key, value)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self._trace.array(found)  # not a copy, and not a number
        return found

    def copy(self, order: Any = "C") -> Any:
        if order != "C":
            raise _NotUnderstoodError
        return self._trace.converted(self, self.dtype)

    def astype(self, dtype: Any) -> Any:  # type: ignore[override]
        return self._trace.converted(self, dtype)

    def _refuse(self, *_: Any) -> Any:
        raise _NotUnderstoodError

    __bool__ = __int__ = __float__ = __complex__ = __index__ = __iter__ = __contains__ = _refuse


def _of_one_type(operands: list[Any]) -> list[Any]:
    """The operands with Python numbers as arrays of the type of the others, where that is one and floating: what NumPy
    makes of them at each call, which takes longer than a small sum."""
    dtypes = {x.dtype for x in operands if isinstance(x, np.ndarray)}
    dtype = dtypes.pop()
    if dtypes or dtype.kind != "f":
        return operands
    return [x if isinstance(x, np.ndarray) else np.asarray(x, dtype) for x in operands]
