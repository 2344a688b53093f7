"""Traces the forward of an operation down to the array functions that it calls.

The forward runs again on a subclass of NumPy's arrays, which records each function called with them and an array for
its result: `sigmoid` becomes `np.absolute(x, a)`, `np.negative(a, b)` and so on. Repeating these calls gives the
same numbers without the forward's Python, and allocates nothing. A forward that does anything that cannot be traced,
such as reading a number or using an array from elsewhere, is not traced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigan.gan.replay.memory import flatten_results, owner
from minigan_kernels.recorded_calls import Call


def trace(forward: Callable[..., Any], arrays: Sequence[Any]) -> tuple[list[Call], tuple[np.ndarray, ...]] | None:
    """The array functions that `forward(*arrays)` calls, and its results in one tuple; None if it cannot be traced.

    Each call writes into an array made for it, and later calls and the results view these arrays.
    """
    tracer = _Tracer()
    try:
        returned = forward(*map(tracer.argument, arrays))
        return tracer.calls, tuple(map(tracer.array, flatten_results(returned)))
    except Exception:  # a forward may raise anything on arrays that cannot be read
        return None
    finally:
        tracer.calls, tracer.known = [], {}  # views of an argument keep the tracer alive


class _UntraceableError(Exception):
    pass


class _Tracer:
    """Makes the calls of a forward and records them in `calls`.

    known: by id, the arrays that own the memory whose contents a replay reproduces. argument_ids: the ids of those that
    own the memory of the forward's arguments, which must not be written.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.known: dict[int, np.ndarray] = {}
        self.argument_ids: set[int] = set()

    def argument(self, x: Any) -> Any:
        """The argument `x` of the forward, traced if it is an array."""
        if not isinstance(x, np.ndarray):
            return x
        self.argument_ids.add(id(owner(x)))
        return self._traced(x)

    def array(self, x: Any) -> np.ndarray:
        """The traced array `x` as a plain array."""
        if type(x) is not _Traced or id(owner(x)) not in self.known:
            raise _UntraceableError
        return x.view(np.ndarray)

    def plain(self, x: Any) -> Any:
        """The traced array `x` as a plain array, or the Python number `x`; refuses NumPy scalars, read from arrays."""
        return x if type(x) in (bool, int, float) else self.array(x)

    def call_ufunc(self, function: np.ufunc, *inputs: Any) -> _Traced:
        """function(*inputs)."""
        operands = _convert_numbers([self.plain(x) for x in inputs])
        out = np.asarray(function(*operands))
        return self._record(_OUT_BY_NAME.get(function, function), (*operands, out), len(operands))

    def reduce(
        self, function: np.ufunc, x: Any, *, axis: Any, keepdims: bool, dtype: None = None, where: bool = True
    ) -> _Traced:
        """function.reduce(x, axis, keepdims=keepdims)."""
        if dtype is not None or where is not True:
            raise _UntraceableError
        array = self.array(x)
        out = np.asarray(function.reduce(array, axis=axis, keepdims=keepdims))
        return self._record(function.reduce, (array, axis, None, out, keepdims), 3)

    def where(self, condition: Any, a: Any, b: Any) -> _Traced:
        """np.where(condition, a, b)."""
        condition, a, b = self.array(condition), self.plain(a), self.plain(b)
        if condition.dtype != bool:
            raise _UntraceableError
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
        selected = self.array(target[key])
        if id(owner(selected)) in self.argument_ids:
            raise _UntraceableError
        self._copy(selected, self.plain(value))

    def astype(self, x: Any, dtype: Any) -> _Traced:
        """x.astype(dtype)."""
        array = self.array(x)
        out = array.astype(dtype)
        return self._record(np.copyto, (out, array, "unsafe"), 0)

    def _copy(self, out: np.ndarray, x: Any, condition: np.ndarray | None = None) -> None:
        value = x if isinstance(x, np.ndarray) else np.asarray(x, out.dtype)
        arguments = (out, value) if condition is None else (out, value, "same_kind", condition)
        np.copyto(*arguments)
        self.calls.append(Call(np.copyto, arguments, (0,)))

    def _record(self, function: Callable[..., Any], arguments: tuple[Any, ...], written: int) -> _Traced:
        self.calls.append(Call(function, arguments, (written,)))
        return self._traced(arguments[written])

    def _traced(self, array: np.ndarray) -> _Traced:
        memory = owner(array)
        self.known[id(memory)] = memory
        traced = array.view(_Traced)
        traced._tracer = self
        return traced


class _OutByName:
    """Calls `ufunc`, which takes `out` by name only."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self.ufunc = ufunc

    def __call__(self, a: Any, b: Any, out: np.ndarray) -> None:
        self.ufunc(a, b, out=out)


_OUT_BY_NAME: dict[np.ufunc, Callable[..., Any]] = {ufunc: _OutByName(ufunc) for ufunc in (np.maximum, np.minimum)}
# Attributes that do not depend on the numbers in an array, and methods that are traced.
_TRACEABLE = {
    "T", "__class__", "_tracer", "astype", "base", "copy", "dtype", "flags", "itemsize", "max", "min", "nbytes", "ndim",
    "reshape", "shape", "size", "squeeze", "strides", "sum", "transpose", "view",
}  # fmt: skip
_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.where: _Tracer.where,
    np.concatenate: _Tracer.concatenate,
    np.full_like: _Tracer.full_like,
    np.zeros_like: _Tracer.zeros_like,
}


class _Traced(np.ndarray):
    """An array whose tracer records the functions called with it; raises _UntraceableError for any other access."""

    _tracer: _Tracer

    def __array_finalize__(self, source: Any) -> None:
        if isinstance(source, _Traced):
            self._tracer = source._tracer

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "reduce":
            return self._tracer.reduce(ufunc, *inputs, **options)
        if method != "__call__" or options or ufunc.nout != 1:
            raise _UntraceableError
        return self._tracer.call_ufunc(ufunc, *inputs)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        return _FUNCTIONS[function](self._tracer, *arguments, **options)

    def __getattribute__(self, name: str) -> Any:
        if name not in _TRACEABLE:
            raise _UntraceableError
        return super().__getattribute__(name)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._tracer.assign(self, key, value)

    def __getitem__(self, key: Any) -> Any:
        view = super().__getitem__(key)
        self._tracer.array(view)  # raises for a copy or a number
        return view

    def copy(self, order: Any = "C") -> Any:
        if order != "C":
            raise _UntraceableError
        return self._tracer.astype(self, self.dtype)

    def astype(self, dtype: Any) -> Any:  # type: ignore[override]
        return self._tracer.astype(self, dtype)

    def _refuse(self, *_: Any) -> Any:
        raise _UntraceableError

    __bool__ = __int__ = __float__ = __complex__ = __index__ = __iter__ = __contains__ = _refuse


def _convert_numbers(operands: list[Any]) -> list[Any]:
    """`operands` with Python numbers as arrays of the common floating dtype of the others, if they have one.

    NumPy would make the same conversion at each call, which takes longer than a small sum.
    """
    dtypes = {x.dtype for x in operands if isinstance(x, np.ndarray)}
    dtype = dtypes.pop()
    if dtypes or dtype.kind != "f":
        return operands
    return [x if isinstance(x, np.ndarray) else np.asarray(x, dtype) for x in operands]
