"""Joins recorded calls into native sequences: compiled code makes the calls, and Python is left out between them.

A recorded step of a small network makes a hundred calls, many of which compute for less than a microsecond. Through
Python a call costs one to two and a half microseconds; a native sequence makes it in some 30 ns (see
`native_adapters`). The calls and their order are the same, and so are the bits.

A sequence contains calls of compiled kernels and of NumPy's elementwise functions. A call of anything else remains a
call from Python, between two sequences.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import types
from numba.np import numpy_support

from minigan_kernels.numba import native_adapters, numpy_loops
from minigan_kernels.numba.jit import compiled_functions

BoundCall = tuple[Callable[..., Any], tuple[Any, ...]]
Words = np.ndarray

# A call on more bytes of arrays takes so long, some 0.5 ms, that Python does not matter. Left to Python, such calls let
# it handle Ctrl-C and run other threads, which have to wait for the end of a sequence.
_MOST_BYTES = 1 << 23


def join(calls: Sequence[BoundCall]) -> list[BoundCall]:
    """Calls (function, arguments) that do the same as `calls`, with as many as possible in native sequences."""
    joined: list[BoundCall] = []
    with_words = [(call, _words(*call)) for call in calls]
    for is_native, group in itertools.groupby(with_words, lambda entry: entry[1] is not None):
        entries = list(group)
        if is_native and len(entries) > 1:
            joined.append((_NativeSequence(entries), ()))
        else:
            joined += [call for call, _ in entries]
    return joined


class _NativeSequence:
    """Makes `calls`, given with their words (see `native_adapters`), one after another in compiled code."""

    def __init__(self, calls: Sequence[tuple[BoundCall, Any]]) -> None:
        self._words = [words for _, several in calls for words in several]
        self._calls = [call for call, several in calls for _ in several]  # that of each entry of `_words`
        self._table = np.array([_address(words) for words in self._words], np.int64)
        self._run, self._arguments = native_adapters.run_loop(), (_address(self._table), 0, len(self._words))

    def __call__(self) -> None:
        end = len(self._words)
        failed = self._run(*self._arguments)
        while failed < end:  # such as for lack of memory: called from Python it raises its exception, or succeeds
            function, arguments = self._calls[failed]
            function(*arguments)
            failed = self._run(self._arguments[0], failed + 1, end)


def _words(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Words] | None:
    """The words of native calls that do the same as function(*arguments); None to leave the call to Python."""
    if sum(x.nbytes for x in arguments if isinstance(x, np.ndarray)) > _MOST_BYTES:
        return None
    if function in compiled_functions:
        return _kernel_words(compiled_functions[function], arguments)
    loops = _loops(function, arguments)
    return None if loops is None else list(map(_loop_words, loops))


def _loops(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[numpy_loops.Loop] | None:
    """The loops that do the same as a call of an array function, recorded by `minigan.gan.replay.trace`; or None."""
    if function is np.copyto:
        return numpy_loops.copy(*arguments) if len(arguments) == 2 else None
    if function == np.add.reduce:
        x, _, _, out, _ = arguments  # x, axis, dtype, out, keepdims
        return numpy_loops.sum_of_all(x, out)
    ufunc = getattr(function, "ufunc", function)
    if not isinstance(ufunc, np.ufunc) or len(arguments) != ufunc.nargs:
        return None
    return numpy_loops.elementwise(ufunc, arguments) if all(isinstance(x, np.ndarray) for x in arguments) else None


class _UnknownTypeError(Exception):
    pass


def _kernel_words(compiled: Any, arguments: tuple[Any, ...]) -> list[Words] | None:
    """The words of a call of the kernel `compiled`, one of Numba's compile results."""
    description = compiled.fndesc
    function_type = compiled.target_context.call_conv.get_function_type(description.restype, description.argtypes)
    try:
        packed = b"".join(_packed(x, kind) for x, kind in zip(arguments, description.argtypes, strict=True))
    except (_UnknownTypeError, struct.error, OverflowError):  # the last two: a number out of range
        return None
    if len(packed) != 8 * (len(function_type.args) - 2):  # other than its result and its exception
        return None
    code = compiled.library.get_pointer_to_function(description.llvm_func_name)
    return [np.frombuffer(struct.pack("qq", native_adapters.kernel_adapter(function_type), code) + packed, np.int64)]


def _packed(x: Any, kind: types.Type) -> bytes:
    """The argument `x`, of Numba's type `kind`, as the words that Numba's machine code takes for it."""
    if isinstance(kind, types.Array):
        if x.dtype != numpy_support.as_dtype(kind.dtype) or x.ndim != kind.ndim or not x.flags.c_contiguous:
            raise _UnknownTypeError
        numbers = 0, 0, x.size, x.itemsize, _address(x), *x.shape, *x.strides  # first two: nothing owns the memory
        return struct.pack(f"{len(numbers)}q", *numbers)
    if isinstance(kind, types.BaseTuple):
        return b"".join(_packed(part, part_kind) for part, part_kind in zip(x, kind, strict=True))
    if isinstance(kind, (types.Integer, types.Boolean)):
        return struct.pack("q", x)
    if kind == types.float32:
        return struct.pack("f4x", x)
    if kind == types.float64:
        return struct.pack("d", x)
    raise _UnknownTypeError


def _loop_words(loop: numpy_loops.Loop) -> Words:
    """The words of a call of one of NumPy's inner loops; the arrays that it takes follow the five words it needs."""
    operands = len(loop.addresses)
    words = np.empty(6 + operands + 1 + operands, np.int64)
    places = [_address(words) + 8 * i for i in (6, 6 + operands, 7 + operands)]
    words[:6] = native_adapters.numpy_loop_adapter(), loop.function, *places, loop.data
    words[6:] = *loop.addresses, loop.count, *loop.strides
    return words


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
