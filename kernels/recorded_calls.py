"""Recorded calls: every call by which a kernel changes numbers, so that a step can be replayed without its Python.

A fast kernel is a Python function that converts its operands to the layout that compiled code takes, allocates memory
and calls the compiled code. Nearly all of this is the same at every call with the same arrays. The numbers change only
in calls of compiled functions and in copies of arrays. A kernel makes all of these through `call` or
`Compiled.launch`, which append them, with their arguments, to a list while calls are being recorded:

    with record() as calls:
        y = dense(x, w, b, 0.2)
    x[...] = other
    for c in calls:
        c.function(*c.arguments)        # y is now dense(other, w, b, 0.2), with the same bits

So a kernel must not read or write the elements of an array outside of these calls. The calls work on the kernel's
arguments and views of them, on memory that the kernel has just allocated as the output of a call, on scratch memory and
on constants. Where an argument does not have the layout that compiled code needs, the copy is a recorded call, too.

Recording covers the whole process: record in one thread, while no other thread runs kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Call(NamedTuple):
    """The call `function(*arguments)`; of the arrays, it writes only into the arguments at the positions `writes`."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    writes: tuple[int, ...]


recorded: list[Call] | None = None
"""The list to which calls are appended while recording, else None."""


@contextmanager
def record() -> Iterator[list[Call]]:
    """Record the calls made in the `with` block, in order, in the list that it yields.

    Inside another `record`, the calls go to the inner list only.
    """
    global recorded
    before, recorded = recorded, []
    try:
        yield recorded
    finally:
        recorded = before


def call(function: Callable[..., Any], *arguments: Any, writes: tuple[int, ...] = (0,)) -> None:
    """Call `function(*arguments)`, and record the call."""
    function(*arguments)
    if recorded is not None:
        recorded.append(Call(function, arguments, writes))
