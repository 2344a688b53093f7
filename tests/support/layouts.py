"""Copies of arrays in the unusual states in which a kernel may get them."""

from __future__ import annotations

import numpy as np


def misaligned(a: np.ndarray) -> np.ndarray:
    """A copy of `a` that starts on an odd byte."""
    raw = np.zeros(a.nbytes + 1, np.uint8)
    out = raw[1 : 1 + a.nbytes].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


def read_only(a: np.ndarray) -> np.ndarray:
    """A copy of `a` that cannot be written to."""
    out = a.copy()
    out.flags.writeable = False
    return out
