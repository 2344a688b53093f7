"""Launches: the calls by which a kernel changes numbers, recorded so that they can be made again.

A fast kernel is a Python function that brings its operands into the form that compiled code takes, finds memory, and
starts the code. Nearly all of this is the same at every call with the same arrays. The numbers change in calls of
compiled functions and in copies of arrays: a kernel makes all of these through `call` or `Compiled.launch`, which keep
them, with their arguments, while calls are recorded:

    with record() as calls:
        y = dense(x, w, b, 0.2)
    x[...] = other
    for made in calls:
        made.function(*made.arguments)        # y is now dense(other, w, b, 0.2), the same bits

So outside of these calls a kernel reads and writes no number of any array. The calls work on its arguments and views of
them, on memory that it has just taken for a call to fill, on scratch memory and on constants. Where an argument does
not lie as compiled code wants it, the copy is a call, too.

Calls are recorded for the whole process: note in one thread, while no other runs kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Call(NamedTuple):
    """`function(*arguments)`; it writes into the arguments at the positions `writes`, and into no other array."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    writes: tuple[int, ...]


recorded: list[Call] | None = None
"""Where calls are recorded; None: nowhere."""


@contextmanager
def record() -> Iterator[list[Call]]:
    """Note the calls made meanwhile, in order, in the list that this gives; within another `record`, only in this."""
    global recorded
    before, recorded = recorded, []
    try:
        yield recorded
    finally:
        recorded = before


def call(function: Callable[..., Any], *arguments: Any, writes: tuple[int, ...] = (0,)) -> None:
    """Make the call `function(*arguments)`, and note it."""
    function(*arguments)
    if recorded is not None:
        recorded.append(Call(function, arguments, writes))
