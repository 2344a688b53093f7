"""The array class of the stand-in: a NumPy array behind the refusals and the synchronisations of `cupy.ndarray`.

Every array lies in memory of the made-up device; NumPy computes a result in memory of its own, which is then copied
there. While the current stream captures, nothing is computed; see `_capture`.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

from ._capture import Undone, without_indices
from ._counters import record_synchronisation, record_upload, record_work
from ._device import current
from ._quiet import QUIET, error_state
from .cuda import memory as _memory
from .cuda.memory import MemoryPointer


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
_NOWHERE = 1000  # a position behind the last argument
# The types CUDA's atomic operations cover; CuPy refuses the rest when it scatters through an index array.
_SCATTER_TYPES = {
    "add": (np.int32, np.uint32, np.uint64, np.float16, np.float32, np.float64),
    "maximum": (np.int32, np.uint32, np.uint64, np.float32, np.float64),
    "minimum": (np.int32, np.uint32, np.uint64, np.float32, np.float64),
}


class Flags:
    """Memory layout of an array. As in CuPy there is no `writeable`."""

    def __init__(self, flags: Any, owndata: bool) -> None:
        self.c_contiguous: bool = flags.c_contiguous
        self.f_contiguous: bool = flags.f_contiguous
        self.owndata = owndata

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

    __slots__ = ("__weakref__", "_base", "_data", "_memory")
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    _data: np.ndarray
    """The array, in the device's memory."""

    _memory: Any
    """That memory, which is free again when the last array in it is gone; None if the array is empty."""

    _base: ndarray | None
    """The array whose memory this one shares."""

    def __init__(
        self,
        shape: int | tuple[int, ...],
        dtype: Any = float,
        memptr: MemoryPointer | None = None,
        strides: tuple[int, ...] | None = None,
        order: str = "C",
    ) -> None:
        record_work("empty")
        shape, dtype = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,), np.dtype(dtype)
        _require_supported(dtype)
        if strides is None and order != "C":
            strides = np.empty(shape, dtype, order).strides
        fresh = memptr is None
        self._data, self._memory = _fresh(shape, dtype, strides) if fresh else _placed(shape, dtype, strides, memptr)
        self._base = None

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
        return Flags(self._data.flags, self._base is None)

    @property
    def base(self) -> ndarray | None:
        return self._base

    @property
    def data(self) -> MemoryPointer:
        """Where the array lies on the device."""
        if self._memory is None:
            return MemoryPointer(_memory.BaseMemory(None, 0), 0)
        return MemoryPointer(self._memory, self._data.ctypes.data - self._memory.ptr)

    @property
    def device(self) -> Any:
        """The device on which the array lies."""
        from .cuda.device import Device

        return Device()

    def __len__(self) -> int:
        return len(self._data)

    # Views.

    @property
    def T(self) -> ndarray:
        return _view(self._data.T, self)

    @property
    def mT(self) -> ndarray:
        return _view(self._data.mT, self)

    @property
    def real(self) -> ndarray:
        return wrap(self._data.real, (self,))

    @property
    def imag(self) -> ndarray:
        return wrap(self._data.imag, (self,))

    # Values that reach the host: one synchronisation each.

    def _fetch(self) -> np.ndarray:
        record_synchronisation()
        return self._data

    def get(
        self, stream: Any = None, order: str = "C", out: np.ndarray | None = None, blocking: bool = True
    ) -> np.ndarray:
        """Copy the array to host memory."""
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
        return self.copy()

    def __deepcopy__(self, memo: dict) -> ndarray:
        return self.copy()

    def set(self, source: np.ndarray, stream: Any = None) -> None:
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
        if not is_advanced:
            return _view(self._data[host_index], self)
        record_work("getitem")
        return compute(operator.getitem, (self._data, host_index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        host_index, _ = _host_index(index)
        record_work("setitem")
        write(operator.setitem, (self._data, host_index, unwrap_operand(value)), (self,))

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


# Memory.


def _fresh(shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...] | None) -> tuple[np.ndarray, Any]:
    """An array in memory that nobody has written, and that memory."""
    size = math.prod(shape) * dtype.itemsize
    if not size:
        return np.empty(shape, dtype), None
    place = current.allocate(size)
    return _placed(shape, dtype, strides, place)


def _placed(
    shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...] | None, place: Any
) -> tuple[np.ndarray, Any]:
    """An array in given memory, and that memory."""
    if not math.prod(shape):
        return np.empty(shape, dtype), None
    memory = place.mem
    segment = memory.segment
    return np.ndarray(shape, dtype, segment.buffer, segment.start + place.offset, strides), memory


def new_array(shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...] | None = None) -> ndarray:
    """An array on the device that nobody has written."""
    array = object.__new__(ndarray)
    array._data, array._memory = _fresh(shape, dtype, strides)
    array._base = None
    return array


def _view(data: np.ndarray, owner: ndarray) -> ndarray:
    """An array in the memory of another one."""
    array = object.__new__(ndarray)
    array._data = data
    array._memory = owner._memory
    array._base = owner if owner._base is None else owner._base
    return array


def like(result: np.ndarray) -> ndarray:
    """A new array on the device with shape, dtype and order of a result of NumPy; nobody has written it."""
    dtype = result.dtype
    if dtype.char not in _SUPPORTED:
        _require_supported(dtype)
    if result.flags.c_contiguous or result.base is not None:
        return new_array(result.shape, dtype)
    return new_array(result.shape, dtype, result.strides)


_SUPPORTED = frozenset("?bBhHiIlLqQefdFD")


def _require_supported(dtype: np.dtype) -> None:
    """Refuse a type no GPU has: objects, strings, dates, long doubles."""
    if dtype.char not in _SUPPORTED:
        raise ValueError(f"Unsupported dtype {dtype}")


# Work. `arguments` are unwrapped.


def compute(function: Callable, arguments: tuple, keywords: Mapping[str, Any]) -> ndarray:
    """Let the device compute an array by a NumPy function."""
    capture = current.capture
    if capture is not None:
        capture.require_capturable(function, arguments)
    token = error_state.set(QUIET)
    try:
        result = function(*(arguments if capture is None else without_indices(arguments)), **keywords)
    finally:
        error_state.reset(token)
    if capture is None:
        return adopt(result)
    array = like(np.asarray(result))
    target = array._data

    def work() -> None:
        with np.errstate(all="ignore"):
            target[...] = function(*arguments, **keywords)

    capture.note(work, [array])
    return array


def adopt(result: Any) -> ndarray:
    """Put an array or scalar that NumPy computed on the device."""
    if type(result) is not np.ndarray:
        result = np.asarray(result)
    dtype, size = result.dtype, result.nbytes
    if dtype.char in _SUPPORTED and result.flags.c_contiguous and size:  # as `like`, spelt out for speed
        array = object.__new__(ndarray)
        place = current.allocate(size)
        array._memory = memory = place.mem
        segment = memory.segment
        array._data = data = np.ndarray(result.shape, dtype, segment.buffer, segment.start + place.offset)
        array._base = None
        data[...] = result
        return array
    array = like(result)
    array._data[...] = result
    return array


def write(function: Callable, arguments: tuple, written: tuple[ndarray, ...], keywords: Mapping[str, Any] = {}) -> Any:
    """Let the device write into `written` by a NumPy function, and return what that returns."""
    capture = current.capture
    token = error_state.set(QUIET)
    try:
        if capture is None:
            return function(*arguments, **keywords)
        with Undone(array._data for array in written):
            result = function(arguments[0], *without_indices(arguments[1:]), **keywords)
    finally:
        error_state.reset(token)

    def work() -> None:
        with np.errstate(all="ignore"):
            function(*arguments, **keywords)

    capture.note(work, written)
    return result


# Conversion between the two sides of the wrapper.


def wrap(result: Any, arguments: Iterable[Any] = (), targets: list | None = None) -> Any:
    """Put NumPy results, and those inside tuples and lists, on the device; leave anything else.

    NumPy scalars become 0-d arrays, as CuPy has no scalars. A result that is the array of one of `arguments` becomes
    that argument again, so that `f(a, out=b) is b`; one in the memory of an argument becomes a view of it. `targets`
    collects the new arrays, which are then left unwritten.
    """
    if isinstance(result, (np.ndarray, np.generic)):
        result = np.asarray(result)
        for argument in device_arrays(arguments):
            if argument._data is result:
                return argument
            if result.base is not None and result.base is argument._data.base:
                return _view(result, argument)
        if targets is None:
            return adopt(result)
        array = like(result)
        targets.append(array)
        return array
    if isinstance(result, (tuple, list)):
        items = [wrap(item, arguments, targets) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result


def device_arrays(values: Iterable[Any]) -> Iterator[ndarray]:
    """The device arrays among `values`, and in tuples and lists among them."""
    for value in values:
        if isinstance(value, ndarray):
            yield value
        elif type(value) in (tuple, list):
            yield from device_arrays(value)


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
    data = np.array(source, dtype=dtype, order=order, ndmin=ndmin)
    _require_supported(data.dtype)
    if data.ndim == 0 and current.capture is not None:  # CuPy fills the array by a kernel that gets the number
        return compute(np.asarray, (data,), {})
    record_upload()
    return adopt(data)


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
    if not kwargs and len(inputs) == ufunc.nin and ufunc.nout == 1:
        operands = tuple([x._data if type(x) is ndarray else unwrap_operand(x) for x in inputs])
        record_work(ufunc.__name__)
        return compute(ufunc, operands, kwargs)
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
    operands = tuple([unwrap_operand(value) for value in inputs[: ufunc.nin]])
    record_work(ufunc.__name__)
    if not outputs:
        return compute(ufunc, operands, keywords) if ufunc.nout == 1 else run(ufunc, operands, keywords, ())
    keywords["out"] = unwrap(outputs)
    if any(output is None for output in outputs):
        return run(ufunc, operands, keywords, outputs)
    write(ufunc, operands, outputs, keywords)
    return outputs[0] if ufunc.nout == 1 else outputs


def run(function: Callable, arguments: tuple, keywords: Mapping[str, Any], on_device: tuple) -> Any:
    """Let the device run a NumPy function whose results may be new, views of its arguments, or written into them.

    `on_device`: the arguments before they were unwrapped.
    """
    capture = current.capture
    token = error_state.set(QUIET)
    try:
        if capture is None:
            result = function(*arguments, **keywords)
            is_new = type(result) is np.ndarray and result.base is None and result.size
            return adopt(result) if is_new else wrap(result, on_device)
        capture.require_capturable(function, arguments)
        with Undone(array._data for array in device_arrays(on_device)):
            result = function(*arguments[:1], *without_indices(arguments[1:]), **keywords)
    finally:
        error_state.reset(token)
    return _captured(capture, function, arguments, keywords, on_device, result)


def _captured(
    capture: Any, function: Callable, arguments: tuple, keywords: Mapping[str, Any], on_device: tuple, result: Any
) -> Any:
    """Note a call, and return its result unwritten."""
    new: list[ndarray] = []
    wrapped = wrap(result, on_device, new)
    if not new and _is_view_or_fact(result, arguments) and not _is_given_out(function, arguments, keywords):
        return wrapped  # a view, or a fact that the host knows
    targets = [array._data for array in new]

    def work() -> None:
        with np.errstate(all="ignore"):
            again = function(*arguments, **keywords)
        for target, value in zip(targets, _new_results(again, arguments), strict=True):
            target[...] = value

    capture.note(work, [*device_arrays(on_device), *new])
    return wrapped


def _new_results(result: Any, arguments: Iterable[Any]) -> Iterator[Any]:
    """The arrays and scalars in a result that are not in the memory of an argument."""
    if isinstance(result, (tuple, list)):
        for item in result:
            yield from _new_results(item, arguments)
    elif isinstance(result, np.generic) or (
        isinstance(result, np.ndarray) and not any(_shares(result, x) for x in _host_arrays(arguments))
    ):
        yield result


def _shares(result: np.ndarray, argument: np.ndarray) -> bool:
    return result is argument or (result.base is not None and result.base is argument.base)


def _host_arrays(values: Iterable[Any]) -> Iterator[np.ndarray]:
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif type(value) in (tuple, list):
            yield from _host_arrays(value)


def call(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> Any:
    """Call a NumPy function or an unbound method of its arrays with device arrays."""
    host_args = tuple([x._data if type(x) is ndarray else unwrap(x) for x in args])
    host_kwargs, on_device = kwargs, args
    if kwargs:
        unknown = sorted(_UNKNOWN_KEYWORDS & set(kwargs))
        if unknown:
            raise TypeError(f"CuPy's {function.__name__}() has no argument {unknown}")
        host_kwargs = {name: unwrap(value) for name, value in kwargs.items()}
        on_device = (*args, *kwargs.values())
    if len(on_device) > 1:
        _refuse_device_values_for_host_parameters(function, args, kwargs)
    result = run(function, host_args, host_kwargs, on_device)
    if _is_given_out(function, args, kwargs) or not _is_view_or_fact_of(result, on_device):
        record_work(function.__name__)
    return result


def _is_view_or_fact_of(result: Any, arguments: Iterable[Any]) -> bool:
    """Whether a result lies in the memory of an argument, or is something that the host knows, such as a shape."""
    if type(result) is ndarray:
        return result._base is not None or any(result is x for x in device_arrays(arguments))
    if isinstance(result, (tuple, list)):
        return all(_is_view_or_fact_of(item, arguments) for item in result)
    return result is not None


def _is_view_or_fact(result: Any, arguments: Iterable[Any]) -> bool:
    """Whether a result lies in the memory of an argument, or is something that the host knows, such as a shape."""
    if isinstance(result, (tuple, list)):
        return all(_is_view_or_fact(item, arguments) for item in result)
    if isinstance(result, np.ndarray):
        return any(isinstance(x, np.ndarray) and np.may_share_memory(result, x) for x in arguments)
    return result is not None and not isinstance(result, np.generic)


def _refuse_device_values_for_host_parameters(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> None:
    """Raise TypeError where a shape, an axis or the like is a device array: CuPy's arrays have no `__index__`."""
    for name, value in kwargs.items():
        if type(value) is not int and name in _HOST_PARAMETERS and contains_device_array(value):
            _refuse_as_integer(function, name)
    if len(args) > 1:
        positions, rest, rest_name = _host_positions(function)
        for i, name in positions:
            if i < len(args) and type(args[i]) is not int and contains_device_array(args[i]):
                _refuse_as_integer(function, name)
        if contains_device_array(args[rest:]):
            _refuse_as_integer(function, rest_name)


def _is_given_out(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call names an array to write into."""
    position = _out_position(function)
    return (len(args) > position and args[position] is not None) or kwargs.get("out") is not None


@cache
def _out_position(function: Callable) -> int:
    names = list(inspect.signature(function).parameters)
    return names.index("out") if "out" in names else _NOWHERE


def _refuse_as_integer(function: Callable, parameter: str) -> None:
    raise TypeError(f"'ndarray' object cannot be interpreted as an integer: {function.__name__}({parameter}=...)")


@cache
def _host_positions(function: Callable) -> tuple[list[tuple[int, str]], int, str]:
    """Where `function` takes values of the host: (position, name) of each, and those of `*shape` or the like."""
    parameters = list(inspect.signature(function).parameters.values())
    named = [(i, p.name) for i, p in enumerate(parameters) if p.name in _HOST_PARAMETERS]
    for i, parameter in enumerate(parameters):
        if parameter.kind is parameter.VAR_POSITIONAL and parameter.name in _HOST_PARAMETERS:
            return [pair for pair in named if pair[0] < i], i, parameter.name
    return named, _NOWHERE, ""


def scatter(operation: np.ufunc, target: ndarray, index: Any, value: Any) -> None:
    """Apply `operation` at `index` in place, with CuPy's limits on the type."""
    host_index, is_advanced = _host_index(index)
    if is_advanced and target.dtype.type not in _SCATTER_TYPES[operation.__name__]:
        raise TypeError(f"scatter with {operation.__name__} does not support {target.dtype}")
    # CuPy casts without a check here, NumPy's `at` would refuse to.
    record_work(f"{operation.__name__}.at")
    write(_scatter, (target._data, operation, host_index, unwrap_operand(value)), (target,))


def _scatter(target: np.ndarray, operation: np.ufunc, index: tuple, value: Any) -> None:
    operation.at(target, index, np.asarray(value).astype(target.dtype))


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


_NO_KEYWORDS: dict[str, Any] = {}


def _operator(ufunc: np.ufunc) -> Callable:
    if ufunc.nout > 1 or ufunc is np.matmul:
        return lambda self, other: NotImplemented if _defers_to(other) else apply_ufunc(ufunc, (self, other), {})
    name = ufunc.__name__

    def operate(self: ndarray, other: Any) -> Any:
        if type(other) is ndarray:
            operand = other._data
        elif type(other) in (float, int):
            operand = other
        elif _defers_to(other):
            return NotImplemented
        else:
            operand = unwrap_operand(other)
        record_work(name)
        return compute(ufunc, (self._data, operand), _NO_KEYWORDS)

    return operate


def _reflected_operator(ufunc: np.ufunc) -> Callable:
    return lambda self, other: apply_ufunc(ufunc, (other, self), {})


def _in_place_operator(ufunc: np.ufunc) -> Callable:
    return lambda self, other: apply_ufunc(ufunc, (self, other), {"out": self})


def _unary_operator(ufunc: np.ufunc) -> Callable:
    return lambda self: apply_ufunc(ufunc, (self,), {})


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
    if hasattr(other, "__array_ufunc__"):
        return other.__array_ufunc__ is None
    return getattr(other, "__array_priority__", 0) > ndarray.__array_priority__


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
