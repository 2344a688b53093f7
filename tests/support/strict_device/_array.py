"""The array class of the stand-in: a NumPy array behind the refusals and the synchronisations of `cupy.ndarray`."""

from __future__ import annotations

import copy as _copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

from ._counters import record_synchronisation, record_upload, record_work


def words(text: str) -> frozenset[str]:
    """The set of the words of `text`: a readable way to write down many names."""
    return frozenset(text.split())


# A ufunc of CuPy takes these keywords and no others; in particular it has no public `where`.
_UFUNC_KEYWORDS = words("out dtype casting")
# NumPy's reductions and creation functions take these, CuPy's do not.
_UNKNOWN_KEYWORDS = words("initial where correction mean like")
# Parameters that shape the launch of a kernel and so have to be known on the host. NumPy would take a 0-d array here.
_HOST_PARAMETERS = words(
    "axis axes axis1 axis2 axisa axisb axisc ddof decimals destination dtype indices_or_sections keepdims "
    "k M N newshape num offset order pad_width repeats reps shape source"
)
# The types CUDA's atomic operations cover; CuPy refuses the rest when it scatters through an index array.
_SCATTER_TYPES = {
    "add": (np.int32, np.uint32, np.uint64, np.float16, np.float32, np.float64),
    "maximum": (np.int32, np.uint32, np.uint64, np.float32, np.float64),
    "minimum": (np.int32, np.uint32, np.uint64, np.float32, np.float64),
}


class Flags:
    """Memory layout of an array. As in CuPy there is no `writeable`."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous: bool = flags.c_contiguous
        self.f_contiguous: bool = flags.f_contiguous
        self.owndata: bool = flags.owndata

    def __getitem__(self, name: str) -> bool:
        return {
            "C_CONTIGUOUS": self.c_contiguous,
            "F_CONTIGUOUS": self.f_contiguous,
            "OWNDATA": self.owndata,
        }[name]


class ndarray:
    """An array that lives, as far as its user can tell, on a device.

    Only what `cupy.ndarray` has is here. `__index__`, `__contains__` and `__imatmul__` are missing because CuPy has
    none: a device value cannot be a loop bound or a shape, and `a @= b` rebinds the name instead of writing in place.
    """

    __slots__ = ("_data",)
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    _data: np.ndarray

    def __init__(self, shape: int | tuple[int, ...], dtype: Any = float, order: str = "C") -> None:
        record_work("empty")
        self._data = _supported(np.empty(shape, dtype, order))

    # Host-side facts: no synchronisation.

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def strides(self) -> tuple[int, ...]:
        return self._data.strides

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def itemsize(self) -> int:
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    @property
    def flags(self) -> Flags:
        return Flags(self._data.flags)

    @property
    def base(self) -> ndarray | None:
        return None if self._data.base is None else wrap(self._data.base)

    def __len__(self) -> int:
        return len(self._data)

    # Views.

    @property
    def T(self) -> ndarray:
        return wrap(self._data.T)

    @property
    def mT(self) -> ndarray:
        return wrap(self._data.mT)

    @property
    def real(self) -> ndarray:
        return wrap(self._data.real, (self,))

    @property
    def imag(self) -> ndarray:
        return wrap(self._data.imag)

    # Values that reach the host: one synchronisation each.

    def _fetch(self) -> np.ndarray:
        record_synchronisation()
        return self._data

    def get(self, stream: None = None, order: str = "C", out: np.ndarray | None = None) -> np.ndarray:
        """Copy the array to host memory."""
        if stream is not None:
            raise NotImplementedError("the stand-in has no streams")
        if out is None:
            return np.array(self._fetch(), order=order)
        if not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        if out.dtype != self.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        if out.shape != self.shape:
            raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual shape: {out.shape}")
        out[...] = self._fetch()
        return out

    def item(self, *index: int) -> bool | int | float | complex:
        return self._fetch().item(*index)

    def tolist(self) -> Any:
        return self._fetch().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self._fetch().tobytes(order)

    def __bool__(self) -> bool:
        if self.size != 1:  # decided from the shape, before anything is fetched
            raise ValueError("The truth value of an array without exactly one element is ambiguous.")
        return bool(self._fetch())

    def __int__(self) -> int:
        return int(self._fetch())

    def __float__(self) -> float:
        return float(self._fetch())

    def __complex__(self) -> complex:
        return complex(self._fetch())

    def __repr__(self) -> str:
        return repr(self._fetch())

    def __str__(self) -> str:
        return str(self._fetch())

    def __format__(self, specification: str) -> str:
        data = self._fetch()
        return format(data[()] if data.ndim == 0 else data, specification)

    def __reduce__(self) -> tuple[Callable[[np.ndarray], ndarray], tuple[np.ndarray]]:
        return upload, (self.get(),)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    # Copies.

    def __copy__(self) -> ndarray:
        record_work("copy")
        return wrap(self._data.copy())

    def __deepcopy__(self, memo: dict) -> ndarray:
        record_work("copy")
        return wrap(_copy.deepcopy(self._data, memo))

    def set(self, source: np.ndarray) -> None:
        """Copy an array of the same type and shape from host memory."""
        if not isinstance(source, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if source.dtype != self.dtype:
            raise TypeError(f"{source.dtype} array cannot be set to {self.dtype} array")
        if source.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {source.shape}")
        record_upload()
        self._data[...] = source

    # Elements.

    def __iter__(self) -> Iterator[ndarray]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> ndarray:
        host_index, is_advanced = _host_index(index)
        selected = self._data[host_index]
        if is_advanced:
            record_work("getitem")
        # CuPy copies for every index array, 0-d ones too, which NumPy would treat as an integer.
        return wrap(selected.copy() if is_advanced else selected)

    def __setitem__(self, index: Any, value: Any) -> None:
        host_index, _ = _host_index(index)
        record_work("setitem")
        with np.errstate(all="ignore"):
            self._data[host_index] = unwrap_operand(value)

    def scatter_add(self, index: Any, value: Any) -> None:
        """Add `value` at `index`; repeated positions add up."""
        scatter(np.add, self, index, value)

    def scatter_max(self, index: Any, value: Any) -> None:
        """Keep the larger of the present element and `value` at `index`."""
        scatter(np.maximum, self, index, value)

    def scatter_min(self, index: Any, value: Any) -> None:
        """Keep the smaller of the present element and `value` at `index`."""
        scatter(np.minimum, self, index, value)

    # NumPy's dispatch protocols, NEP 13 and NEP 18.

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from ._functions import offered  # imported here because that module needs this class

        if method != "__call__" or not offered(ufunc.__name__):
            return NotImplemented
        if ufunc in _COMPARISONS.values():
            # `np.float32(2) < array` arrives with a 0-d array for the number (numpy issue 12142); CuPy lets that pass.
            inputs = tuple(x.item() if isinstance(x, np.ndarray) and x.ndim == 0 else x for x in inputs)
        return apply_ufunc(ufunc, inputs, kwargs)

    def __array_function__(self, function: Callable, types: Iterable[type], args: tuple, kwargs: dict) -> Any:
        from ._functions import lookup, offered

        # A function of a submodule (numpy.linalg.norm) may share its name with one of the top level.
        if function.__module__ != "numpy" or not offered(function.__name__):
            return NotImplemented
        return lookup(function.__name__)(*args, **kwargs)


# Conversion between the two sides of the wrapper.


def _supported(data: np.ndarray) -> np.ndarray:
    """Return `data`, or refuse a type no GPU has (objects, strings, dates, long doubles)."""
    if data.dtype.kind not in "biufc" or data.dtype.char in "gG":
        raise ValueError(f"Unsupported dtype {data.dtype}")
    return data


def wrap(result: Any, arguments: Iterable[Any] = ()) -> Any:
    """Put NumPy results, and those inside tuples and lists, on the device; leave anything else.

    NumPy scalars become 0-d arrays, as CuPy has no scalars. A result that is the array of one of `arguments` becomes
    that argument again, so that `f(a, out=b) is b`.
    """
    if isinstance(result, (np.ndarray, np.generic)):
        for argument in arguments:
            if isinstance(argument, ndarray) and argument._data is result:
                return argument
        wrapped = object.__new__(ndarray)
        wrapped._data = _supported(np.asarray(result))
        return wrapped
    if isinstance(result, (tuple, list)):
        items = [wrap(item, arguments) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result


def unwrap(value: Any) -> Any:
    """Take device arrays, and those inside tuples and lists, off the device; refuse NumPy arrays."""
    if isinstance(value, ndarray):
        return value._data
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if type(value) in (tuple, list):
        return type(value)(unwrap(item) for item in value)
    return value


def unwrap_operand(value: Any) -> Any:
    """Like `unwrap`, for places that take one array or one number: lists and other objects are refused too."""
    is_number = isinstance(value, (bool, int, float, complex))
    if is_number or (isinstance(value, np.generic) and value.dtype.kind in "biufc"):
        return value
    if not isinstance(value, ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return value._data


def upload(source: Any, dtype: Any = None, order: str = "K", ndmin: int = 0) -> ndarray:
    """Copy host data to the device."""
    data = _supported(np.array(source, dtype=dtype, order=order, ndmin=ndmin))
    record_upload()
    return wrap(data)


def contains_device_array(value: Any) -> bool:
    """Whether `value` is a device array or a (nested) tuple or list with one inside."""
    if type(value) in (tuple, list):
        return any(contains_device_array(item) for item in value)
    return isinstance(value, ndarray)


def _host_index(index: Any) -> tuple[tuple, bool]:
    """Translate an index, and tell whether it holds an index array.

    CuPy uploads lists and NumPy arrays given as an index. That is a hidden copy, so it is refused here.
    """
    entries: list[Any] = []
    is_advanced = False
    for entry in index if isinstance(index, tuple) else (index,):
        if isinstance(entry, ndarray):
            if entry.dtype.kind not in "biu":
                raise IndexError("arrays used as indices must be of integer or boolean type")
            if entry.dtype.kind == "b":
                record_synchronisation()  # CuPy counts the selected elements on the host
            is_advanced = True
            entries.append(entry._data)
        elif entry is None or entry is Ellipsis or isinstance(entry, slice) or _is_integer(entry):
            entries.append(entry)
        else:
            raise TypeError(f"Unsupported type {type(entry)} as an index: it would be a hidden host-to-device copy")
    if not any(entry is Ellipsis for entry in entries):
        entries.append(Ellipsis)  # makes NumPy answer a[2] with a 0-d view, as CuPy does, rather than with a scalar
    return tuple(entries), is_advanced


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


# Calls.


def apply_ufunc(ufunc: np.ufunc, inputs: tuple, kwargs: Mapping[str, Any]) -> Any:
    """Call a NumPy ufunc the way CuPy's ufunc of the same name would run."""
    unknown = sorted(set(kwargs) - _UFUNC_KEYWORDS)
    if unknown:
        raise TypeError(f"Wrong arguments {unknown}")
    keywords = dict(kwargs)
    outputs = keywords.pop("out", None)
    if outputs is None:
        outputs = inputs[ufunc.nin :]  # the outputs may also follow the inputs
    elif not isinstance(outputs, tuple):
        outputs = (outputs,)
    for output in outputs:
        if output is not None and not isinstance(output, ndarray):
            raise TypeError(f"Unsupported type {type(output)}")
    operands = [unwrap_operand(value) for value in inputs[: ufunc.nin]]
    if outputs:
        keywords["out"] = unwrap(outputs)
    record_work(ufunc.__name__)
    with np.errstate(all="ignore"):  # a GPU divides by zero without a word
        return wrap(ufunc(*operands, **keywords), outputs)


def call(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> Any:
    """Call a NumPy function or an unbound method of its arrays with device arrays."""
    unknown = sorted(_UNKNOWN_KEYWORDS & set(kwargs))
    if unknown:
        raise TypeError(f"CuPy's {function.__name__}() has no argument {unknown}")
    _refuse_device_values_for_host_parameters(function, args, kwargs)
    host_args = [unwrap(value) for value in args]
    host_kwargs = {name: unwrap(value) for name, value in kwargs.items()}
    with np.errstate(all="ignore"):
        result = function(*host_args, **host_kwargs)
    if host_kwargs.get("out") is not None or not _is_view_or_fact(result, (*host_args, *host_kwargs.values())):
        record_work(function.__name__)
    return wrap(result, (*args, *kwargs.values()))


def _is_view_or_fact(result: Any, arguments: Iterable[Any]) -> bool:
    """Whether a result lies in the memory of an argument, or is something that the host knows, such as a shape."""
    if isinstance(result, (tuple, list)):
        return all(_is_view_or_fact(item, arguments) for item in result)
    if isinstance(result, np.ndarray):
        return any(isinstance(x, np.ndarray) and np.may_share_memory(result, x) for x in arguments)
    return result is not None and not isinstance(result, np.generic)


def _refuse_device_values_for_host_parameters(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> None:
    """Raise TypeError where a shape, an axis or the like is a device array: CuPy's arrays have no `__index__`."""
    try:
        arguments = _signature(function).bind_partial(*args, **kwargs).arguments
    except TypeError:  # wrong arguments: NumPy words that better
        arguments = dict(kwargs)
    for name, value in arguments.items():
        if name in _HOST_PARAMETERS and contains_device_array(value):
            raise TypeError(f"'ndarray' object cannot be interpreted as an integer: {function.__name__}({name}=...)")


@cache
def _signature(function: Callable) -> inspect.Signature:
    return inspect.signature(function)


def scatter(operation: np.ufunc, target: ndarray, index: Any, value: Any) -> None:
    """Apply `operation` at `index` in place, with CuPy's limits on the type."""
    host_index, is_advanced = _host_index(index)
    if is_advanced and target.dtype.type not in _SCATTER_TYPES[operation.__name__]:
        raise TypeError(f"scatter with {operation.__name__} does not support {target.dtype}")
    # CuPy casts without a check here, NumPy's `at` would refuse to.
    record_work(f"{operation.__name__}.at")
    update = np.asarray(unwrap_operand(value)).astype(target.dtype)
    operation.at(target._data, host_index, update)


# Operators and methods, one line of a table each.

_BINARY_OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "matmul": np.matmul,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "divmod": np.divmod,
    "pow": np.power,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
_WITHOUT_IN_PLACE_FORM = ("matmul", "divmod")
_COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_UNARY_OPERATORS = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
_METHODS = words(
    "all any argmax argmin argpartition argsort astype clip conj conjugate copy cumprod cumsum diagonal dot fill "
    "flatten max mean min partition prod ravel repeat reshape round searchsorted sort squeeze std sum swapaxes take "
    "trace transpose var view"
)
# CuPy has to learn the size of the result, or whether an index was wrong, before it can go on.
_SYNCHRONISING_METHODS = words("choose compress nonzero put")


def _operator(ufunc: np.ufunc) -> Callable:
    def operate(self: ndarray, other: Any) -> Any:
        return NotImplemented if _defers_to(other) else apply_ufunc(ufunc, (self, other), {})

    return operate


def _reflected_operator(ufunc: np.ufunc) -> Callable:
    def operate(self: ndarray, other: Any) -> Any:
        return apply_ufunc(ufunc, (other, self), {})

    return operate


def _in_place_operator(ufunc: np.ufunc) -> Callable:
    def operate(self: ndarray, other: Any) -> ndarray:
        return apply_ufunc(ufunc, (self, other), {"out": self})

    return operate


def _unary_operator(ufunc: np.ufunc) -> Callable:
    def operate(self: ndarray) -> ndarray:
        return apply_ufunc(ufunc, (self,), {})

    return operate


def _method(name: str, synchronises: bool) -> Callable:
    function = getattr(np.ndarray, name)

    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        if synchronises:
            record_synchronisation()
        return call(function, (self, *args), kwargs)

    return method


def _defers_to(other: Any) -> bool:
    """Whether `other` asks, by NumPy's rules, to handle operators with arrays itself."""
    if isinstance(other, (ndarray, np.ndarray, np.generic)):
        return False
    opts_out = getattr(other, "__array_ufunc__", False) is None
    return opts_out or getattr(other, "__array_priority__", 0) > ndarray.__array_priority__


def _attach(name: str, function: Callable) -> None:
    function.__name__ = name
    function.__qualname__ = f"ndarray.{name}"
    setattr(ndarray, name, function)


for _name, _ufunc in _BINARY_OPERATORS.items():
    _attach(f"__{_name}__", _operator(_ufunc))
    _attach(f"__r{_name}__", _reflected_operator(_ufunc))
    if _name not in _WITHOUT_IN_PLACE_FORM:
        _attach(f"__i{_name}__", _in_place_operator(_ufunc))
for _name, _ufunc in _COMPARISONS.items():
    _attach(f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in _UNARY_OPERATORS.items():
    _attach(f"__{_name}__", _unary_operator(_ufunc))
for _name in (*_METHODS, *_SYNCHRONISING_METHODS):
    _attach(_name, _method(_name, synchronises=_name in _SYNCHRONISING_METHODS))
