"""The arrays that a call returns, and the memory that they look at."""

from __future__ import annotations

from typing import Any

import numpy as np


def owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory `array` looks at."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def flattened(found: Any) -> tuple[Any, ...]:
    """The results of a kernel, or of a forward that returns (data, saved), one after another."""
    if not isinstance(found, tuple):
        return (found,)
    *results, saved = found
    return (*results, *saved) if isinstance(saved, tuple) else found
