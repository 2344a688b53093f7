"""The errors that minigan raises. Each message says what was wrong, what was expected, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from minigan.core.synonyms import meant

__all__ = [
    "CheckpointError", "DataError", "DrawingError", "FileError", "MiniganError", "NonFiniteError", "UsageError",
]  # fmt: skip


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
    """A clause that names the known word that `wrong` means, or else the most similar one, or else all of them.

    What a word means comes first (see minigan.core.synonyms): `lr` is the learning rate, and not `r1`.
    """
    names = sorted(known)
    if near := meant(wrong, names) or next(iter(difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)), None):
        return f"did you mean '{near}'?"
    return "known: " + ", ".join(names) + "." if names else "none is known here."


_MAX_WORD, _MAX_LINE = 200, 2000  # characters


def escaped(text: str, allowed: str = "") -> str:
    """`text` with escapes such as \\x1b for all characters that are not printable, except for those in `allowed`.

    Among these are line breaks, control characters, and marks that change the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in allowed else c.encode("unicode_escape").decode("ascii") for c in text)


def one_line(text: str) -> str:
    """`text` from any source as one line for a terminal: escaped, and long words and lines without their middle."""
    return _shortened(" ".join(_shortened(word, _MAX_WORD) for word in escaped(text).split(" ")), _MAX_LINE)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]}...{text[-limit // 2 :]}"
