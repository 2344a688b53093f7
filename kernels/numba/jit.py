"""Compiling kernels for each dtype when they are first used, and the number of threads."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, float32, float64, njit, set_num_threads, threading_layer

from minigan_kernels import compile_ahead, environment, notices, recorded_calls
from minigan_kernels.notices import Announcer
from minigan_kernels.numba.compile_together import compile_together
from minigan_kernels.numba.disk_cache import compile_or_load, is_cached_or_cannot_be
from minigan_kernels.numba.inner_functions import InnerCompiler
from minigan_kernels.numba.memory import other_scratch
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
# For less work than this, in array elements, one thread is used; by threading layer. With OpenMP, starting a parallel
# region takes about as long as processing 16,000 elements that lie in the core's own cache. Elements that another core
# has written take longer, so arrays that two threads have computed are better read by two. On an AMD Zen 4 a step of
# `toy`, whose arrays have 33,000 and 65,000 elements, took 3 to 7% less time than with 65,536 here in two of three
# comparisons.
_SERIAL_WORK = {"omp": 1 << 14, "tbb": 1 << 16, "workqueue": 1 << 16}

MULTIPLY_ADDS = 8  # so many, in registers, take as long as reading or writing one array element

_NUMBA_TYPES = {np.dtype(np.float32): float32, np.dtype(np.float64): float64}


def inner(function: Callable | None = None, **options: Any) -> Any:
    """Decorator for the serial inner functions of kernels, which only compiled code calls; see `inner_functions`.

    The options are further ones of `njit`, such as fastmath. With NumPy's error model, division is not checked for
    zero, which would keep LLVM from vectorising. For the same reason loops run over slices, from 0: if the compiler
    cannot rule out a negative start, it tests every index for wraparound.
    """
    wrappers = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(function, error_model="numpy", pipeline_class=InnerCompiler, **wrappers, **options)


def optimized_inner(**options: Any) -> Any:
    """As `inner`, for loops with fast-math sums: optimised alone, before being linked into the callers.

    Within its caller LLVM no longer finds that the loop can be vectorised: on an AMD Zen 4, 9.6 us in place of 4.8 for
    Adam on 17,000 parameters, 5.7 in place of 3.5 for 512 products of 128 numbers.
    """
    return njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)


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


compiled_functions: dict[Callable, Any] = {}
"""What Numba knows about the machine code of each kernel, by the function that `Compiled.launch` records."""


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
        compiled_kernels[name] = self

    def launch(self, dtype: np.dtype, *arguments) -> None:
        """Call the kernel for `dtype`, and record the call; see `recorded_calls`.

        Numba inspects the type of every argument to find the machine code, which takes longer than a small kernel runs.
        The recorded call is that of the machine code itself, whose argument types have already been checked here.
        """
        if compile_ahead.note(self.name, dtype):
            return
        self[dtype](*arguments)
        if recorded_calls.recorded is not None:
            recorded_calls.recorded.append(recorded_calls.Call(self._entries[dtype], arguments, self._writes))

    def __missing__(self, dtype: np.dtype):
        if dtype not in _NUMBA_TYPES:
            raise TypeError(f"the numba kernel '{self.name}' works in float32 and float64, not in {dtype}")
        start = time.perf_counter()
        if _threads > 1 and self.must_be_compiled(dtype):
            _compile_needed()
        if dtype not in self:
            self.load(dtype)
        Announcer.seconds += time.perf_counter() - start
        return self[dtype]

    def must_be_compiled(self, dtype: np.dtype) -> bool:
        """Whether the kernel for `dtype` is neither in memory nor in the cache; False if there is no cache."""
        return dtype not in self and not is_cached_or_cannot_be(self._function, self._signature(_NUMBA_TYPES[dtype]))

    def load(self, dtype: np.dtype, say: Callable[[str], None] = notices.say) -> None:
        """Compile the kernel for `dtype`, or load it from the cache; `say` is told that it has to be compiled."""
        load_thread_loop()  # first, because the kernel refers to it by symbol name
        self._function.disable_compile(False)
        signature = self._signature(_NUMBA_TYPES[dtype])
        compile_or_load(self._function, signature, f"'{self.name}' for {dtype}", say)
        compiled = self._function.overloads[signature]
        self._entries[dtype] = compiled.entry_point
        compiled_functions[compiled.entry_point] = compiled
        self._function.disable_compile()  # calls with other argument types are bugs: raise instead of compiling again
        self[dtype] = self._function

    def code_size(self) -> int:
        """Bytes of bytecode of the kernel and of all functions in it: a hint at how long it takes to compile."""
        return _code_size(self._function, set())


compiled_kernels: dict[str, Compiled] = {}
"""Every kernel by name."""


def _compile_needed() -> None:
    """Compile, in several processes, the kernels that the announced work needs; see `compile_ahead`."""
    load_thread_loop()  # before the others start, which need it, too
    with other_scratch():  # the kernel that is missing may have been called with some
        missing = [(name, dtype) for name, dtype in compile_ahead.needed() if dtype in _NUMBA_TYPES]
    missing = [kernel for kernel in missing if compiled_kernels[kernel[0]].must_be_compiled(kernel[1])]
    missing.sort(key=lambda kernel: -compiled_kernels[kernel[0]].code_size())
    compile_together(missing, lambda name, dtype: compiled_kernels[name].load(dtype, _say_nothing), _threads)


def _say_nothing(sentence: str) -> None:
    """Where one message announces the compiling of many kernels."""


def _code_size(function: Any, seen: set[int]) -> int:
    code, names = function.py_func.__code__, function.py_func.__globals__
    called = [names[name] for name in code.co_names if hasattr(names.get(name), "py_func")]
    new = [f for f in called if id(f) not in seen]
    seen.update(map(id, new))
    return len(code.co_code) + sum(_code_size(f, seen) for f in new)


_threads = 1  # a copy of Numba's count: asking Numba takes longer than a small kernel's first thousand additions
_serial_work = _SERIAL_WORK["omp"]


def set_threads(count: int | None) -> int:
    """Use `count` threads, or `MINIGAN_NUM_THREADS`, or every core this process may run on; return the count in use.

    More threads than cores never help, so the count is limited to the cores that the process may use (its affinity
    mask).
    """
    global _threads, _serial_work
    if count is None:
        count = environment.count("MINIGAN_NUM_THREADS") or config.NUMBA_NUM_THREADS
    _threads = min(count, config.NUMBA_NUM_THREADS)
    set_num_threads(_threads)  # loads the threading layer
    _serial_work = _SERIAL_WORK[threading_layer()]
    return _threads


def threads_for(work: int) -> int:
    """The number of threads to use for `work`, in array elements touched, or arithmetic that takes as long."""
    return 1 if work < _serial_work else _threads
