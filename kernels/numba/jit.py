"""A kernel for each type of numbers, compiled when first wanted; how many threads."""

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

# Starting a parallel region costs about 1 us with OpenMP, 39 us with workqueue and 115 us with TBB.
_FASTEST_LAYERS_FIRST, _NUMBAS_LAYERS = ["omp", "tbb", "workqueue"], ["tbb", "omp", "workqueue"]
# How long an idle OpenMP thread spins (about 16 ns a count) before it sleeps. GNU's default of 300,000 is ruinous
# when another program wants a core: the waiting thread burns the time that the working one needs. Measured beside one
# busy process: a step that takes 4.5 ms took as long at 10,000 counts, 110 ms at 30,000, and more by default. This is
# longer than the gaps between kernels, and short enough to give way. Read by OpenMP when the first kernel starts it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# Numbers touched, below which a second thread costs more than it brings: starting one takes as long as 50,000 of them.
_SERIAL_WORK = 1 << 16

_NUMBA_TYPES = {np.dtype(np.float32): float32, np.dtype(np.float64): float64}
DTYPES = tuple(_NUMBA_TYPES)


# The serial inner parts of kernels. NumPy's error model: no test for division by zero, which would keep LLVM from
# using vectors. For the same reason loops run over slices, from 0: a start that might be negative, as far as the
# compiler knows, costs a test for wrapping around at every element.
# They are called by compiled code only, so they need no wrappers for callers in Python or C.
inner = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@inner
def clear(vector):
    """Fill a vector with zeros. Numba takes a second to compile `vector[:] = 0`."""
    for i in range(vector.size):
        vector[i] = 0


@inner
def gated(x, v, slope):
    """v where x > 0, slope * v elsewhere; see `reference.slope_gate`."""
    if slope == 0:
        return slope if x <= 0 else v
    return v if x > 0 else v * slope


def prefer_fast_threads() -> None:
    """Let Numba start threads through the layer that does so fastest, unless the user chose one."""
    if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ and config.THREADING_LAYER_PRIORITY == _NUMBAS_LAYERS:
        config.THREADING_LAYER_PRIORITY = _FASTEST_LAYERS_FIRST


class Compiled(dict):
    """A kernel by the type of its numbers: `kernel[array.dtype](...)`, compiled or loaded at the first look.

    `writes` names the parameters of `function`, separated by spaces, that it writes into, scratch memory included.
    """

    def __init__(self, name: str, function, signature: Callable, writes: str) -> None:
        super().__init__()
        self.name, self._function, self._signature = name, function, signature
        parameters = list(inspect.signature(function.py_func).parameters)
        self._writes = tuple(parameters.index(written) for written in writes.split())
        self._entries: dict[np.dtype, Callable] = {}

    def launch(self, dtype: np.dtype, *arguments) -> None:
        """Call the kernel for numbers of type `dtype`, and note the call; see `launches`.

        Numba looks at the type of every argument to find the machine code, which takes longer than a small kernel.
        Noted is the call of that code itself: the same arguments have been looked at by then.
        """
        self[dtype](*arguments)
        if recorded_calls.recorded is not None:
            recorded_calls.recorded.append(recorded_calls.Call(self._entries[dtype], arguments, self._writes))

    def __missing__(self, dtype: np.dtype):
        if dtype not in _NUMBA_TYPES:
            raise TypeError(f"the numba kernel '{self.name}' works in float32 and float64, not in {dtype}")
        start = time.perf_counter()
        load_thread_loop()  # before the kernel is loaded, which calls it by name
        self._function.disable_compile(False)
        signature = self._signature(_NUMBA_TYPES[dtype])
        compile_or_load(self._function, signature, f"'{self.name}' for {dtype}")
        self._entries[dtype] = self._function.overloads[signature].entry_point
        self._function.disable_compile()  # other argument types are our mistake: refuse, rather than compile again
        Announcer.seconds += time.perf_counter() - start
        self[dtype] = self._function
        return self._function


_threads = 1  # asked of Numba once: its own answer takes longer than a small kernel's first thousand additions


def set_threads(count: int | None) -> int:
    """Use `count` threads, or `MINIGAN_NUM_THREADS`, or every core this process may run on; returns the count.

    More threads than cores never help, so the cores the process may use (its affinity mask) are the limit.
    """
    global _threads
    if count is None:
        count = environment.count("MINIGAN_NUM_THREADS") or config.NUMBA_NUM_THREADS
    _threads = min(count, config.NUMBA_NUM_THREADS)
    set_num_threads(_threads)
    return _threads


def threads_for(work: int) -> int:
    """How many threads `work` is worth, counted in numbers touched (or as much arithmetic as takes that long)."""
    return 1 if work < _SERIAL_WORK else _threads
