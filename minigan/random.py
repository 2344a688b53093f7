"""Randomness without state: every draw is a pure function of (seed, purpose, step).

So a resumed run draws what the uninterrupted one would have drawn, and runs on NumPy and on CuPy see the same
noise: the draws are always made on the host.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """An independent stream for `purpose` at `step`.

    Philox (Salmon et al., 2011) is counter-based: the key holds the seed and the purpose, the top word of the
    counter the step, so a stream has 2^192 blocks of four numbers before it could meet the next step's.
    """
    key = np.array([seed, zlib.crc32(purpose.encode())], dtype=np.uint64)
    counter = np.array([0, 0, 0, step], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
