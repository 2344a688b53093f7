"""The errors that minigan raises. Each message says what was wrong, what was expected, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MiniganError(Exception):
    """The base of all: an error that the user can correct. The command line prints it and exits with 1."""


class UsageError(MiniganError):
    """The request is invalid or cannot be carried out here. The command line exits with 2."""


class DataError(MiniganError):
    """A data set is missing, damaged, or not in the format that it should have."""


class CheckpointError(MiniganError):
    """A checkpoint is missing, damaged, or belongs to another run."""


class FileError(MiniganError):
    """A file is not a regular one, is too large, or cannot be opened."""


class NonFiniteError(MiniganError):
    """A loss or a gradient became NaN or infinite."""


class DrawingError(MiniganError):
    """A figure cannot be drawn."""


def clause(error: Exception) -> str:
    """The message of `error` in one line without a full stop, to put into a sentence."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(reason.split()).rstrip(".")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A clause that names the known word most similar to `wrong`, or all known words if none is similar."""
    names = sorted(known)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return "known: " + ", ".join(names) + "." if names else "none is known here."


_LONGEST_WORD, _LONGEST_LINE = 200, 2000  # characters


def escaped(text: str, kept: str = "") -> str:
    """`text` with escapes such as \\x1b for line breaks, control characters, what changes the direction of writing and
    whatever else cannot be seen, but for the characters `kept`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii") for c in text)


def one_line(text: str) -> str:
    """`text`, which may hold anything that was read or given, as one line of a terminal: escaped, and of words and
    texts without end the middle is left out."""
    return _shortened(" ".join(_shortened(word, _LONGEST_WORD) for word in escaped(text).split(" ")), _LONGEST_LINE)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 2 :]}"
