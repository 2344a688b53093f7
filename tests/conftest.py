"""What several test files share."""

from __future__ import annotations

import importlib
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import ModuleType

import numpy as np
import pytest
from support import cupy_standin
from support.cuda_cpu import build
from support.device_kernels import on_host
from support.environment import GPU, PAIRS, PART, WITHOUT_COMPILER, needs_compiler

import minigan as mg
import minigan_kernels
from minigan.core import backend

os.environ.setdefault("MINIGAN_BACKEND", "numpy")  # even where there is a GPU; tests of another backend name it
os.environ.setdefault("MINIGAN_DEBUG", "1")  # an exception that nothing foresees fails a test, with its traceback

QUICK_CASES = 3  # of each test that runs over many cases, so many are quick tests; the others are slow


def pytest_configure(config: pytest.Config) -> None:
    """With a worker process for every core (pytest-xdist), a thread in each is enough; workers inherit this."""
    if workers := config.getoption("numprocesses", None):
        threads = str(max(1, len(os.sched_getaffinity(0)) // workers if hasattr(os, "sched_getaffinity") else 1))
        for variable in ("MINIGAN_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(variable, threads)


@pytest.hookimpl(tryfirst=True)  # before -m "not slow" is applied
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as gpu what runs on one, and as slow all but a few cases of each test that runs over many.

    Which few is arbitrary, but always the same: a checksum of the name decides, so that no parameter is favoured. It
    also decides which of the slow tests MINIGAN_PART leaves out.
    """
    for item in items:
        if GPU is not None and _uses_cupy(item):
            item.add_marker(pytest.mark.gpu)
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    for several in cases.values():
        several.sort(key=_checksum)
        for item in several[QUICK_CASES:]:
            item.add_marker(pytest.mark.slow)
    part, parts = map(int, PART.split("/"))
    left_out = {item for item in items if item.get_closest_marker("slow") and _checksum(item) % parts != part % parts}
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


def _checksum(item: pytest.Item) -> int:
    return zlib.crc32(item.nodeid.encode())


def _uses_cupy(item: pytest.Item) -> bool:
    """Whether a test uses the fixture `cupy` or an implementation of the kernels for CuPy."""
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    on_cupy = any(isinstance(p, backend.Implementation) and p.backend.name == "cupy" for p in parameters)
    return on_cupy or "cupy" in getattr(item, "fixturenames", ())


@pytest.fixture(autouse=True)
def _restored_backend() -> Iterator[None]:
    libraries = dict(backend.by_array_type)
    with cupy_standin.left_as_it_was() if cupy_standin.is_in_use() else nullcontext():
        yield
    backend.by_array_type.clear()
    backend.by_array_type.update(libraries)
    mg.use("numpy", "auto")


@pytest.fixture(scope="session", autouse=True)
def _skipped_without_compiler() -> Iterator[None]:
    """A test that comes to compile a CUDA kernel for the CPU is skipped where that cannot be done."""
    with pytest.MonkeyPatch.context() as patch:
        if build.compiler() is None:
            patch.setattr(build, "compile", lambda *_, **__: pytest.skip(WITHOUT_COMPILER))
        yield


@pytest.fixture
def cupy() -> Iterator[ModuleType]:
    """The module `cupy`: the real one if it finds a GPU, else the stand-in, importable during the test."""
    if GPU is not None:
        yield importlib.import_module("cupy")
    else:
        with cupy_standin.importable() as module:
            yield module


@pytest.fixture
def cuda(cupy: ModuleType) -> dict[str, Callable]:
    """The CUDA kernels; they take NumPy arrays."""
    if GPU is None and build.compiler() is None:
        pytest.skip(WITHOUT_COMPILER)
    return on_host(cupy, minigan_kernels.table("cuda", cupy))


@pytest.fixture
def standin() -> Iterator[ModuleType]:
    """The stand-in for CuPy, importable as `cupy` during the test, even where there is a GPU."""
    with cupy_standin.importable() as module:
        yield module


@pytest.fixture(params=["reference", pytest.param("cuda", marks=needs_compiler)])
def standin_kernels(request: pytest.FixtureRequest, standin: ModuleType) -> str:
    """The names of the kernels for arrays of the stand-in for CuPy, each in turn; to be chosen by `mg.use`."""
    return request.param


@pytest.fixture(params=PAIRS)
def kernels(request: pytest.FixtureRequest) -> str:
    """The name of each implementation in turn, in use for the arrays of each library that it serves."""
    mg.use(request.param.backend, request.param.kernels)
    return request.param.kernels


@pytest.fixture(params=PAIRS)
def table(request: pytest.FixtureRequest) -> dict[str, Callable]:
    """The kernels of each implementation, with the reference for what it lacks; all take NumPy arrays."""
    xp = request.param.backend.xp
    kernels = minigan_kernels.table("reference", xp) | minigan_kernels.table(request.param.kernels, xp)
    return kernels if xp is np else on_host(xp, kernels)


@pytest.fixture
def product_error(table: dict[str, Callable], request: pytest.FixtureRequest) -> float:
    """The relative error that rounding the factors to TF32 gives a product; 0 where they are not rounded."""
    return (1 + 2.0**-11) ** 2 - 1 if request.node.callspec.params["table"].kernels == "cuda-tf32" else 0.0


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
