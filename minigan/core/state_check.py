"""Check that saved arrays fit the arrays that they are to replace."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def require_matching_state(expected: Mapping[str, np.ndarray], saved: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError, naming the first difference, unless `saved` has the names, shapes and dtypes of `expected`."""
    for name in sorted(expected.keys() | saved.keys()):
        if name not in saved or name not in expected:
            raise ValueError(f"{name} is {'missing' if name in expected else 'not known here'}")
        ours, theirs = expected[name], saved[name]
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            raise ValueError(
                f"{name} has shape {theirs.shape} and type {theirs.dtype}, expected {ours.shape} and {ours.dtype}"
            )
