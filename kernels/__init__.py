"""Arrays in, arrays out: implementations of the kernels, and one table (operation, implementation) -> callable.

`reference` is plain array code and the definition of every operation; `numba` is the fast path on CPUs, and
covers the operations that take the time. Others join with `register`. This package stands on its own: it imports
nothing of minigan.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from minigan_kernels import notices, numba, reference

REFERENCE = "reference"
OPERATIONS = tuple(kernel.__name__ for kernel in reference.KERNELS)
IMPLEMENTATIONS: dict[str, Any] = {}
"""What was registered, by name; a later one is taken to be faster than those before."""


def register(name: str, implementation: Any) -> None:
    """Let `implementation` join under `name`: with `minigan info`, `gradcheck`, `--kernels` and the tests.

    An implementation is a package, a module or another object with these attributes:

    - `ARRAYS`: the name of the array library whose arrays it computes on, as it is imported: "numpy", "cupy". None:
      any library with NumPy's names; its kernels take the library first.
    - `unavailable()`: why it cannot be used here, as a clause; None if it can. Raises ValueError, with a clause, if an
      environment variable that it reads makes no sense.
    - `KERNELS`: functions with the names and signatures of those in `reference`, not necessarily all; the reference
      serves the rest. Read only if the implementation is available.
    - `describe()`: facts for `minigan info`, by name, such as {"vector width": "512 bits"}. Called only if available.
    - `PACKAGES`, optional: the packages whose versions its numbers depend on, as they are imported.
    - `set_threads(count)`, optional: compute on `count` CPU threads (None: as the environment says, or on every core
      at hand) and return how many. Raises ValueError as `unavailable` does.

    What compiles says so, and how long it took, through `minigan_kernels.notices`. Unless a user asks for another, the
    implementation registered last serves the arrays of its library, if it is available; a backend that has already
    loaded its kernels keeps them until the next `minigan.use`. Raises ValueError if the name is taken or is "auto",
    and TypeError if an attribute is missing.
    """
    for attribute in ("ARRAYS", "unavailable", "describe"):  # not KERNELS: to look at them may load much
        if not hasattr(implementation, attribute):
            raise TypeError(f"the kernels '{name}' have no {attribute}; see help(minigan_kernels.register)")
    if name == "auto" or name in IMPLEMENTATIONS:
        raise ValueError(f"the name '{name}' is taken; register the kernels under another one")
    _table.cache_clear()  # the name may have belonged to one that was removed
    IMPLEMENTATIONS[name] = implementation


def unavailable(implementation: str) -> str | None:
    """Why `implementation` cannot be used here, as a clause; None if it can. The first answer takes a moment.

    Raises ValueError if an environment variable that it reads makes no sense.
    """
    if implementation not in IMPLEMENTATIONS:
        return f"there is no implementation '{implementation}' (known: {', '.join(IMPLEMENTATIONS)})"
    reason: str | None = IMPLEMENTATIONS[implementation].unavailable()
    return reason


def implementations_for(xp: Any) -> list[str]:
    """The implementations for arrays of the library `xp`, available or not, as registered: the reference first."""
    return [name for name, found in IMPLEMENTATIONS.items() if found.ARRAYS in (None, xp.__name__)]


def fastest(xp: Any) -> str:
    """The implementation registered last of those that serve arrays of the library `xp` and are available.

    Raises ValueError as `unavailable` does.
    """
    return next(name for name in reversed(implementations_for(xp)) if unavailable(name) is None)


def table(implementation: str, xp: Any) -> dict[str, Callable]:
    """Operation name -> callable for arrays of the library `xp`; lacks what the implementation does not offer.

    Raises RuntimeError if the implementation is unavailable.
    """
    if reason := unavailable(implementation):
        raise RuntimeError(f"the kernels '{implementation}' cannot be used: {reason}")
    return _table(implementation, xp)


@lru_cache
def _table(implementation: str, xp: Any) -> dict[str, Callable]:
    found = IMPLEMENTATIONS[implementation]
    of_any_library = found.ARRAYS is None
    return {kernel.__name__: partial(kernel, xp) if of_any_library else kernel for kernel in found.KERNELS}


def packages() -> list[str]:
    """The packages that the numbers of an implementation depend on, as they are imported, if they are."""
    return [package for found in IMPLEMENTATIONS.values() for package in getattr(found, "PACKAGES", ())]


def set_threads(implementation: str, count: int | None = None) -> int:
    """Let `implementation` compute on `count` CPU threads; returns how many. 1 where it leaves threads to others."""
    setter = getattr(IMPLEMENTATIONS[implementation], "set_threads", None)
    return 1 if setter is None else setter(count)


def on_compile(say: Callable[[str], None]) -> None:
    """Call `say(sentence)` before a kernel is compiled for the first time on this machine."""
    notices.Announcer.say = staticmethod(say)


def compile_seconds() -> float:
    """The seconds this process has spent compiling kernels, or loading what was compiled before."""
    return notices.Announcer.seconds


register(REFERENCE, reference)
register("numba", numba)
