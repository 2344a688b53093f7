"""The environment of the tests: implementations of the kernels, and whether to test exhaustively."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import pytest

import minigan_kernels
from minigan.core import backend
from support import cupy_standin
from support.cuda_cpu import build

if os.environ.get("MINIGAN_TEST_CUPY", "") == "1":  # before PAIRS, so that these list the implementations for CuPy
    cupy_standin.use_for_the_session()

Case = TypeVar("Case")

GPU = None if cupy_standin.is_in_use() else cupy_standin.GPU
WITHOUT_NUMBA = minigan_kernels.unavailable("numba")
EXHAUSTIVE = os.environ.get("MINIGAN_EXHAUSTIVE", "") == "1"  # more cases, as .ci/run runs them
PART = os.environ.get("MINIGAN_PART", "1/1")  # "1/2": of the slow tests the first half, arbitrary but always the same
WITHOUT_COMPILER = "g++ on Linux is missing, which compiles CUDA kernels for the CPU"
needs_compiler = pytest.mark.skipif(
    cupy_standin.GPU is None and build.compiler() is None, reason=f"needs a GPU: {WITHOUT_COMPILER}"
)
skip_unless_exhaustive = pytest.mark.skipif(not EXHAUSTIVE, reason="it takes long; MINIGAN_EXHAUSTIVE=1 runs it")
needs_numba = pytest.mark.skipif(WITHOUT_NUMBA is not None, reason=f"needs numba: {WITHOUT_NUMBA}")


def thinned(cases: Iterable[Case], count: int) -> list[Case]:
    """All of the cases with MINIGAN_EXHAUSTIVE=1, which .ci/run sets; else about `count` of them, evenly spread."""
    every = list(cases)
    return every if EXHAUSTIVE else every[:: max(1, round(len(every) / count))]


def _parameters(pairs: list[backend.Implementation]) -> list:
    def mark(pair: backend.Implementation) -> pytest.MarkDecorator:
        reason = pair.unavailable
        if pair.kernels.startswith("cuda") and cupy_standin.is_in_use() and build.compiler() is None:
            reason = WITHOUT_COMPILER
        return pytest.mark.skipif(reason is not None, reason=f"needs {pair}: {reason}")

    return [pytest.param(pair, id=str(pair), marks=mark(pair)) for pair in pairs]


PAIRS = _parameters(backend.implementations())
ON_NUMPY = [parameter for parameter in PAIRS if parameter.values[0].backend.xp is np]
