"""Runs the launch code of the CUDA kernels without running a kernel: which kernels, compiled how, on which grids.

NumPy takes CuPy's place, and what a kernel would compute stays as `numpy.empty` made it. So this needs neither a GPU
nor a compiler, and arrays of any size cost nothing.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import minigan_kernels
from minigan.core import backend
from minigan_kernels.cuda import compiler, driver, launch, signature
from minigan_kernels.geometry import Geometry

H200_MULTIPROCESSORS = 132


class Array(np.ndarray):
    """A NumPy array that has an address as CuPy's arrays have it, in `data.ptr`."""

    @property
    def data(self) -> Any:  # type: ignore[override]
        """Where the array lies."""
        return SimpleNamespace(ptr=self.ctypes.data)


def empty(shape: Any, dtype: Any = np.float32) -> Array:
    """An uninitialised array."""
    return np.empty(shape, dtype).view(Array)


_IN_PLACE = (
    "adam", "sgd", "rmsprop", "record_nonfinite", "clip", "update_running_statistics", "lerp",
)  # fmt: skip
_calls: list[Any] = [None]  # those under way


class _Library:
    """NumPy in CuPy's place."""

    ndarray = Array
    empty = staticmethod(empty)
    broadcast_to = staticmethod(functools.partial(np.broadcast_to, subok=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


class Variant(NamedTuple):
    """A compiled form of a source file: its dtype and its compile-time constants."""

    source: str
    dtype: np.dtype
    constants: tuple[tuple[str, int], ...]


class Call(NamedTuple):
    """A call of an operation of the table of kernels, with the shapes of its arrays."""

    operation: str
    shapes: tuple[tuple[int, ...], ...]
    geometry: Geometry | None = None


class Launch(NamedTuple):
    """One launch of the kernel `kernel`, for a call of an operation.

    traffic: the bytes of its arrays, of each argument once if the kernel only reads it, and twice if the operation
    changes it in place.
    """

    variant: Variant
    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    traffic: int
    call: Call | None

    @property
    def threads(self) -> int:
        """The number of threads in a block."""
        return math.prod(self.block)


@contextmanager
def recorded(multiprocessors: int = H200_MULTIPROCESSORS) -> Iterator[list[Launch]]:
    """A context in which the CUDA kernels take arrays made by `empty` and only note their launches in the list."""
    launches: list[Launch] = []

    def function(kernel: launch.Kernel, dtype: np.dtype, constants: dict[str, int]) -> Any:
        variant = Variant(kernel.source, np.dtype(dtype), tuple(constants.items()))

        def note(grid: Any, block: Any, arguments: tuple[Any, ...], shared_mem: int = 0) -> None:
            traffic = _traffic(kernel, arguments)
            launches.append(Launch(variant, kernel.name, grid, block, shared_mem, traffic, _calls[-1]))

        return note

    with (
        mock.patch.object(driver, "find_cupy", return_value=(_Library(), "")),
        mock.patch.object(driver, "multiprocessors", return_value=multiprocessors),
        mock.patch.object(launch.Kernel, "_function", function),
    ):
        yield launches


def table(implementation: str = "cuda") -> dict[str, Callable[..., Any]]:
    """The kernels of `implementation`, to call inside `recorded` on NumPy arrays."""
    kernels = minigan_kernels.IMPLEMENTATIONS[implementation].KERNELS
    return {kernel.__name__: _on_numpy(kernel) for kernel in kernels}


def _on_numpy(kernel: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(kernel)
    def call(*arguments: Any, **named: Any) -> Any:
        shapes = tuple(a.shape for a in arguments if isinstance(a, np.ndarray))
        geometry = next((a for a in arguments if isinstance(a, Geometry)), None)
        _calls.append(Call(kernel.__name__, shapes, geometry))
        try:
            named = {name: _viewed(a, Array) for name, a in named.items()}
            return _viewed(kernel(*[_viewed(a, Array) for a in arguments], **named), np.ndarray)
        finally:
            _calls.pop()

    return call


def _traffic(kernel: launch.Kernel, arguments: tuple[Any, ...]) -> int:
    """The bytes that a launch must move if every array is read or written once."""
    text = compiler.full_source(kernel.source, np.dtype(np.float32))
    twice = _calls[-1] is not None and _calls[-1].operation in _IN_PLACE
    return sum(
        argument.nbytes * (2 if twice and not parameter.is_constant else 1)
        for parameter, argument in zip(signature.parameters(text, kernel.name), arguments, strict=True)
        if isinstance(argument, np.ndarray)
    )


def _viewed(value: Any, kind: type) -> Any:
    """An array, or a tuple of arrays, as arrays of the class `kind`; anything else as it is."""
    if isinstance(value, tuple) and value and all(isinstance(a, np.ndarray) for a in value):
        return tuple([a.view(kind) for a in value])
    return value.view(kind) if isinstance(value, np.ndarray) else value


@contextmanager
def _in_use(implementation: str) -> Iterator[None]:
    """A context, inside `recorded`, in which minigan computes with these kernels on NumPy arrays."""
    noted = SimpleNamespace(
        ARRAYS="numpy", unavailable=lambda: None, describe=dict, KERNELS=tuple(table(implementation).values())
    )
    minigan_kernels.register("noted", noted)
    try:
        with backend.using(backend.Backend("numpy", np), "noted"):
            yield
    finally:
        del minigan_kernels.IMPLEMENTATIONS["noted"]


def of_training_step(network: str, dtype: str = "float32", implementation: str = "cuda") -> list[Launch]:
    """The launches of one training step of a network of `minigan bench`, in order."""
    from minigan.training import benchmark

    eager = mock.patch.dict(os.environ, MINIGAN_REPLAY="0")
    with recorded() as launches, _in_use(implementation), eager, np.errstate(all="ignore"):
        gan, real = benchmark.build(network, dtype)
        gan.train_step(real)
        launches.clear()  # some launches, as those that pack weights, may belong to the first step alone
        gan.train_step(real)
        return list(launches)


def variants(launches: Iterable[Launch]) -> list[Variant]:
    """The different compiled forms that these launches need."""
    return list(dict.fromkeys(item.variant for item in launches))
