"""What the kernels say while they are made ready: sentences for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress


def _print(text: str) -> None:
    if sys.stderr is not None:  # it was closed before Python began: `print` would take the standard output instead
        print(text, file=sys.stderr, flush=True)


class Announcer:
    """Says on the terminal what is being compiled; `minigan --quiet` replaces `say`."""

    say: Callable[[str], None] = staticmethod(_print)
    seconds = 0.0  # spent compiling (or loading what was compiled before) in this process


def say(sentence: str) -> None:
    """Tell it, if anybody can be told: a terminal that is closed or full is no reason to fail."""
    with suppress(OSError, ValueError):
        Announcer.say(f"minigan: {sentence}")
