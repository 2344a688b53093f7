"""Arrays in, arrays out: one table (operation, implementation) -> callable.

`reference` is plain array code and the definition of every operation; `numba` is the fast path on CPUs, and
covers the operations that take the time. This package stands on its own: it imports nothing of minigan.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import lru_cache, partial

from minigan_kernels import environment, reference

IMPLEMENTATIONS = ("reference", "numba")
OPERATIONS = tuple(kernel.__name__ for kernel in reference.KERNELS)


def unavailable(implementation: str) -> str | None:
    """Why `implementation` cannot be used here, as a clause; None if it can. The first answer takes a moment.

    Raises ValueError if an environment variable that it reads makes no sense.
    """
    if implementation not in IMPLEMENTATIONS:
        return f"there is no implementation '{implementation}' (known: {', '.join(IMPLEMENTATIONS)})"
    if implementation == "reference":
        return None
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    return _no_numba()


@lru_cache
def _no_numba() -> str | None:
    environment.count("NUMBA_NUM_THREADS")  # what is no count would keep numba from being imported
    try:
        import numba  # noqa: F401
    except Exception as error:  # missing, made for other versions of what it needs, or set up wrongly
        return f"numba cannot be imported ({error})"
    return None


@lru_cache
def table(implementation: str, xp) -> dict[str, Callable]:
    """Operation name -> callable for arrays of the library `xp`; lacks what the implementation does not offer.

    Raises RuntimeError if the implementation is unavailable.
    """
    if reason := unavailable(implementation):
        raise RuntimeError(f"the kernels '{implementation}' cannot be used: {reason}")
    if implementation == "numba":
        from minigan_kernels import numba

        return {kernel.__name__: kernel for kernel in numba.KERNELS}
    return {kernel.__name__: partial(kernel, xp) for kernel in reference.KERNELS}


def set_threads(count: int | None = None) -> int:
    """Compute on `count` CPU threads; see `numba.set_threads`. Needs numba."""
    from minigan_kernels import numba

    return numba.set_threads(count)


def on_compile(say: Callable[[str], None]) -> None:
    """Call `say(sentence)` before a kernel is compiled for the first time on this machine. Needs numba."""
    from minigan_kernels import numba

    numba.Announcer.say = staticmethod(say)


def compile_seconds() -> float:
    """The seconds this process has spent compiling kernels, or loading what was compiled before."""
    loaded = sys.modules.get("minigan_kernels.numba")  # not imported here: where it is not in use, there are none
    return loaded.Announcer.seconds if loaded else 0.0


def vector_bits() -> int:
    """The width of the vectors that kernels are compiled for. Needs numba."""
    from minigan_kernels.numba.cpu import vector_bytes

    return 8 * vector_bytes()
