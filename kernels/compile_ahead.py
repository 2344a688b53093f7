"""Which kernels the coming work needs, so that they can be compiled together, on every core, when the first is missing.

    with compile_ahead.announced(dry_run):
        work()

If a kernel that `work` calls has to be compiled, its implementation may call `needed()` first. This calls `dry_run`,
which makes the same calls as `work` on copies of what these change. In it kernels compute nothing (`note` says so): the
numbers are arbitrary, and only the names of the kernels are collected. If nothing is missing, `dry_run` is not called.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np

Kernel = tuple[str, np.dtype]
"""The name of a kernel, and the dtype that it is compiled for."""


class _State(threading.local):  # other threads compute as usual during a dry run
    dry_run: Callable[[], object] | None = None
    noted: dict[Kernel, None] | None = None


_state = _State()


@contextmanager
def announced(dry_run: Callable[[], object]) -> Iterator[None]:
    """A context for work whose calls of kernels `dry_run` makes, too; inside another one it does nothing."""
    if _state.dry_run is not None or _state.noted is not None:
        yield
        return
    _state.dry_run = dry_run
    try:
        yield
    finally:
        _state.dry_run = None


def note(name: str, dtype: np.dtype) -> bool:
    """Whether this thread makes a dry run; if so, the kernel `name` is needed for `dtype`, and must compute nothing."""
    if _state.noted is None:
        return False
    _state.noted[name, dtype] = None
    return True


def needed() -> list[Kernel]:
    """The kernels that the announced work calls; none if no work is announced, or at the second call for the same work.

    An error in the dry run, which may be due to its arbitrary numbers, ends the list early. Warnings are dropped.
    """
    dry_run, _state.dry_run = _state.dry_run, None
    if dry_run is None:
        return []
    _state.noted = noted = {}
    try:
        with suppress(Exception), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dry_run()
    finally:
        _state.noted = None
    return list(noted)
