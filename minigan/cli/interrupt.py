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
    """Inside, Ctrl-C ends the process with a sentence. For imports of large packages, before any work.

    As an exception it could be lost there: callbacks of the import system print what is raised in them and go on, and
    packages catch whatever is raised by an import that they can do without.
    """
    own_handler = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    if own_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: Any) -> None:
    try:
        os.write(2, b"minigan: interrupted.\n")
    finally:
        os._exit(INTERRUPTED)
