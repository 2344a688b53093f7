"""Convolutions in bands and in chunks: exact on integers, with any number of threads, and only inside the result."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support import naive
from support.environment import needs_numba

import minigan_kernels
from minigan_kernels.geometry import Geometry

pytestmark = needs_numba
FLOATS = ["float32", "float64"]
ONE = ((1, 1), (1, 1))
# (size, kernel, stride, padding, images, inputs, outputs): one band of an image, several, and more rows than one holds.
FEW_CHANNELS = [
    (Geometry((14, 9), (4, 4), (2, 2), ONE), 3, 1, 130),
    (Geometry((70, 61), (5, 3), (2, 3), ((2, 0), (1, 4))), 2, 3, 17),
    (Geometry((9, 700), (3, 2), (1, 1), ((1, 2), (0, 1))), 1, 8, 9),
    (Geometry((3, 3), (2, 2), (3, 3), ((0, 1), (2, 0))), 4, 5, 64),
]
SENTINEL = 12345.0


def _integers(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def _guarded(shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """(an array for a result, all memory around it), filled with SENTINEL."""
    memory = np.full(int(np.prod(shape)) + 512, SENTINEL, dtype)
    return memory[256:-256].reshape(shape), memory


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the number of threads, also beyond that of the cores, and for work of any size."""

    def use(count: int) -> None:
        for name in ("few_channels", "winograd", "winograd_gradient"):
            module = importlib.import_module(f"minigan_kernels.numba.{name}")
            monkeypatch.setattr(module, "threads_for", lambda work: count)

    return use


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", FEW_CHANNELS, ids=str)
def test_few_channels_are_exact_and_stay_inside_the_result(
    many_threads: Any, case: tuple[Geometry, int, int, int], dtype: str, count: int
) -> None:
    """Sums of products of integers are exact in any order, so every number of threads gives the bits of the loops."""
    many_threads(count)
    geometry, images, inputs, outputs = case
    kernels = minigan_kernels.table("numba", np)
    x, w = (
        _integers((images, *geometry.size, inputs), dtype, 1),
        _integers((*geometry.kernel, inputs, outputs), dtype, 2),
    )
    g, bias = _integers((images, *geometry.out, outputs), dtype, 3), _integers((outputs,), dtype, 4)
    out, memory = _guarded(g.shape, dtype)
    y = naive.conv2d(x, w, geometry) + bias
    np.testing.assert_array_equal(kernels["conv2d"](x, w, bias, 0.25, geometry, out=out), np.where(y > 0, y, y / 4))
    assert (memory[:256] == SENTINEL).all() and (memory[-256:] == SENTINEL).all()
    out, memory = _guarded(w.shape, dtype)
    dw = kernels["conv2d_weight_grad"](x, g, geometry, out=out)
    np.testing.assert_array_equal(dw, naive.weight_grad(x, g, geometry))
    assert (memory[:256] == SENTINEL).all() and (memory[-256:] == SENTINEL).all()


@pytest.mark.usefixtures("winograd_however_small")
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("chunk", [1, 1 << 30])
def test_the_chunks_of_winograds_weight_gradient_add_up(
    many_threads: Any, monkeypatch: pytest.MonkeyPatch, chunk: int, dtype: str, count: int
) -> None:
    """With a budget of one byte every image is a chunk. The transforms only add and halve, so integers stay exact."""
    many_threads(count)
    gradient = importlib.import_module("minigan_kernels.numba.winograd_gradient")
    monkeypatch.setattr(gradient, "_CHUNK_BYTES", chunk)
    geometry = Geometry((14, 10), (4, 4), (2, 2), ONE)
    x, g = _integers((5, 14, 10, 48), dtype, 5), _integers((5, 7, 5, 80), dtype, 6)
    out, memory = _guarded((4, 4, 48, 80), dtype)
    gradient.weight_grad(x, g, geometry, out)
    np.testing.assert_array_equal(out, naive.weight_grad(x, g, geometry))
    assert (memory[:256] == SENTINEL).all() and (memory[-256:] == SENTINEL).all()


@pytest.fixture
def guarded_scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scratch arrays that are NaN, so that reading a number before it is written shows, with guards around each."""
    guards: list[np.ndarray] = []

    def scratch(dtype: np.dtype, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        arrays = []
        for shape in shapes:
            memory = np.full(math.prod(shape) + 512, np.nan, dtype)
            arrays.append(memory[256:-256].reshape(shape))
            guards.extend((memory[:256], memory[-256:]))
        return arrays

    for name in ("few_channels", "winograd", "winograd_gradient", "col2im", "implicit_gemm"):
        monkeypatch.setattr(importlib.import_module(f"minigan_kernels.numba.{name}"), "scratch", scratch)
    yield
    assert guards
    assert np.isnan(guards).all()


@pytest.mark.usefixtures("guarded_scratch", "winograd_however_small")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [1, 3])
def test_convolutions_stay_inside_their_scratch_memory(many_threads: Any, dtype: str, count: int) -> None:
    """Few channels, Winograd's algorithm, implicit GEMM and col2im, each with its gradients."""
    many_threads(count)
    kernels = minigan_kernels.table("numba", np)
    winograd = (Geometry((14, 10), (4, 4), (2, 2), ONE), 5, 48, 80)
    narrow = (Geometry((12, 4), (4, 4), (2, 2), ONE), 3, 16, 48)  # no tile has all interpolation points
    implicit = (Geometry((9, 12), (3, 5), (2, 1), ((1, 0), (2, 3))), 2, 11, 70)
    for geometry, images, inputs, outputs in [*FEW_CHANNELS, winograd, narrow, implicit]:
        x = _integers((images, *geometry.size, inputs), dtype, 1)
        w = _integers((*geometry.kernel, inputs, outputs), dtype, 2)
        g = _integers((images, *geometry.out, outputs), dtype, 3)
        np.testing.assert_array_equal(kernels["conv2d"](x, w, None, 1.0, geometry), naive.conv2d(x, w, geometry))
        dx = kernels["conv2d_input_grad"](g, w, None, 1.0, geometry)
        np.testing.assert_array_equal(dx, naive.input_grad(g, w, geometry))
        dw = kernels["conv2d_weight_grad"](x, g, geometry)
        np.testing.assert_array_equal(dw, naive.weight_grad(x, g, geometry))


# With a bias of inf and such images every sum is the bias or not finite. 16 channels: Winograd's algorithm applies.
@pytest.mark.usefixtures("winograd_however_small")
@pytest.mark.parametrize("inputs", [1, 16])
@pytest.mark.parametrize("slope", [0.0, -0.0, 0.2, 1.0, -0.5])
@pytest.mark.parametrize("dtype", FLOATS)
def test_leaky_relu_of_infinite_and_undefined_sums(slope: float, dtype: str, inputs: int) -> None:
    """In registers as in the reference: a slope of 0 gives 0 for -inf, NaN stays NaN, and zeros keep their sign."""
    geometry = Geometry((4, 6), (4, 4), (2, 2), ONE)
    x, w = np.zeros((3, 4, 6, inputs), dtype), np.ones((4, 4, inputs, 48), dtype)
    bias = np.resize(np.array([-np.inf, np.inf, np.nan, -1, 0, 1], dtype), 48)
    with np.errstate(invalid="ignore"):
        expected = minigan_kernels.table("reference", np)["conv2d"](x, w, bias, slope, geometry)
    found = minigan_kernels.table("numba", np)["conv2d"](x, w, bias, slope, geometry)
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])
