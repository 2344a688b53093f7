"""Compiling kernels for each dtype when they are first used, and the number of threads."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable

import numpy as np
from numba import config, float32, float64, njit, set_num_threads

from minigan_kernels import environment, recorded_calls
from minigan_kernels.notices import Announcer
from minigan_kernels.numba.disk_cache import compile_or_load
from minigan_kernels.numba.parallel_for import load_thread_loop

# Measured: starting a parallel region costs about 1 us with OpenMP, 39 us with workqueue and 115 us with TBB.
_FASTEST_LAYERS_FIRST, _DEFAULT_LAYERS = ["omp", "tbb", "workqueue"], ["tbb", "omp", "workqueue"]
# How long an idle OpenMP thread spins (about 16 ns a count) before it sleeps. GNU's default of 300,000 is ruinous when
# another program wants a core: the spinning thread takes the time that the working thread needs. Measured beside one
# busy process: a step of 4.5 ms took as long at 10,000 counts, 110 ms at 30,000, and more with the default. 10,000
# counts are longer than the gaps between kernels, and short enough to free the core. OpenMP reads the variable when the
# first kernel starts it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# For fewer array elements than this, a second thread costs more than it gains: starting one takes as long as processing
# 50,000 of them.
_SERIAL_WORK = 1 << 16

_NUMBA_TYPES = {np.dtype(np.float32): float32, np.dtype(np.float64): float64}


# Decorator for the serial inner functions of kernels. With NumPy's error model, division is not checked for zero, which
# would keep LLVM from vectorising. For the same reason loops run over slices, from 0: if the compiler cannot rule out a
# negative start, it tests every index for wraparound. Only compiled code calls these functions, so they need no
# wrappers for callers in Python or C.
inner = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@inner
def clear(vector):
    """Fill a vector with zeros. Numba takes a second to compile `vector[:] = 0`."""
    for i in range(vector.size):
        vector[i] = 0


@inner
def leaky_relu_grad(x, g, slope):
    """g where x > 0, slope * g elsewhere, for numbers; see `reference.slope_gate`."""
    if slope == 0:
        return slope if x <= 0 else g
    return g if x > 0 else g * slope


@inner
def leaky_relu(x, slope):
    """x where x > 0, slope * x elsewhere, for a number."""
    return leaky_relu_grad(x, x, slope)


def prefer_fast_threading_layer() -> None:
    """Let Numba use the threading layer that starts threads fastest, unless the user chose one."""
    if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ and config.THREADING_LAYER_PRIORITY == _DEFAULT_LAYERS:
        config.THREADING_LAYER_PRIORITY = _FASTEST_LAYERS_FIRST


class Compiled(dict):
    """A kernel by dtype: `kernel[array.dtype](...)` is compiled, or loaded from disk, at its first look-up.

    `signature` maps Numba's type of the dtype to the types of all arguments. `writes` names the parameters of
    `function`, separated by spaces, that it writes into, including scratch memory.
    """

    def __init__(self, name: str, function, signature: Callable, writes: str) -> None:
        super().__init__()
        self.name, self._function, self._signature = name, function, signature
        parameters = list(inspect.signature(function.py_func).parameters)
        self._writes = tuple(parameters.index(written) for written in writes.split())
        self._entries: dict[np.dtype, Callable] = {}

    def launch(self, dtype: np.dtype, *arguments) -> None:
        """Call the kernel for `dtype`, and record the call; see `recorded_calls`.

        Numba inspects the type of every argument to find the machine code, which takes longer than a small kernel runs.
        The recorded call is that of the machine code itself, whose argument types have already been checked here.
        """
        self[dtype](*arguments)
        if recorded_calls.recorded is not None:
            recorded_calls.recorded.append(recorded_calls.Call(self._entries[dtype], arguments, self._writes))

    def __missing__(self, dtype: np.dtype):
        if dtype not in _NUMBA_TYPES:
            raise TypeError(f"the numba kernel '{self.name}' works in float32 and float64, not in {dtype}")
        start = time.perf_counter()
        load_thread_loop()  # first, because the kernel refers to it by symbol name
        self._function.disable_compile(False)
        signature = self._signature(_NUMBA_TYPES[dtype])
        compile_or_load(self._function, signature, f"'{self.name}' for {dtype}")
        self._entries[dtype] = self._function.overloads[signature].entry_point
        self._function.disable_compile()  # calls with other argument types are bugs: raise instead of compiling again
        Announcer.seconds += time.perf_counter() - start
        self[dtype] = self._function
        return self._function


_threads = 1  # a copy of Numba's count: asking Numba takes longer than a small kernel's first thousand additions


def set_threads(count: int | None) -> int:
    """Use `count` threads, or `MINIGAN_NUM_THREADS`, or every core this process may run on; return the count in use.

    More threads than cores never help, so the count is limited to the cores that the process may use (its affinity
    mask).
    """
    global _threads
    if count is None:
        count = environment.count("MINIGAN_NUM_THREADS") or config.NUMBA_NUM_THREADS
    _threads = min(count, config.NUMBA_NUM_THREADS)
    set_num_threads(_threads)
    return _threads


def threads_for(work: int) -> int:
    """The number of threads to use for `work`, in array elements touched, or arithmetic that takes as long."""
    return 1 if work < _SERIAL_WORK else _threads
