"""Standard output and standard error that the commands can rely on, whatever they are connected to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from minigan.core.errors import escaped

_CURSOR_UP = "\x1b[A"


class OutputError(Exception):
    """Standard output cannot be written."""


@contextmanager
def robust_streams() -> Iterator[None]:
    """A context in which both streams exist and accept every character.

    Characters that a stream cannot encode, and those that control a terminal, are written as escapes. Writing to
    standard output raises OutputError if it fails, and BrokenPipeError if its reader has ended. What cannot be written
    to standard error is lost, and the work goes on.
    """
    original = sys.stdout, sys.stderr
    if None in (sys.stdin, *original):
        _occupy_closed_descriptors()
    sys.stdout = _StrictStream(original[0] or os.fdopen(1, "w", encoding="utf-8", closefd=False))
    sys.stderr = _LossyStream(original[1] or os.fdopen(2, "w", encoding="utf-8", closefd=False))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = original


def _occupy_closed_descriptors() -> None:
    """Open the null device for each closed standard stream, for reading only, so that writing still fails.

    Otherwise the next file that is opened would get the number of the stream, and receive what is printed to it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


class _LossyStream:
    """A text stream; text that cannot be written is lost."""

    _unescaped = "\n\r\t"  # with _CURSOR_UP, what a progress bar needs

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        shown = _CURSOR_UP.join(escaped(part, self._unescaped) for part in text.split(_CURSOR_UP))
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
        """Discard what is left in the buffer: at exit Python would try to write it again, and print a traceback."""
        with suppress(OSError):  # a stream without a descriptor
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


class _StrictStream(_LossyStream):
    """A text stream; text that cannot be written is an error."""

    _unescaped = "\n"

    def _failed(self, error: OSError) -> None:
        super()._failed(error)
        if isinstance(error, BrokenPipeError):
            raise error
        raise OutputError(f"standard output cannot be written ({error.strerror or error}); send it elsewhere.")
