"""What several test files share."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from support.environment import ON_NUMPY, PAIRS

import minigan as mg
import minigan_kernels
from minigan.core import backend

os.environ.setdefault("MINIGAN_DEBUG", "1")  # an exception that nothing foresees fails a test, with its traceback


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


@pytest.fixture(params=PAIRS)
def kernels(request: pytest.FixtureRequest) -> str:
    """The name of each implementation in turn, in use for the arrays of each library that it serves."""
    mg.use(request.param.backend, request.param.kernels)
    return request.param.kernels


@pytest.fixture(params=ON_NUMPY)
def table(request: pytest.FixtureRequest) -> dict[str, Callable]:
    """The kernels for NumPy arrays of each implementation, with the reference for what it lacks."""
    return minigan_kernels.table("reference", np) | minigan_kernels.table(request.param.kernels, np)


@pytest.fixture
def winograd_however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Winograd's algorithm serves small pictures too, where it would not pay."""
    if minigan_kernels.unavailable("numba") is None:
        winograd = importlib.import_module("minigan_kernels.numba.winograd")
        monkeypatch.setattr(winograd, "FEWEST_PIXELS", {"exact": 1, "fast": 1})


@pytest.fixture(scope="session")
def make_rng() -> Callable[..., np.random.Generator]:
    """A fresh generator; the same numbers for the same seed."""
    return lambda seed=0: np.random.default_rng([20141226, seed])
