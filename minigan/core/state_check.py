"""Whether saved arrays fit what they are to be loaded into."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def require_matching_state(mine: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError, naming the first difference, unless `given` has the names, shapes and types of `mine`."""
    for name in sorted(mine.keys() | given.keys()):
        if name not in given or name not in mine:
            raise ValueError(f"{name} is {'missing' if name in mine else 'not known here'}")
        ours, theirs = mine[name], given[name]
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            raise ValueError(
                f"{name} has shape {theirs.shape} and type {theirs.dtype}, expected {ours.shape} and {ours.dtype}"
            )
