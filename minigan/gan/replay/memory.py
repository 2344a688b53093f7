"""Helpers for the arrays that recorded calls take and return."""

from __future__ import annotations

from typing import Any

import numpy as np


def owner(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory of the view `array`; itself if it is no view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def flatten_results(returned: Any) -> tuple[Any, ...]:
    """The arrays returned by a kernel, or by a forward that returns (data, saved), in one tuple."""
    if not isinstance(returned, tuple):
        return (returned,)
    *results, saved = returned
    return (*results, *saved) if isinstance(saved, tuple) else returned
