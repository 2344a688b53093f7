"""Messages on the terminal about kernels that are being compiled, and the time that compiling takes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress


def _print(text: str) -> None:
    if sys.stderr is not None:  # without a standard error stream `print` would write to the standard output
        print(text, file=sys.stderr, flush=True)


class Announcer:
    """Where messages go, and the seconds spent so far; `minigan --quiet` replaces `say`."""

    say: Callable[[str], None] = staticmethod(_print)
    progress: Callable[[int, int], None] = staticmethod(lambda done, total: None)
    seconds = 0.0  # that this process has spent compiling kernels and loading compiled kernels


def say(sentence: str) -> None:
    """Print the message; a terminal that is closed or full is not an error."""
    with suppress(OSError, ValueError):
        Announcer.say(f"minigan: {sentence}")
