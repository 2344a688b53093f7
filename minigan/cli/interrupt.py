"""How Ctrl-C ends `minigan` while it is still importing packages."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minigan.cli.exit_codes import INTERRUPTED


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """A context in which Ctrl-C ends the process at once, with a sentence: for imports of large packages.

    A KeyboardInterrupt could be lost during an import: callbacks of the import system print exceptions and go on, and
    packages catch any exception of an import that they can do without.
    """
    custom_handler = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    if custom_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, _exit_process)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_process(number: int, frame: Any) -> None:
    try:
        os.write(2, b"minigan: interrupted.\n")
    finally:
        os._exit(INTERRUPTED)
