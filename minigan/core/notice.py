"""The type of the functions by which the library reports events that are not errors."""

from __future__ import annotations

from collections.abc import Callable

Notice = Callable[[str], object]
"""A function that takes a sentence without a full stop, such as one about files that were left out."""
