"""Helpers for the arrays that recorded calls take and return."""

from __future__ import annotations

from typing import Any

import numpy as np


def owner(array: Any) -> Any:
    """The array that owns the memory of the view `array`; itself if it is no view."""
    kind = np.ndarray if isinstance(array, np.ndarray) else type(array)
    while isinstance(array.base, kind):
        array = array.base
    return array


def unknown_array(array: Any) -> str:
    """Why a step that computes with `array` cannot be replayed, as a clause."""
    return (
        f"it computes with an array of shape {array.shape} that no operation has made; keep constants in a Buffer, and "
        "compute with the operations of minigan"
    )


def flatten_results(returned: Any) -> tuple[Any, ...]:
    """The arrays returned by a kernel, or by a forward that returns (data, saved), in one tuple."""
    if not isinstance(returned, tuple):
        return (returned,)
    *results, saved = returned
    return (*results, *saved) if isinstance(saved, tuple) else returned
