"""The functions, types and constants of the stand-in, found by name."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import cuda
from ._array import apply_ufunc, call, compute, contains_device_array, like, ndarray, run, scatter, upload, words, wrap
from ._counters import record_synchronisation, record_work
from .cuda import is_available, memory

NAMES: dict[str, Any] = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))
_MODULE_NAMES = frozenset(NAMES["module"])

# CuPy has these, but a test of device code has no use for them: files, text, host callbacks, helper objects.
_NOT_OFFERED = words(
    "apply_along_axis apply_over_axes array2string array_repr array_str asarray_chkfinite broadcast c_ flatiter "
    "from_dlpack frombuffer fromfile fromfunction fromiter fromstring genfromtxt load loadtxt mgrid ogrid piecewise "
    "poly poly1d polyadd polyfit polymul polysub polyval r_ roots save savetxt savez savez_compressed show_config "
    "ufunc vectorize"
)
# These ask for shapes and types only, on the host.
_HOST_FUNCTIONS = words(
    "base_repr binary_repr broadcast_shapes can_cast common_type format_float_positional format_float_scientific "
    "get_printoptions iscomplexobj isdtype isfortran isrealobj isscalar issubdtype iterable may_share_memory "
    "min_scalar_type mintypecode ndim printoptions promote_types result_type set_printoptions shape shares_memory "
    "size typename"
)
# These make an array out of numbers, on the device and without a copy.
_CREATION_FUNCTIONS = words(
    "arange bartlett blackman diag_indices empty eye full hamming hanning identity indices kaiser linspace logspace "
    "mask_indices ones tri tril_indices triu_indices zeros"
)
# CuPy fetches a value from the device inside these: the size of the result, or whether an argument was in range.
_SYNCHRONISING_FUNCTIONS = words(
    "argwhere bincount choose compress extract flatnonzero histogram histogram2d histogramdd intersect1d nonzero "
    "percentile place put quantile ravel_multi_index setdiff1d setxor1d trim_zeros union1d unique unique_all "
    "unique_counts unique_inverse unique_values unravel_index"
)
# NumPy answers these with a Python scalar, CuPy with a 0-d array.
_WITH_0D_RESULT = words("allclose array_equal array_equiv count_nonzero")
# Every entry of the sequence these take has to be a device array.
_JOINING_FUNCTIONS = words("column_stack concat concatenate dstack hstack stack vstack")


def array(
    obj: Any, dtype: Any = None, copy: bool = True, order: str = "K", subok: bool = False, ndmin: int = 0
) -> ndarray:
    """Make a device array: from another one, from a list of them, or as an upload of host data."""
    if subok:
        raise NotImplementedError("CuPy's array() has no subok")
    if isinstance(obj, ndarray):
        keywords = {"dtype": dtype, "copy": copy or None, "order": order, "ndmin": ndmin}
        converted = run(np.array, (obj._data,), keywords, (obj,))
        if converted is not obj and converted._base is None:
            record_work("array")
        return converted
    if contains_device_array(obj):
        record_work("array")
        return compute(np.array, (_host_items(obj),), {"dtype": dtype, "order": order, "ndmin": ndmin})
    return upload(obj, dtype, order, ndmin)


def asarray(a: Any, dtype: Any = None, order: str | None = None) -> ndarray:
    """Like `array`, without a copy where `a` already is a device array of that type."""
    return array(a, dtype, copy=False, order=order or "K")


def _host_items(items: Any) -> Any:
    """Unwrap a nested sequence of device arrays; CuPy cannot join them with anything else."""
    if isinstance(items, ndarray):
        return items._data
    if type(items) in (tuple, list):
        return [_host_items(item) for item in items]
    raise TypeError(f"Unsupported type {type(items)} in a sequence of device arrays")


def asnumpy(a: Any) -> np.ndarray:
    """Copy a device array to the host; NumPy arrays and numbers pass without a synchronisation."""
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def get_array_module(*args: Any) -> types.ModuleType:
    """The stand-in if any argument is a device array, else NumPy."""
    import cupy

    return cupy if any(isinstance(value, ndarray) for value in args) else np


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """An array that nobody has written."""
    if contains_device_array(shape):
        raise TypeError("empty() needs host numbers: a device array would have to be fetched first")
    return ndarray(shape, dtype, order=order)


def empty_like(
    prototype: ndarray, dtype: Any = None, order: str = "K", subok: None = None, shape: Any = None
) -> ndarray:
    """An array that nobody has written, with the shape, dtype and order of another one."""
    if not isinstance(prototype, ndarray):
        raise TypeError(f"Unsupported type {type(prototype)}: empty_like() needs a device array")
    record_work("empty_like")
    return like(np.empty_like(prototype._data, dtype, order, shape=shape))


_OWN = {
    function.__name__: function
    for function in (array, asarray, asnumpy, empty, empty_like, get_array_module, is_available, ndarray)
} | {
    "asanyarray": asarray,
    "get_default_memory_pool": lambda: memory.DEFAULT_POOL,
    "is_available": is_available,
    "cuda": cuda,
}


class StrictUfunc:
    """A ufunc with what CuPy's ufuncs have: calls for all, `reduce`, `accumulate` and `at` for very few."""

    def __init__(self, numpy_ufunc: np.ufunc) -> None:
        self._ufunc = numpy_ufunc
        self.__name__ = numpy_ufunc.__name__
        self.nin, self.nout, self.nargs = numpy_ufunc.nin, numpy_ufunc.nout, numpy_ufunc.nargs

    def __repr__(self) -> str:
        return f"<ufunc 'cupy.{self.__name__}'>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return apply_ufunc(self._ufunc, args, kwargs)

    def reduce(
        self, array: ndarray, axis: Any = 0, dtype: Any = None, out: ndarray | None = None, keepdims: bool = False
    ) -> ndarray:
        return self._folding("reduce", array, {"add": "sum", "multiply": "prod"})(axis, dtype, out, keepdims=keepdims)

    def accumulate(self, array: ndarray, axis: int = 0, dtype: Any = None, out: ndarray | None = None) -> ndarray:
        return self._folding("accumulate", array, {"add": "cumsum", "multiply": "cumprod"})(axis, dtype, out)

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if self.__name__ not in ("add", "maximum", "minimum"):
            raise NotImplementedError(f"`{self.__name__}.at` is not supported")
        if not isinstance(a, ndarray):
            raise TypeError(f"Unsupported type {type(a)}")
        scatter(self._ufunc, a, indices, b)

    def _folding(self, kind: str, array: ndarray, methods: dict[str, str]) -> Callable:
        """The method of `array` that does what `kind` asks; CuPy has it for addition and multiplication."""
        if self.__name__ not in methods:
            raise NotImplementedError(f"`{self.__name__}.{kind}` is not supported")
        if not isinstance(array, ndarray):
            raise TypeError(f"Unsupported type {type(array)}")
        return getattr(array, methods[self.__name__])


def offered(name: str) -> bool:
    """Whether the stand-in has `name`."""
    if name in _OWN:
        return True
    if name not in _MODULE_NAMES or name in _NOT_OFFERED or not hasattr(np, name):
        return False
    return not isinstance(getattr(np, name), types.ModuleType)


@cache
def lookup(name: str) -> Any:
    """Find what the stand-in has under `name`, or raise AttributeError."""
    if not offered(name):
        reason = "CuPy has it, this stand-in does not offer it" if name in _MODULE_NAMES else "CuPy has none"
        raise AttributeError(f"module 'cupy' has no attribute {name!r} ({reason})")
    if name in _OWN:
        return _OWN[name]
    value = getattr(np, name)
    if isinstance(value, np.ufunc):
        return StrictUfunc(value)
    is_function = callable(value) and not isinstance(value, type)
    return _device_function(name, value) if is_function else value


def _device_function(name: str, function: Callable) -> Callable:
    def run(*args: Any, **kwargs: Any) -> Any:
        _check_arguments(name, args, kwargs)
        if name in _SYNCHRONISING_FUNCTIONS or (name == "where" and len(args) + len(kwargs) == 1):
            record_synchronisation()
        result = call(function, args, kwargs)
        if name in _WITH_0D_RESULT and isinstance(result, (bool, int)):
            record_work(name)
            return wrap(np.asarray(result))
        return result

    run.__name__ = run.__qualname__ = name
    run.__doc__ = function.__doc__
    return run


def _check_arguments(name: str, args: tuple, kwargs: dict[str, Any]) -> None:
    """Refuse host data where CuPy needs a device array, and the reverse."""
    if name in _HOST_FUNCTIONS:
        return
    if name in _CREATION_FUNCTIONS:
        if contains_device_array([*args, *kwargs.values()]):
            raise TypeError(f"{name}() needs host numbers: a device array would have to be fetched first")
        return
    # einsum starts with its subscripts, every other function with (one of) its arrays.
    arguments = [value for value in (*args, *kwargs.values()) if not isinstance(value, str)]
    first = arguments[0] if arguments else None
    if not contains_device_array(first):
        raise TypeError(f"Unsupported type {type(first)}: {name}() needs a device array")
    if name in _JOINING_FUNCTIONS and not isinstance(first, ndarray):
        for item in first:
            if not isinstance(item, ndarray):
                raise TypeError(f"Unsupported type {type(item)} in the arguments of {name}()")
