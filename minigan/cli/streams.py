"""Standard output and standard error as the commands may rely on them, whatever they are connected to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from minigan.core.errors import escaped

_UP = "\x1b[A"


class OutputError(Exception):
    """Standard output cannot be written."""


@contextmanager
def usable_streams() -> Iterator[None]:
    """Inside, both streams are there and take every character: what one cannot encode, and what would steer a terminal,
    is written as an escape.

    Where standard output cannot be written, writing raises OutputError, and BrokenPipeError if its reader has gone.
    Where standard error cannot, what would be said there is lost, and the work goes on.
    """
    before = sys.stdout, sys.stderr
    if None in (sys.stdin, *before):
        _occupy_closed_descriptors()
    sys.stdout = _Output(before[0] or os.fdopen(1, "w", encoding="utf-8", closefd=False))
    sys.stderr = _Stream(before[1] or os.fdopen(2, "w", encoding="utf-8", closefd=False))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _occupy_closed_descriptors() -> None:
    """Else the next file that is opened would get the number of a standard stream, and what is printed there.

    They are opened for reading only, so that writing still fails.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


class _Stream:
    """A text stream; what cannot be written is lost."""

    _kept = "\n\r\t"  # with _UP, what a progress bar needs

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        shown = _UP.join(escaped(part, self._kept) for part in text.split(_UP))
        try:
            self._stream.write(shown.encode(self._encoding, "backslashreplace").decode(self._encoding))
        except OSError as error:
            self._failed(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        """Let what is left in the buffer go nowhere: at exit Python would try again, and complain with a traceback."""
        with suppress(OSError):  # a stream without a descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class _Output(_Stream):
    """A text stream; what cannot be written is an error."""

    _kept = "\n"

    def _failed(self, error: OSError) -> None:
        super()._failed(error)
        if isinstance(error, BrokenPipeError):
            raise error
        raise OutputError(f"standard output cannot be written ({error.strerror or error}); send it elsewhere.")
