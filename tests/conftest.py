"""What several test files share."""

from __future__ import annotations

import importlib
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from support.environment import ON_NUMPY, PAIRS

import minigan as mg
import minigan_kernels
from minigan.core import backend

os.environ.setdefault("MINIGAN_DEBUG", "1")  # an exception that nothing foresees fails a test, with its traceback

QUICK_CASES = 3  # of each test that runs over many cases, so many are quick tests; the others are slow


def pytest_configure(config: pytest.Config) -> None:
    """With a worker process for every core (pytest-xdist), a thread in each is enough; workers inherit this."""
    if workers := config.getoption("numprocesses", None):
        threads = str(max(1, len(os.sched_getaffinity(0)) // workers if hasattr(os, "sched_getaffinity") else 1))
        for variable in ("MINIGAN_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(variable, threads)


@pytest.hookimpl(tryfirst=True)  # before -m "not slow" is applied
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow all but a few cases of each test that runs over many.

    Which few is arbitrary, but always the same: a checksum of the name decides, so that no parameter is favoured.
    """
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    for several in cases.values():
        several.sort(key=lambda item: zlib.crc32(item.nodeid.encode()))
        for item in several[QUICK_CASES:]:
            item.add_marker(pytest.mark.slow)


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
def winograd_however_small(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Winograd's algorithm serves small pictures too, where it would not pay.

    Not so in the quick tests: its kernels take as long to compile as all others together.
    """
    quick = request.config.getoption("markexpr") == "not slow"
    if not quick and minigan_kernels.unavailable("numba") is None:
        winograd = importlib.import_module("minigan_kernels.numba.winograd")
        monkeypatch.setattr(winograd, "FEWEST_PIXELS", {"exact": 1, "fast": 1})


@pytest.fixture(scope="session")
def make_rng() -> Callable[..., np.random.Generator]:
    """A fresh generator; the same numbers for the same seed."""
    return lambda seed=0: np.random.default_rng([20141226, seed])
