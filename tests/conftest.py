"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import minigan as mg
import minigan_kernels

os.environ.setdefault("MINIGAN_DEBUG", "1")  # an exception that nothing foresees fails a test, with its traceback

WITHOUT_NUMBA = minigan_kernels.unavailable("numba")
EXHAUSTIVE = os.environ.get("MINIGAN_EXHAUSTIVE", "") == "1"  # more of the same, as .ci/run asks for
needs_numba = pytest.mark.skipif(WITHOUT_NUMBA is not None, reason=f"needs numba: {WITHOUT_NUMBA}")


def pytest_configure(config: pytest.Config) -> None:
    """With a worker process for every core (pytest-xdist), a thread in each is enough; workers inherit this."""
    if workers := config.getoption("numprocesses", None):
        threads = str(max(1, len(os.sched_getaffinity(0)) // workers if hasattr(os, "sched_getaffinity") else 1))
        for variable in ("MINIGAN_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(variable, threads)


@pytest.fixture(autouse=True)
def _restored_backend() -> Iterator[None]:
    yield
    mg.use("numpy", "auto")


@pytest.fixture(params=["reference", pytest.param("numba", marks=needs_numba)])
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of each implementation in turn, in use for NumPy arrays."""
    mg.use("numpy", kernels=request.param)
    yield request.param
    mg.use("numpy", "auto")


@pytest.fixture(scope="session")
def make_rng() -> Callable[..., np.random.Generator]:
    """A fresh generator; the same numbers for the same seed."""
    return lambda seed=0: np.random.default_rng([20141226, seed])
