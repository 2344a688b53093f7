"""Kernels: functions from arrays to arrays, in one table (operation, implementation) -> callable.

`reference` is plain array code and defines every operation. `numba` is the fast implementation for CPUs; it covers the
operations that take most of the time. `cuda` is the one for NVIDIA GPUs, and `cuda-tf32` a faster variant of it that is
less exact. Other packages add their implementations with `register`. This package imports nothing of minigan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

from minigan_kernels import cuda, notices, numba, reference
from minigan_kernels.cuda import tf32

REFERENCE = "reference"
Call = tuple[Callable[..., Any], tuple[Any, ...]]
OPERATIONS = tuple(kernel.__name__ for kernel in reference.KERNELS)
IMPLEMENTATIONS: dict[str, Any] = {}
"""The registered implementations by name; each is assumed to be faster than those registered before it."""


def register(name: str, implementation: Any) -> None:
    """Add `implementation` to the table under `name`; `minigan info`, `gradcheck`, `--kernels` and the tests see it.

    An implementation is a package, a module or another object with these attributes:

    - `ARRAYS`: the import name of the array library whose arrays it computes on, such as "numpy" or "cupy". None means
      any library with NumPy's function names; its kernels then take the library as their first argument.
    - `unavailable()`: returns the reason why the implementation cannot be used here, as a clause, or None if it can be
      used. Raises ValueError, with a clause, if an environment variable that it reads has an invalid value.
    - `KERNELS`: functions with the names and signatures of those in `reference`. Operations that are missing here are
      computed by the reference. Read only if the implementation is available.
    - `describe()`: returns facts for `minigan info` by name, such as {"vector width": "512 bits"}. Called only if the
      implementation is available.
    - `PACKAGES`, optional: import names of the packages whose versions affect the computed numbers.
    - `set_threads(count)`, optional: computes on `count` CPU threads from now on and returns the count in use. None
      means the number that the environment sets, or every available core. Raises ValueError as `unavailable` does.
    - `join_calls(calls)`, optional: a list of calls (function, arguments) that do the same as `calls` in less time; see
      `minigan_kernels.recorded_calls`.

    An implementation that compiles kernels reports this, and the seconds it took, through `minigan_kernels.notices`.
    By default the implementation registered last is used for the arrays of its library, if it is available. A backend
    that has already loaded its kernels keeps them until the next `minigan.use`.

    Raises ValueError if the name is taken or is "auto", and TypeError if an attribute is missing.
    """
    for attribute in ("ARRAYS", "unavailable", "describe"):  # reading KERNELS may import large packages
        if not hasattr(implementation, attribute):
            raise TypeError(f"the kernels '{name}' have no {attribute}; see help(minigan_kernels.register)")
    if name == "auto" or name in IMPLEMENTATIONS:
        raise ValueError(f"the name '{name}' is taken; register the kernels under another one")
    _table.cache_clear()  # it may hold an implementation that had this name and was removed
    IMPLEMENTATIONS[name] = implementation


def unavailable(implementation: str) -> str | None:
    """Return the reason why `implementation` cannot be used here, as a clause, or None if it can be used.

    The first call is slow: it may import the packages that the implementation needs. Raises ValueError if an
    environment variable that the implementation reads has an invalid value.
    """
    if implementation not in IMPLEMENTATIONS:
        return f"there is no implementation '{implementation}' (known: {', '.join(IMPLEMENTATIONS)})"
    reason: str | None = IMPLEMENTATIONS[implementation].unavailable()
    return reason


def implementations_for(xp: Any) -> list[str]:
    """Names of the implementations for arrays of the library `xp`, available or not, in order of registration."""
    return [name for name, kernels in IMPLEMENTATIONS.items() if kernels.ARRAYS in (None, xp.__name__)]


def fastest(xp: Any) -> str:
    """The name of the available implementation for arrays of the library `xp` that was registered last.

    Raises ValueError as `unavailable` does.
    """
    return next(name for name in reversed(implementations_for(xp)) if unavailable(name) is None)


def table(implementation: str, xp: Any) -> dict[str, Callable]:
    """Map each operation that `implementation` offers to its callable for arrays of the library `xp`.

    Raises RuntimeError if the implementation is unavailable.
    """
    if reason := unavailable(implementation):
        raise RuntimeError(f"the kernels '{implementation}' cannot be used: {reason}")
    return _table(implementation, xp)


@lru_cache
def _table(implementation: str, xp: Any) -> dict[str, Callable]:
    chosen = IMPLEMENTATIONS[implementation]
    takes_library = chosen.ARRAYS is None
    return {kernel.__name__: partial(kernel, xp) if takes_library else kernel for kernel in chosen.KERNELS}


def packages() -> list[str]:
    """Import names of the packages whose versions affect the numbers that some implementation computes."""
    return [package for kernels in IMPLEMENTATIONS.values() for package in getattr(kernels, "PACKAGES", ())]


def set_threads(implementation: str, count: int | None = None) -> int:
    """Let `implementation` compute on `count` CPU threads; return the count in use, 1 if it does not manage threads.

    None means the count that the environment sets, or every available core. Raises ValueError if an environment
    variable has an invalid value.
    """
    setter = getattr(IMPLEMENTATIONS[implementation], "set_threads", None)
    return 1 if setter is None else setter(count)


def join_calls(implementation: str, calls: Sequence[Call]) -> Sequence[Call]:
    """Calls (function, arguments) that do the same as the recorded `calls`, in less time if `implementation` can."""
    joiner = getattr(IMPLEMENTATIONS[implementation], "join_calls", None)
    return calls if joiner is None else joiner(calls)


def on_compile(say: Callable[[str], None], progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Call `say(sentence)` from now on whenever a kernel has to be compiled.

    While kernels are compiled together, `progress(done, total)` is called, too.
    """
    notices.Announcer.say, notices.Announcer.progress = staticmethod(say), staticmethod(progress)


def compile_seconds() -> float:
    """The seconds this process has spent compiling kernels and loading compiled kernels from disk."""
    return notices.Announcer.seconds


register(REFERENCE, reference)
register("numba", numba)
register("cuda-tf32", tf32)  # before "cuda": less exact, so never taken by default
register("cuda", cuda)
