"""Ctrl-C asks a run to stop after the current step; a second Ctrl-C stops it at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class StopRequest:
    """Whether a signal has requested the run to stop (`requested`), and its number."""

    def __init__(self) -> None:
        self.requested, self.number = False, 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested, self.number = True, number
        # Not print: the signal may arrive while something else is printing.
        with suppress(OSError):  # standard error may be closed
            os.write(2, b"\nminigan: stopping as soon as a checkpoint is written; again to stop at once.\n")


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """A context in which Ctrl-C (SIGINT) and SIGTERM become a StopRequest; for the main thread only."""
    request = StopRequest()
    before = {number: signal.signal(number, request._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
