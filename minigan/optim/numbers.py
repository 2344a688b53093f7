"""Numbers among the settings of optimisers, schedules and rules."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    """Whether `value` is a real number of Python or NumPy, and no truth value."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def require_number(what: str, value: Any) -> None:
    """Raise TypeError unless `value` is a number; `what` names it."""
    if not is_number(value):
        shown = repr(value) if isinstance(value, (str, bool, type(None))) else f"a {type(value).__name__}"
        raise TypeError(f"{what} is {shown}, expected a number")
