"""Every CUDA kernel but the matrix products, once under ThreadSanitizer and under AddressSanitizer.

The fibers of the other tests run one after another: they cannot show races between blocks, nor a number read beside an
array that no result depends on.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from support.cuda_cpu import sanitized
from support.device_kernels import on_host
from support.environment import skip_unless_exhaustive, thinned
from support.updates import SETTINGS, FlatArrays, numbers_of

import minigan_kernels
from minigan_kernels.cuda import compiler, launch, row_blocks
from minigan_kernels.cuda.batch_norm import MOMENTS
from minigan_kernels.cuda.signature import Strided
from minigan_kernels.geometry import Geometry

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from cuda_mutation.equivalent import READ_OUTSIDE

sys.path.remove(str(Path(__file__).parents[2] / "benchmarks"))

FLOAT = np.dtype(np.float32)
SOURCES = (
    "leaky_relu", "sums", "batch_norm", "optimizers", "moving_average", "clip", "copy", "transpose", "conv2d",
    "conv2d_input_grad", "conv2d_weight_grad", "few_channels",
)  # fmt: skip
CONVOLUTIONS = (  # (images, weights, geometry): with long sums, which have parts; with short ones; with few channels
    ((1, 3, 2, 36), (4, 4, 36, 40), Geometry((3, 2), (4, 4), (2, 2), ((1, 1), (1, 1)))),
    ((2, 5, 3, 7), (2, 3, 7, 5), Geometry((5, 3), (2, 3), (3, 2), ((0, 1), (2, 1)))),
    ((1, 5, 4, 2), (3, 2, 2, 3), Geometry((5, 4), (3, 2), (2, 1), ((1, 0), (0, 1)))),
)


class Recorded(NamedTuple):
    """A launch, with copies of its arrays on the host from before."""

    source: str
    constants: tuple[tuple[str, int], ...]
    kernel: str
    grid: Any
    block: Any
    arguments: tuple[Any, ...]


def _sum(cuda: dict[str, Callable], rng: np.random.Generator) -> None:
    for shape, axis in (((30, 35), 0), ((5, 600), 1)):
        cuda["sum"](_draw(rng, *shape), axis, False)


def _leaky_relu(cuda: dict[str, Callable], rng: np.random.Generator) -> None:
    cuda["slope_gate"](_draw(rng, 1030), _draw(rng, 1030), 0.2)
    cuda["bias_act_grad"](_draw(rng, 27, 35), _draw(rng, 27, 35), 0.2)


def _batch_norm(cuda: dict[str, Callable], rng: np.random.Generator) -> None:
    for shape in ((7, 35), (18, 33)):  # in one block of rows, and in several
        x, g, gamma, beta = _draw(rng, *shape), _draw(rng, *shape), _draw(rng, shape[1]), _draw(rng, shape[1])
        _, *moments = cuda["batch_norm"](x, gamma, beta, 1e-3, 0.2)
        cuda["batch_norm_grad"](g, x, gamma, beta, *moments, 1e-3, 0.2)


def _optimizers(cuda: dict[str, Callable], rng: np.random.Generator) -> None:
    for name, (rate, *others) in SETTINGS.items():
        flat = FlatArrays([1, 1030, 7], "float32", 2 if name == "adam" else 1)
        g = flat.in_place(flat.gradients())
        g[flat.bounds[1, 0] : flat.bounds[1, 1]] = np.nan  # many threads record the same parameter
        scalars = numbers_of(name, 1, rate, *others)
        cuda[name](flat.p, g, flat.bounds, *flat.slots, flat.first_bad, scalars, *others)
    cuda["record_nonfinite"](g, flat.bounds, flat.first_bad, scalars)


def _moving_average(cuda: dict[str, Callable], rng: np.random.Generator) -> None:
    cuda["update_running_statistics"](_draw(rng, 1030), _draw(rng, 1030), 0.9)
    cuda["lerp"](_draw(rng, 1030), _draw(rng, 1030), np.array([0.1]))


def _clip(cuda: dict[str, Callable], rng: np.random.Generator) -> None:
    cuda["clip"](_draw(rng, 1030), 0.5)


def _copy(cuda: dict[str, Callable], rng: np.random.Generator) -> None:
    cuda["contiguous"](_draw(rng, 7, 5, 9).transpose(1, 2, 0))


def _transpose(cuda: dict[str, Callable], rng: np.random.Generator) -> None:
    cuda["contiguous"](_draw(rng, 2, 35, 45).swapaxes(1, 2))


def _convolution(cuda: dict[str, Callable], rng: np.random.Generator) -> None:
    for images, weights, geometry in CONVOLUTIONS:
        x, w, g = _draw(rng, *images), _draw(rng, *weights), _draw(rng, images[0], *geometry.out, weights[3])
        cuda["conv2d"](x, w, _draw(rng, weights[3]), 0.2, geometry)
        cuda["conv2d_input_grad"](g, w, _draw(rng, weights[2]), 0.2, geometry)
        cuda["conv2d_weight_grad"](x, g, geometry)
    few_pixels, many = Geometry((4, 4), (4, 4), (2, 2), ((1, 1), (1, 1))), 33
    cuda["conv2d_weight_grad"](_draw(rng, many, 4, 4, 6), _draw(rng, many, 2, 2, 7), few_pixels)


CALLS = {"sums": _sum, "leaky_relu": _leaky_relu, "batch_norm": _batch_norm, "optimizers": _optimizers,
         "moving_average": _moving_average, "clip": _clip, "copy": _copy, "transpose": _transpose,
         "conv2d": _convolution, "conv2d_input_grad": _convolution, "conv2d_weight_grad": _convolution,
         "few_channels": _convolution}  # fmt: skip


def _draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(FLOAT)


@pytest.fixture
def launches(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Recorded]:
    """The first launch of each kernel during the test, by its name. Blocks are small: a thread is one of the system."""
    for name, value in {"MAX_BLOCK": 128, "_THREADS": 64, "_FEWEST_TERMS": 2}.items():
        monkeypatch.setattr(row_blocks, name, value)
    found: dict[str, Recorded] = {}
    run = launch.Kernel.launch

    def on_the_host(argument: Any) -> Any:
        array = argument.array if isinstance(argument, Strided) else argument
        if not isinstance(array, cupy.ndarray):
            return np.int32(array) if isinstance(array, int) else array
        whole = array if array.base is None else array.base  # a view starts where its array starts, in these tests
        assert whole.data.ptr == array.data.ptr
        return cupy.asnumpy(whole)

    def record(kernel: launch.Kernel, dtype: Any, grid: Any, block: Any, *arguments: Any, **constants: int) -> None:
        if kernel.name not in found:
            moved = tuple(map(on_the_host, arguments))
            found[kernel.name] = Recorded(kernel.source, tuple(constants.items()), kernel.name, grid, block, moved)
        run(kernel, dtype, grid, block, *arguments, **constants)

    monkeypatch.setattr(launch.Kernel, "launch", record)
    return found


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize(("stem", "sanitizer"), thinned(itertools.product(SOURCES, ("thread", "address")), 3))
def test_no_race_and_no_access_outside(
    stem: str, sanitizer: str, launches: dict[str, Recorded], cupy: ModuleType
) -> None:
    if problem := sanitized.problem(sanitizer):
        pytest.skip(problem)
    CALLS[stem](on_host(cupy, minigan_kernels.table("cuda", cupy)), np.random.default_rng(0))
    source = f"{stem}.cu"
    declared = re.findall(r'extern "C" __global__[^;{]*?\b(\w+)\((?=[^)]*\)\s*\{)',
                          Path(compiler.__file__).with_name(source).read_text())  # fmt: skip
    own = {name: recorded for name, recorded in launches.items() if recorded.source == source}
    assert set(own) == set(declared)
    for recorded in own.values():
        text = compiler.full_source(source, FLOAT, recorded.constants)
        report = sanitized.run_sanitized(
            text, recorded.kernel, recorded.grid, recorded.block, recorded.arguments, name=source, sanitizer=sanitizer
        )
        assert report.findings == [], report.text


@pytest.mark.slow
@pytest.mark.exhaustive
@skip_unless_exhaustive
@pytest.mark.parametrize(("key", "changed"), READ_OUTSIDE.items(), ids=lambda part: part[0])
def test_reads_outside_that_change_no_result_are_found(
    key: tuple[str, str, str], changed: tuple[str, str], launches: dict[str, Recorded], cupy: ModuleType
) -> None:
    """Planted mistakes that benchmarks/cuda_mutants.py leaves to AddressSanitizer."""
    if problem := sanitized.problem("address"):
        pytest.skip(problem)
    (_, right, _), (stem, wrong) = key, changed
    CALLS[stem](on_host(cupy, minigan_kernels.table("cuda", cupy)), np.random.default_rng(0))
    found = set()
    for recorded in launches.values():
        text = compiler.full_source(recorded.source, FLOAT, recorded.constants)
        if recorded.source == f"{stem}.cu":
            assert right in text
            report = sanitized.run_sanitized(
                text.replace(right, wrong), recorded.kernel, recorded.grid, recorded.block, recorded.arguments,
                name=recorded.source, sanitizer="address",
            )  # fmt: skip
            found |= {finding.kind for finding in report.findings}
    assert "heap-buffer-overflow" in found


@pytest.mark.slow
def test_a_column_too_many_is_found(cupy: ModuleType, launches: dict[str, Recorded]) -> None:
    """A number that is read beside an array and changes no result."""
    if problem := sanitized.problem("address"):
        pytest.skip(problem)
    _batch_norm(on_host(cupy, minigan_kernels.table("cuda", cupy)), np.random.default_rng(0))
    recorded = launches[MOMENTS.name]
    text = compiler.full_source("batch_norm.cu", FLOAT).replace("min(own_column, columns - 1)", "own_column")
    report = sanitized.run_sanitized(
        text, recorded.kernel, recorded.grid, recorded.block, recorded.arguments, name="batch_norm.cu",
        sanitizer="address",
    )  # fmt: skip
    assert "heap-buffer-overflow" in {finding.kind for finding in report.findings}
