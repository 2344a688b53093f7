"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import minigan as mg
import minigan_kernels
from minigan.core import backend

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
    libraries = dict(backend.by_array_type)
    yield
    backend.by_array_type.clear()
    backend.by_array_type.update(libraries)
    mg.use("numpy", "auto")


def _parameters(pairs: list[backend.Implementation]) -> list:
    def mark(pair: backend.Implementation) -> pytest.MarkDecorator:
        return pytest.mark.skipif(pair.unavailable is not None, reason=f"needs {pair}: {pair.unavailable}")

    return [pytest.param(pair, id=str(pair), marks=mark(pair)) for pair in pairs]


PAIRS = _parameters(backend.implementations())
ON_NUMPY = [parameter for parameter in PAIRS if parameter.values[0].backend.xp is np]


@pytest.fixture(params=PAIRS)
def kernels(request: pytest.FixtureRequest) -> str:
    """The name of each implementation in turn, in use for the arrays of each library that it serves."""
    mg.use(request.param.backend, request.param.kernels)
    return request.param.kernels


@pytest.fixture(params=ON_NUMPY)
def table(request: pytest.FixtureRequest) -> dict[str, Callable]:
    """The kernels for NumPy arrays of each implementation, with the reference for what it lacks."""
    return minigan_kernels.table("reference", np) | minigan_kernels.table(request.param.kernels, np)


@pytest.fixture(scope="session")
def make_rng() -> Callable[..., np.random.Generator]:
    """A fresh generator; the same numbers for the same seed."""
    return lambda seed=0: np.random.default_rng([20141226, seed])
