"""Which array library holds an array, and which kernels compute on it.

This is the only module that distinguishes NumPy from CuPy.
"""

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
from minigan_kernels.cuda import driver
from minigan_kernels.sums import total

FLOATS = ("float32", "float64")
_FLOAT_TYPES = frozenset(map(np.dtype, FLOATS))
_UPLOAD_ALIGNMENT = 256  # bytes, as of CuPy's own allocations
BACKENDS = ("auto", "numpy", "cupy")


class Backend:
    """An array library `xp`, NumPy or CuPy, and the kernels that compute on its arrays.

    `kernels` is the name of an available implementation, or "auto" for the fastest one. The reference implementation
    serves every operation that the chosen one lacks.
    """

    def __init__(self, name: str, xp: Any, kernels: str = "auto") -> None:
        self.name = name
        self.xp = xp
        self.array_type: type = xp.ndarray
        self.choose_kernels(kernels)

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self  # by which a copy of a GAN computes, too

    def choose_kernels(self, kernels: str) -> None:
        """Use the implementation `kernels` from now on. Raises UsageError, and changes nothing, if unavailable."""
        if kernels != "auto":
            self._require(kernels)
        self.requested = kernels
        self._kernels = None if kernels == "auto" else kernels
        self._table: dict[str, Callable[..., Any]] | None = None

    @property
    def kernels(self) -> str:
        """The name of the implementation in use. Finding the fastest may import Numba, so it waits until first use."""
        if self._kernels is None:
            with _value_error_as_usage_error():
                self._kernels = minigan_kernels.fastest(self.xp)
        return self._kernels

    def kernel(self, operation: str) -> Callable[..., Any]:
        """The kernel of `operation`. The first call imports the kernels, which takes a moment."""
        if self._table is None:
            self._table = self._load_kernels()
        function = self._table[operation]
        return function if recorder is None else recorder.kernel(operation, function)

    def _load_kernels(self) -> dict[str, Callable[..., Any]]:
        with _value_error_as_usage_error():
            return minigan_kernels.table(REFERENCE, self.xp) | minigan_kernels.table(self.kernels, self.xp)

    def _require(self, kernels: str) -> None:
        known = ("auto", *minigan_kernels.IMPLEMENTATIONS)
        if kernels not in known:
            raise UsageError(f"there are no kernels '{kernels}'; {did_you_mean(kernels, known)}")
        if reason := unavailable(kernels):
            raise UsageError(f"the kernels '{kernels}' cannot be used here: {reason}; choose 'auto' or 'reference'.")
        if kernels not in minigan_kernels.implementations_for(self.xp):
            arrays = minigan_kernels.IMPLEMENTATIONS[kernels].ARRAYS
            other = f", or the backend '{arrays}'" if arrays in BACKENDS else ""
            raise UsageError(
                f"the kernels '{kernels}' do not work on {self.name} arrays; choose 'auto' or 'reference'{other}."
            )

    def asarray(self, values: Any, dtype: str | None = None) -> Any:
        """`values`, numbers or an array of NumPy or of this library, as an array of this library."""
        if recorder is not None and self.xp is not np and type(values) is not self.array_type:
            # Before CuPy tries it: after a copy that a capture has refused, it may keep page-locked memory for good.
            recorder.refuse(
                f"it copies an array of shape {np.shape(values)} from the host; keep constants in a Buffer, and "
                "compute with the operations of minigan"
            )
        return self.xp.asarray(values, dtype=dtype)

    def zeros(self, count: int, dtype: np.dtype) -> Any:
        """A vector of `count` zeros whose memory starts on a cache line."""
        return aligned_zeros((count,), dtype) if self.xp is np else self.xp.zeros(count, dtype=str(dtype))

    def to_numpy(self, array: Any) -> np.ndarray:
        """A copy of `array` on the host. Waits for the device."""
        return array.copy() if self.xp is np else self.xp.asnumpy(array)

    def sum(self, x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
        """The sum of x over `axis` (None: all axes), added in a fixed order, with a small rounding error."""
        # On NumPy not by a kernel, but by array functions, which a recorder can trace (see minigan.gan.replay.trace).
        return total(x, axis, keepdims) if self.xp is np else self.kernel("sum")(x, axis, keepdims)

    def concatenate(self, parts: Sequence[Any], axis: int = 0) -> Any:
        """The arrays `parts` joined along `axis`."""
        if self.xp is np:
            return np.concatenate(parts, axis)
        # CuPy's own function copies a table of pointers to the device, which a CUDA graph cannot contain.
        axis %= parts[0].ndim
        before = (slice(None),) * axis
        extents = [part.shape[axis] for part in parts]
        shape = (*parts[0].shape[:axis], sum(extents), *parts[0].shape[axis + 1 :])
        out = self.xp.empty(shape, parts[0].dtype)
        start = 0
        for part, extent in zip(parts, extents, strict=True):
            out[(*before, slice(start, start + extent))] = part
            start += extent
        return out

    def matmul_of_batches(self, a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
        """op(a[i]) @ op(b[i]) for each i, where op transposes a matrix if its flag is set."""
        if self.xp is np:  # not by kernels, whose results would still have to be joined: a recorder can trace this
            flags = ((a, transpose_a), (b, transpose_b))
            return np.matmul(*(x.transpose(0, 2, 1) if transposed else x for x, transposed in flags))
        if not len(a):
            shape = (0, a.shape[2 if transpose_a else 1], b.shape[1 if transpose_b else 2])
            return self.xp.zeros(shape, a.dtype)
        product = self.kernel("matmul")
        return self.concatenate([product(x, y, transpose_a, transpose_b)[None] for x, y in zip(a, b, strict=True)])

    def upload(self, arrays: Sequence[np.ndarray]) -> tuple[Sequence[Any], Any]:
        """The NumPy arrays `arrays` as arrays of this library, copied to the device at once.

        Returns them and the array of bytes of which they are views; on NumPy the arrays themselves, and None.
        """
        if self.xp is np or not arrays:
            return arrays, None
        starts = np.cumsum([0, *(-(-array.nbytes // _UPLOAD_ALIGNMENT) * _UPLOAD_ALIGNMENT for array in arrays)])
        places = list(zip(arrays, starts.tolist(), strict=False))
        host = np.empty(int(starts[-1]), np.uint8)
        for array, start in places:
            host[start : start + array.nbytes].view(array.dtype).reshape(array.shape)[...] = array
        device = self.xp.asarray(host)
        return [
            device[start : start + array.nbytes].view(array.dtype).reshape(array.shape) for array, start in places
        ], device

    def device_facts(self) -> dict[str, str]:
        """The facts about the device that may affect numbers, such as {"GPU": name}, on CuPy."""
        return driver.identity() if self._is_cupy else {}

    @property
    def can_replay(self) -> bool:
        """Whether training steps on its arrays can be recorded and replayed (see minigan.gan.replay)."""
        return self.xp is np or self._is_cupy

    def synchronize(self) -> None:
        """Wait until the device has done all work so far, and raise what went wrong in it."""
        if self._is_cupy:
            driver.synchronize()

    @property
    def _is_cupy(self) -> bool:
        return bool(self.xp.__name__ == "cupy")

    def __repr__(self) -> str:
        return f"Backend({self.name}, kernels={self.kernels})"


class Recorder(Protocol):
    """Records the operations and kernel calls of a training step, to replay them: see minigan.gan.replay."""

    def forward(self, forward: Callable[..., Any], B: Backend, arrays: Sequence[Any], static: dict[str, Any]) -> Any:
        """Return `forward(B, *arrays, **static)`, the forward of an operation, and record it."""

    def kernel(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that calls the kernel `function` of `operation` and records the call."""

    def refuse(self, reason: str) -> None:
        """Say that the step cannot be replayed, and why."""


recorder: Recorder | None = None
"""The recorder in use; None while nothing is recorded."""

_numpy = Backend("numpy", np)
by_array_type: dict[type, Backend] = {np.ndarray: _numpy}
"""Every backend in use, by the type of its arrays."""
_current = _numpy
_replay, _threads = True, 0
_stay_on_host = False
_configurations = 0
"""How often the backend, the kernels or the number of threads have changed."""


@contextmanager
def recording_by(value: Recorder) -> Iterator[None]:
    """A context in which `value` is the recorder in use."""
    global recorder
    before, recorder = recorder, value
    try:
        yield
    finally:
        recorder = before


def of(array: Any) -> Backend:
    """The backend that holds `array`. Raises TypeError if it is no array of a backend in use."""
    try:
        return by_array_type[type(array)]
    except KeyError:
        raise TypeError(
            f"expected an array of {' or '.join(b.name for b in by_array_type.values())}, got {type(array)}"
        ) from None


def as_real_array(values: Any) -> Any:
    """`values` as an array of float32 or float64 on the current backend.

    An array of a backend stays where it is, without a copy if its dtype is one of these. Other real numbers become
    float64, as in NumPy. Raises TypeError for numbers that are not real.
    """
    data = values if type(values) in by_array_type else np.asarray(values)
    if data.dtype not in _FLOAT_TYPES:
        if data.dtype.kind not in "biuf":
            raise TypeError(f"a Tensor holds real numbers, got dtype {data.dtype}")
        data = data.astype("float64")
    if type(data) is not np.ndarray or _current.array_type is np.ndarray or _stay_on_host:
        return data
    return _current.asarray(data)


@contextmanager
def staying_on_host() -> Iterator[None]:
    """A context in which Tensors made of NumPy arrays keep them, on every backend; see `Backend.upload`."""
    global _stay_on_host
    before, _stay_on_host = _stay_on_host, True
    try:
        yield
    finally:
        _stay_on_host = before


def note_host_read(what: str) -> None:
    """Tell the recorder, if there is one, that the host reads `what`: such a step cannot be replayed."""
    if recorder is not None:
        recorder.refuse(f"it reads {what} on the host")


def current() -> Backend:
    """The backend on which new Tensors and Parameters are made."""
    return _current


def use(backend: str | Backend = "auto", kernels: str = "auto", replay: bool = True) -> Backend:
    """Make new Tensors on `backend` ("numpy", "cupy" or "auto") with `kernels`.

    "auto" is the backend that the environment variable MINIGAN_BACKEND names; without it CuPy, where a GPU answers.

    `replay`: record each kind of training step once and replay it (see minigan.gan.replay), unless the environment
    variable MINIGAN_REPLAY is 0.
    Raises UsageError, and changes nothing, if the backend or the kernels are unknown or unavailable.
    """
    global _current, _replay, _configurations
    _environment_allows_replay()
    chosen = backend if isinstance(backend, Backend) else _find(_default_backend() if backend == "auto" else backend)
    before = _current, chosen.requested
    chosen.choose_kernels(kernels)
    if before != (chosen, chosen.requested):
        _configurations += 1
    _replay = replay
    by_array_type[chosen.array_type] = chosen
    _current = chosen
    return chosen


def replay_enabled() -> bool:
    """Whether training steps are to be recorded and replayed."""
    return _replay and _environment_allows_replay()


def configuration() -> tuple[int, str]:
    """A value that changes with the backend, the kernels and the number of threads: (changes so far, kernels)."""
    return _configurations, _current.kernels


def _environment_allows_replay() -> bool:
    value = os.environ.get("MINIGAN_REPLAY", "") or "1"
    if value not in ("0", "1"):
        raise UsageError(f"MINIGAN_REPLAY is '{value}'; expected 1 (replay training steps) or 0 (do not).")
    return value == "1"


def _default_backend() -> str:
    """The backend that the environment variable MINIGAN_BACKEND names, "auto" without it."""
    name = os.environ.get("MINIGAN_BACKEND", "") or "auto"
    if name not in BACKENDS:
        raise UsageError(f"MINIGAN_BACKEND is '{name}', and there is no such backend; {did_you_mean(name, BACKENDS)}")
    return name


@contextmanager
def using(backend: Backend, kernels: str = "auto") -> Iterator[None]:
    """A context in which `backend` with `kernels` is in use. Restores the previous choice; raises as `use` does."""
    global _current, _configurations
    before, by_array_type_before, requested_before = _current, dict(by_array_type), backend.requested
    use(backend, kernels, _replay)
    try:
        yield
    finally:
        backend.choose_kernels(requested_before)
        by_array_type.clear()
        by_array_type.update(by_array_type_before)
        _current, _configurations = before, _configurations + 1


class Implementation(NamedTuple):
    """An implementation of the kernels for the arrays of `backend`, and why it cannot be used (None if it can)."""

    backend: Backend
    kernels: str
    unavailable: str | None

    def __str__(self) -> str:
        return self.kernels if self.backend.xp is np else f"{self.backend.name} {self.kernels}"


def implementations() -> list[Implementation]:
    """Every implementation of the kernels for every array library: NumPy, CuPy where a GPU answers, others in use.

    Unavailable ones are included. Of each library the reference comes first. May import CuPy and Numba.
    """
    libraries = dict(by_array_type)
    xp, _ = _cupy()
    if xp is not None:
        libraries[xp.ndarray] = _cupy_backend(xp)
    return [
        Implementation(library, kernels, unavailable(kernels))
        for library in libraries.values()
        for kernels in minigan_kernels.implementations_for(library.xp)
    ]


def set_threads(count: int | None = None) -> int:
    """Compute on `count` CPU threads (None: MINIGAN_NUM_THREADS, or all cores) and return their number.

    The reference kernels leave threads to the array library. Raises UsageError if the environment variable is no
    positive whole number.
    """
    global _threads, _configurations
    with _value_error_as_usage_error():
        threads = minigan_kernels.set_threads(_current.kernels, count)
    if threads != _threads:
        _threads, _configurations = threads, _configurations + 1
    return threads


def unavailable(kernels: str) -> str | None:
    """Why the implementation `kernels` cannot be used here, as a clause; None if it can.

    Raises UsageError if an environment variable that it reads has an invalid value.
    """
    with _value_error_as_usage_error():
        return minigan_kernels.unavailable(kernels)


@contextmanager
def _value_error_as_usage_error() -> Iterator[None]:
    """A context that turns ValueError, by which kernels reject an environment variable, into UsageError."""
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
        raise UsageError(f"the backend 'cupy' cannot be used here: {reason}.")
    return _cupy_backend(xp)


def _cupy_backend(xp: Any) -> Backend:
    in_use = by_array_type.get(xp.ndarray)
    return in_use if in_use is not None else Backend("cupy", xp)


def why_no_cupy() -> str:
    """Why CuPy cannot be used here, as a clause; an empty string if it can."""
    return _cupy()[1]


def device_problem(error: BaseException) -> str | None:
    """What has gone wrong on the device and what to do, as a clause; None if `error` is not about the device."""
    return driver.problem(error)


def _cupy() -> tuple[Any, str]:
    """(the module cupy, "") if it finds a GPU, else (None, why not and what to do)."""
    return driver.find_cupy()
