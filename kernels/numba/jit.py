"""Compiling once and keeping it; how many threads."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numba
import numpy as np
from numba import config, float32, float64, njit, set_num_threads

from minigan_kernels.cache import cache_directory
from minigan_kernels.numba.cpu import vector_bytes

# Starting a parallel region costs about 1 us with OpenMP, 39 us with workqueue and 115 us with TBB.
_FASTEST_LAYERS_FIRST = ["omp", "tbb", "workqueue"]
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


def _print_notice(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Announcer:
    """Says on the terminal what is being compiled; `minigan --quiet` replaces `say`."""

    say: Callable[[str], None] = staticmethod(_print_notice)
    seconds = 0.0  # spent compiling (or loading what was compiled before) in this process


@contextmanager
def kept_on_disk() -> Iterator[None]:
    """Functions decorated inside keep their machine code in minigan's own cache folder.

    Numba's choice, the package's folder, may be read-only. The folder's name holds a fingerprint of all kernel
    sources: Numba itself notices changes only in the file of the function, not in the files it calls.
    """
    before, layers = config.CACHE_DIR, config.THREADING_LAYER_PRIORITY
    config.CACHE_DIR = str(_cache_folder())
    try:
        yield
    finally:
        config.CACHE_DIR = before
    if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ and layers == ["tbb", "omp", "workqueue"]:
        config.THREADING_LAYER_PRIORITY = _FASTEST_LAYERS_FIRST


@lru_cache
def _cache_folder() -> Path:
    fingerprint = hashlib.sha256(f"{sys.version} numba {numba.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        fingerprint.update(source.read_bytes())
    name = f"kernels/{fingerprint.hexdigest()[:16]}-{vector_bytes() * 8}bit"
    if not os.environ.get("NUMBA_CACHE_DIR"):
        return cache_directory(name)
    folder = Path(os.environ["NUMBA_CACHE_DIR"]) / "minigan" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Compiled(dict):
    """A kernel by the type of its numbers: `kernel[array.dtype](...)`, compiled or loaded at the first look."""

    def __init__(self, name: str, function, signature: Callable) -> None:
        super().__init__()
        self.name, self._function, self._signature = name, function, signature

    def __missing__(self, dtype: np.dtype):
        if dtype not in _NUMBA_TYPES:
            raise TypeError(f"the numba kernel '{self.name}' works in float32 and float64, not in {dtype}")
        marker = _cache_folder() / f"{self.name}-{dtype}-{config.CPU_NAME or 'host'}.compiled"
        if not marker.exists():
            Announcer.say(f"minigan: compiling the kernel '{self.name}' for {dtype} on this CPU (once; it is kept)")
        start = time.perf_counter()
        from minigan_kernels.numba.crew import assemble  # late: that module is kept on disk too

        assemble()  # before the kernel is loaded, which calls it by name
        self._function.disable_compile(False)
        self._function.compile(self._signature(_NUMBA_TYPES[dtype]))
        self._function.disable_compile()  # other argument types are our mistake: refuse, rather than compile again
        Announcer.seconds += time.perf_counter() - start
        marker.touch()
        self[dtype] = self._function
        return self._function


_threads = 1  # asked of Numba once: its own answer takes longer than a small kernel's first thousand additions


def set_threads(count: int | None) -> int:
    """Use `count` threads, or `MINIGAN_NUM_THREADS`, or every core this process may run on; returns the count.

    More threads than cores never help, so the cores the process may use (its affinity mask) are the limit.
    """
    global _threads
    if count is None:
        wanted = os.environ.get("MINIGAN_NUM_THREADS", "")
        if wanted and not (wanted.isdecimal() and int(wanted) > 0):
            raise ValueError(f"MINIGAN_NUM_THREADS must be a whole number of at least 1, not '{wanted}'")
        count = int(wanted) if wanted else config.NUMBA_NUM_THREADS
    _threads = min(count, config.NUMBA_NUM_THREADS)
    set_num_threads(_threads)
    return _threads


def threads_for(work: int) -> int:
    """How many threads `work` is worth, counted in numbers touched (or as much arithmetic as takes that long)."""
    return 1 if work < _SERIAL_WORK else _threads
