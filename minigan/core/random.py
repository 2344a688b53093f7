"""Random numbers without state: every draw is a pure function of (seed, purpose, step).

So a resumed run draws what the uninterrupted run would have drawn. The draws are always made on the host, so runs on
NumPy and on CuPy see the same numbers.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence


def generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """A generator of the stream for `purpose` at `step`; seed and step are whole numbers from 0 to 2^64 - 1.

    Philox (Salmon et al., 2011) is counter-based. Its key holds the seed and the purpose, and the top word of its
    counter holds the step, so a stream has 2^192 blocks of four numbers before it would overlap that of the next step.
    """
    counter = np.array([0, 0, 0, step], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(_key(seed, purpose), counter=counter))  # type: ignore[arg-type]


class _Key(ISeedSequence):
    """The key of a stream as a seed sequence: given a plain key, NumPy would also read entropy from the system."""

    def __init__(self, words: list[int]) -> None:
        self._words = np.array(words, np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> np.ndarray:
        return self._words


@lru_cache(maxsize=64)
def _key(seed: int, purpose: str) -> _Key:
    return _Key([seed, zlib.crc32(purpose.encode())])
