"""Which array library holds an array, and which kernels serve it: the only room that knows numpy from cupy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np

import minigan_kernels
from minigan.core.errors import UsageError, clause, did_you_mean
from minigan_kernels import REFERENCE
from minigan_kernels.aligned import aligned_zeros

FLOATS = ("float32", "float64")
_FLOAT_TYPES = frozenset(map(np.dtype, FLOATS))
BACKENDS = ("auto", "numpy", "cupy")


class Backend:
    """An array library `xp` and the kernels chosen for its arrays.

    `kernels` is "auto" (the fastest available, with the reference for what that lacks) or the name of one
    implementation, which must be available.
    """

    def __init__(self, name: str, xp: Any, kernels: str = "auto") -> None:
        self.name = name
        self.xp = xp
        self.array_type: type = xp.ndarray
        self.choose_kernels(kernels)

    def choose_kernels(self, kernels: str) -> None:
        """Serve operations from `kernels`; raises UsageError, and changes nothing, if that cannot be had."""
        if kernels != "auto":
            self._require(kernels)
        self.wanted = kernels
        self._kernels = None if kernels == "auto" else kernels
        self._table: dict[str, Callable[..., Any]] | None = None

    @property
    def kernels(self) -> str:
        """The implementation that serves what it offers; the reference serves the rest. To find the fastest may load
        much, so that is put off until it matters."""
        if self._kernels is None:
            with _environment_understood():
                self._kernels = minigan_kernels.fastest(self.xp)
        return self._kernels

    def kernel(self, operation: str) -> Callable[..., Any]:
        """The kernel that serves `operation`. The first call loads them, and what compiles them: a moment's work."""
        if self._table is None:
            self._table = self._load_kernels()
        function = self._table[operation]
        return function if recorder is None else recorder.kernel(operation, function)

    def _load_kernels(self) -> dict[str, Callable[..., Any]]:
        with _environment_understood():
            return minigan_kernels.table(REFERENCE, self.xp) | minigan_kernels.table(self.kernels, self.xp)

    def _require(self, kernels: str) -> None:
        known = ("auto", *minigan_kernels.IMPLEMENTATIONS)
        if kernels not in known:
            raise UsageError(f"there are no kernels called '{kernels}'; {did_you_mean(kernels, known)}")
        if reason := unavailable(kernels):
            raise UsageError(f"the kernels '{kernels}' cannot be used here: {reason}; choose 'auto' or 'reference'.")
        if kernels not in minigan_kernels.implementations_for(self.xp):
            raise UsageError(
                f"the kernels '{kernels}' do not work on {self.name} arrays; choose 'auto' or 'reference'."
            )

    def asarray(self, values: Any, dtype: str | None = None) -> Any:
        """`values` (host numbers or an array of this library) as an array of this library."""
        return self.xp.asarray(values, dtype=dtype)

    def zeros(self, count: int, dtype: np.dtype) -> Any:
        """A vector of `count` zeros that starts on a cache line."""
        return aligned_zeros((count,), dtype) if self.xp is np else self.xp.zeros(count, dtype=str(dtype))

    def to_numpy(self, array: Any) -> np.ndarray:
        """A copy of `array` on the host; waits for the device."""
        return array.copy() if self.xp is np else self.xp.asnumpy(array)

    def __repr__(self) -> str:
        return f"Backend({self.name}, kernels={self.kernels})"


class Recorder(Protocol):
    """Notes what is done with arrays, so that it can be done again: see minigan.gan.replay."""

    def forward(self, forward: Callable[..., Any], room: Backend, arrays: Sequence[Any], static: dict[str, Any]) -> Any:
        """What `forward(room, *arrays, **static)`, the forward of an operation, returns."""

    def kernel(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel `function` of `operation`, which notes its calls."""

    def refuse(self, reason: str) -> None:
        """What is being done cannot be done again without Python, and why."""


recorder: Recorder | None = None
"""What notes operations and kernels at present."""

_numpy = Backend("numpy", np)
by_array_type: dict[type, Backend] = {np.ndarray: _numpy}
"""Every backend in use, by the type of its arrays."""
_current = _numpy
_replays, _threads, _generation = True, 0, 0


def of(array: Any) -> Backend:
    """The backend that holds `array`; raises TypeError for what is not an array of a known library."""
    try:
        return by_array_type[type(array)]
    except KeyError:
        raise TypeError(
            f"expected an array of {' or '.join(b.name for b in by_array_type.values())}, got {type(array)}"
        ) from None


def as_real_array(values: Any) -> Any:
    """`values` as an array of float32 or float64: as it is if it is one; host numbers move to the backend in use.

    Other real numbers become float64, as in NumPy. Raises TypeError for what is not real.
    """
    data = values if type(values) in by_array_type else np.asarray(values)
    if data.dtype not in _FLOAT_TYPES:
        if data.dtype.kind not in "biuf":
            raise TypeError(f"a Tensor holds real numbers, got dtype {data.dtype}")
        data = data.astype("float64")
    return _current.asarray(data) if type(data) is np.ndarray and _current.array_type is not np.ndarray else data


def note_host_read(what: str) -> None:
    """Say that the host reads `what` from the device."""
    if recorder is not None:
        recorder.refuse(f"it reads {what} on the host")


def current() -> Backend:
    """The backend on which new tensors and parameters are made."""
    return _current


def use(backend: str | Backend = "auto", kernels: str = "auto", replay: bool = True) -> Backend:
    """Make new tensors on `backend` ("numpy", "cupy", or "auto": CuPy where a GPU answers) with `kernels`.

    `replay`: record training steps and replay them (see minigan.gan.replay), unless the environment says
    MINIGAN_REPLAY=0.
    Raises UsageError, and changes nothing, when one of them is unknown or unavailable.
    """
    global _current, _replays, _generation
    _replay_by_environment()
    chosen = backend if isinstance(backend, Backend) else _find(backend)
    before = _current, chosen.wanted
    chosen.choose_kernels(kernels)
    if before != (chosen, chosen.wanted):
        _generation += 1
    _replays = replay
    by_array_type[chosen.array_type] = chosen
    _current = chosen
    return chosen


def replay_enabled() -> bool:
    """Whether training steps are to be replayed."""
    return _replays and _replay_by_environment()


def configuration() -> tuple[int, str]:
    """What changes whenever the way in which things are computed is chosen anew, or "auto" has come to mean another."""
    return _generation, _current.kernels


def _replay_by_environment() -> bool:
    chosen = os.environ.get("MINIGAN_REPLAY", "") or "1"
    if chosen not in ("0", "1"):
        raise UsageError(f"MINIGAN_REPLAY is '{chosen}'; expected 1 (replay training steps) or 0 (do not).")
    return chosen == "1"


@contextmanager
def using(backend: Backend, kernels: str = "auto") -> Iterator[None]:
    """A context in which `backend` with `kernels` is in use; afterwards all is as before. Raises as `use` does."""
    global _current, _generation
    before, by_array_type_before, wanted_before = _current, dict(by_array_type), backend.wanted
    use(backend, kernels, _replays)
    try:
        yield
    finally:
        backend.choose_kernels(wanted_before)
        by_array_type.clear()
        by_array_type.update(by_array_type_before)
        _current, _generation = before, _generation + 1


class Implementation(NamedTuple):
    """An implementation of the kernels for the arrays of `backend`, and why it cannot be used (None: it can)."""

    backend: Backend
    kernels: str
    unavailable: str | None

    def __str__(self) -> str:
        return self.kernels if self.backend.xp is np else f"{self.backend.name} {self.kernels}"


def implementations() -> list[Implementation]:
    """Each array library at hand (NumPy, CuPy where a GPU answers, any other in use) with each implementation of the
    kernels that serves its arrays, available or not; of each library the reference first. May import CuPy and what
    compiles kernels.
    """
    libraries = dict(by_array_type)
    xp, _ = _cupy()
    if xp is not None:
        libraries[xp.ndarray] = _on_cupy(xp)
    return [
        Implementation(library, kernels, unavailable(kernels))
        for library in libraries.values()
        for kernels in minigan_kernels.implementations_for(library.xp)
    ]


def set_threads(count: int | None = None) -> int:
    """Compute on `count` CPU threads (None: `MINIGAN_NUM_THREADS`, or every core at hand); returns how many.

    The reference kernels leave threads to the array library. Raises UsageError if the environment variable is not
    a count.
    """
    global _threads, _generation
    with _environment_understood():
        threads = minigan_kernels.set_threads(_current.kernels, count)
    if threads != _threads:
        _threads, _generation = threads, _generation + 1
    return threads


def unavailable(kernels: str) -> str | None:
    """Why the implementation `kernels` cannot be used here, as a clause; None if it can. Raises UsageError if an
    environment variable makes no sense."""
    with _environment_understood():
        return minigan_kernels.unavailable(kernels)


@contextmanager
def _environment_understood() -> Iterator[None]:
    """Raises UsageError where the kernels find an environment variable that makes no sense."""
    try:
        yield
    except ValueError as error:
        raise UsageError(f"{clause(error)}.") from None


def _find(name: str) -> Backend:
    if name not in BACKENDS:
        raise UsageError(f"there is no backend '{name}'; {did_you_mean(name, BACKENDS)}")
    if name == "numpy":
        return _numpy
    xp, reason = _cupy()
    if xp is None:
        if name == "auto":
            return _numpy
        raise UsageError(f"the backend 'cupy' cannot be used here: {reason}; choose 'numpy' or 'auto'.")
    return _on_cupy(xp)


def _on_cupy(xp: Any) -> Backend:
    known = by_array_type.get(xp.ndarray)
    return known if known is not None else Backend("cupy", xp)


def why_no_cupy() -> str:
    """Why CuPy cannot be used here, as a clause; empty if it can."""
    return _cupy()[1]


def _cupy() -> tuple[Any, str]:
    """The module cupy if a GPU answers through it; else None and why. CuPy imports without a GPU: ask it."""
    try:
        import cupy
    except ImportError as error:
        return None, f"cupy cannot be imported ({error})"
    return (cupy, "") if cupy.is_available() else (None, "cupy finds no CUDA device")
