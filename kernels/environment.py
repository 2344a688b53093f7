"""Environment variables that hold a count."""

from __future__ import annotations

import os


def count(variable: str) -> int | None:
    """The whole number, at least 1, in the environment variable; None if it is unset or empty. Raises ValueError."""
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"{variable} must be a whole number of at least 1, not '{text}'")
    return int(text)
