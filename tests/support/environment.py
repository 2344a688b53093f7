"""The environment of the tests: implementations of the kernels, and whether to test exhaustively."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import pytest

import minigan_kernels
from minigan.core import backend

Case = TypeVar("Case")

WITHOUT_NUMBA = minigan_kernels.unavailable("numba")
EXHAUSTIVE = os.environ.get("MINIGAN_EXHAUSTIVE", "") == "1"  # more cases, as .ci/run runs them
needs_numba = pytest.mark.skipif(WITHOUT_NUMBA is not None, reason=f"needs numba: {WITHOUT_NUMBA}")


def thinned(cases: Iterable[Case], count: int) -> list[Case]:
    """All of the cases with MINIGAN_EXHAUSTIVE=1, which .ci/run sets; else about `count` of them, evenly spread."""
    every = list(cases)
    return every if EXHAUSTIVE else every[:: max(1, round(len(every) / count))]


def _parameters(pairs: list[backend.Implementation]) -> list:
    def mark(pair: backend.Implementation) -> pytest.MarkDecorator:
        return pytest.mark.skipif(pair.unavailable is not None, reason=f"needs {pair}: {pair.unavailable}")

    return [pytest.param(pair, id=str(pair), marks=mark(pair)) for pair in pairs]


PAIRS = _parameters(backend.implementations())
ON_NUMPY = [parameter for parameter in PAIRS if parameter.values[0].backend.xp is np]
