"""Every implementation of the kernels against plain formulas, extended precision and the other implementations."""

from __future__ import annotations

import importlib
import itertools
import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import layouts
from support.environment import needs_numba
from support.updates import SETTINGS, FlatArrays, numbers_of

import minigan_kernels

FLOATS = ["float32", "float64"]
EXTENTS = [0, 1, 2, 5, 6, 7, 16, 31, 33, 63, 64, 65, 127, 129]


def _shapes(count: int, seed: int) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(seed)
    return [tuple(int(e) for e in rng.choice(EXTENTS, 3)) for _ in range(count)]


SHAPES = [(6, 64, 64), (7, 65, 65), (1, 1, 1), (0, 3, 2), (3, 0, 2), (3, 2, 0), (64, 100, 1), (1, 129, 127)]


def _operands(rng: np.random.Generator, m: int, k: int, n: int, flips: tuple[bool, bool], dtype: str, draw: str) -> Any:
    def matrix(rows: int, columns: int) -> np.ndarray:
        if draw == "integers":  # sums of products of these are exact in any order
            return rng.integers(-4, 5, (rows, columns)).astype(dtype)
        return rng.standard_normal((rows, columns)).astype(dtype)

    return matrix(*((k, m) if flips[0] else (m, k))), matrix(*((n, k) if flips[1] else (k, n)))


def _wide(a: np.ndarray, flip: bool) -> np.ndarray:
    return (a.T if flip else a).astype(np.longdouble)


def _rounding(depth: int, dtype: str) -> float:
    """Bound of the relative error of a sum of `depth` products in any order: Higham, 2002, section 3.1."""
    unit = float(np.finfo(dtype).eps) / 2
    return depth * unit / (1 - depth * unit)


FLIPS = list(itertools.product([False, True], repeat=2))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("flips", FLIPS)
def test_matmul_of_integers_is_exact_for_every_shape(table: dict, flips: tuple[bool, bool], dtype: str) -> None:
    rng = np.random.default_rng(1)
    for m, k, n in SHAPES + _shapes(40, 7):
        a, b = _operands(rng, m, k, n, flips, dtype, "integers")
        found = table["matmul"](a, b, *flips)
        assert found.dtype == dtype
        assert found.shape == (m, n)
        expected = (a.T if flips[0] else a).astype(np.int64) @ (b.T if flips[1] else b).astype(np.int64)
        np.testing.assert_array_equal(found, expected, err_msg=f"{m} x {k} x {n}")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("flips", FLIPS)
def test_matmul_is_as_precise_as_its_depth_allows(
    table: dict, product_error: float, flips: tuple[bool, bool], dtype: str
) -> None:
    rng = np.random.default_rng(2)
    of_factors = product_error if dtype == "float32" else 0.0
    for m, k, n in SHAPES + _shapes(10, 11) + [(33, 1000, 17)]:
        a, b = _operands(rng, m, k, n, flips, dtype, "normal")
        wide_a, wide_b = _wide(a, flips[0]), _wide(b, flips[1])
        error = np.abs(table["matmul"](a, b, *flips) - wide_a @ wide_b)
        bound = (1 + of_factors) * (1 + _rounding(k + 1, dtype)) - 1
        assert np.all(error <= bound * (np.abs(wide_a) @ np.abs(wide_b)))
        if dtype == "float32" and error.size and not of_factors:
            assert error.max() <= 5e-6 * max(np.abs(wide_a @ wide_b).max(), 1e-30)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("slope", [0.0, 0.25, 1.0])
def test_dense_of_integers_is_exact_for_every_shape(table: dict, slope: float, dtype: str) -> None:
    rng = np.random.default_rng(3)
    for m, k, n in SHAPES + _shapes(25, 13):
        x, w = _operands(rng, m, k, n, (False, False), dtype, "integers")
        b = rng.integers(-9, 10, n).astype(dtype)
        total = x.astype(np.int64) @ w.astype(np.int64) + b.astype(np.int64)
        found = table["dense"](x, w, b, slope)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.where(total > 0, total, total * slope), err_msg=f"{m} x {k} x {n}")


@pytest.mark.parametrize("dtype", FLOATS)
def test_slope_gate(table: dict, dtype: str) -> None:
    rng = np.random.default_rng(4)
    for shape in [(0,), (1,), (7,), (65,), (3, 5), (2, 3, 5, 7), (129, 300)]:
        x, v = (rng.integers(-3, 4, shape).astype(dtype) for _ in range(2))
        found = table["slope_gate"](x, v, 0.25)
        assert found.shape == shape
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.where(x > 0, v, v / 4))
    nan, inf = np.array([np.nan, np.inf], dtype)
    np.testing.assert_array_equal(
        table["slope_gate"](np.array([1, -1, nan, inf], dtype), np.array([nan, nan, 1, inf], dtype), 0.25),
        np.array([nan, nan, 0.25, inf], dtype),
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_bias_act_grad(table: dict, dtype: str) -> None:
    rng = np.random.default_rng(5)
    for shape in [(1, 1), (0, 3), (7, 5), (16, 64), (17, 65), (33, 1), (513, 130)]:
        x, v = (rng.integers(-3, 4, shape).astype(dtype) for _ in range(2))
        out, sums = table["bias_act_grad"](x, v, 0.25)
        np.testing.assert_array_equal(out, np.where(x > 0, v, v / 4))
        np.testing.assert_array_equal(sums, np.where(x > 0, v, v / 4).sum(axis=0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_bias_grad(table: dict, dtype: str) -> None:
    """Integers, whose sums are exact; the fast kernels lay rows of few columns side by side, as many as divide them."""
    rng = np.random.default_rng(6)
    for shape in [(1, 1), (0, 3), (3, 0), (7, 5), (64, 1), (211, 1), (60, 33), (17, 65), (513, 130), (40, 600)]:
        v = rng.integers(-9, 10, shape).astype(dtype)
        found = table["bias_grad"](v)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, v.sum(axis=0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_tanh_grad(table: dict, dtype: str) -> None:
    """Multiples of 1/8 and integers, for which no operation rounds."""
    rng = np.random.default_rng(7)
    for shape in [(0,), (), (1,), (65,), (3, 5), (2, 3, 5, 7), (301, 300)]:
        y, v = rng.integers(-8, 9, shape) / 8, rng.integers(-9, 10, shape)
        found = table["tanh_grad"](np.asarray(y, dtype), np.asarray(v, dtype))
        assert (found.shape, found.dtype) == (shape, np.dtype(dtype))
        np.testing.assert_array_equal(found, v * (1 - y * y))


@pytest.mark.parametrize("dtype", FLOATS)
def test_sum_of_integers_is_exact_over_any_axes(table: dict, dtype: str) -> None:
    rng = np.random.default_rng(20)
    for shape in [(), (0,), (1,), (700,), (3, 300), (300, 3), (0, 4), (2, 3, 5, 7), (3, 1, 300)]:
        x = rng.integers(-9, 10, shape).astype(dtype)
        for count in range(x.ndim + 1):
            for axes in itertools.combinations(range(x.ndim), count):
                found = table["sum"](x, axes, False)
                assert type(found) is np.ndarray
                assert found.dtype == dtype
                np.testing.assert_array_equal(found, x.sum(axes))
                np.testing.assert_array_equal(table["sum"](x, axes, True), x.sum(axes, keepdims=True))
        np.testing.assert_array_equal(table["sum"](x, None, False), x.sum())


# Operands with every memory layout: views, read-only, transposed, with steps.

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fortran": np.asfortranarray,
    "every-second": lambda a: np.repeat(np.repeat(a, 2, 0), 2, -1)[(slice(None, None, 2),) * a.ndim] if a.ndim > 1
    else np.repeat(a, 2)[::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "misaligned": layouts.misaligned,
    "read-only": layouts.read_only,
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_matmul_dense_and_slope_gate_take_any_memory_layout(table: dict, layout: str, dtype: str) -> None:
    lay, rng = LAYOUTS[layout], np.random.default_rng(5)
    for flips in FLIPS:
        a, b = _operands(rng, 13, 7, 66, flips, dtype, "integers")
        expected = (a.T if flips[0] else a) @ (b.T if flips[1] else b)
        np.testing.assert_array_equal(table["matmul"](lay(a), lay(b), *flips), expected)
    x, w = _operands(rng, 13, 7, 66, (False, False), dtype, "integers")
    b = rng.integers(-9, 10, 66).astype(dtype)
    np.testing.assert_array_equal(table["dense"](lay(x), lay(w), lay(b), 1.0), x @ w + b)
    np.testing.assert_array_equal(table["slope_gate"](lay(x), lay(x), 0.5), np.where(x > 0, x, x / 2))


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "fortran"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_batch_norm_takes_any_memory_layout(table: dict, layout: str, dtype: str) -> None:
    lay, rng = LAYOUTS[layout], np.random.default_rng(6)
    x, g = (rng.standard_normal((9, 5)).astype(dtype) for _ in range(2))
    gamma, beta = (rng.standard_normal(5).astype(dtype) for _ in range(2))
    plain = table["batch_norm"](x, gamma, beta, 1e-3, 0.2)
    for one, two in zip(table["batch_norm"](lay(x), lay(gamma), lay(beta), 1e-3, 0.2), plain, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    gradients = table["batch_norm_grad"](g, x, gamma, beta, *plain[1:], 1e-3, 0.2)
    laid = table["batch_norm_grad"](*map(lay, (g, x, gamma, beta, *plain[1:])), 1e-3, 0.2)
    for one, two in zip(laid, gradients, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@needs_numba
def test_each_kernel_is_compiled_once_for_each_type() -> None:
    """A Python number or a view that matches no compiled signature would be compiled for in the middle of a step."""
    compiled = [
        getattr(importlib.import_module(f"minigan_kernels.numba.{module}"), name)
        for module, name in (
            ("gemm", "GEMM"), ("leaky_relu", "SLOPE_GATE"), ("batch_norm", "FORWARD"), ("batch_norm", "BACKWARD"),
            ("adam", "ADAM"),
        )
    ]  # fmt: skip
    kernels = minigan_kernels.table("numba", np)
    for dtype in FLOATS:
        _run_everything(dtype)
        x, v = np.ones((9, 5), dtype), np.ones(5, dtype)
        fixed_x, fixed_v = layouts.read_only(x), layouts.read_only(v)
        _, mean, variance = kernels["batch_norm"](fixed_x, fixed_v, np.ones(10, dtype)[::2], 1e-3, 0)
        kernels["batch_norm_grad"](x, fixed_x, fixed_v, v, mean, variance, 1, np.float64(0.2))
    for kernel in compiled:
        assert len(kernel) == len(FLOATS)
        assert len(kernel[np.dtype("float32")].signatures) == len(FLOATS), kernel.name


# Batch normalisation.


def _batch_norm_wide(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> tuple[np.ndarray, ...]:
    x = x.astype(np.longdouble)
    mean = x.sum(axis=0) / len(x)
    variance = ((x - mean) ** 2).sum(axis=0) / len(x)
    return (x - mean) / np.sqrt(variance + eps) * gamma + beta, mean, variance


def _norm_operands(rng: np.random.Generator, shape: tuple[int, int], dtype: str) -> tuple[np.ndarray, ...]:
    """(x, g, gamma, beta)."""
    x, g = rng.standard_normal(shape).astype(dtype) * 3 + 2, rng.standard_normal(shape).astype(dtype)
    return x, g, *(rng.standard_normal(shape[1]).astype(dtype) for _ in range(2))


# The fast kernels divide these into several row blocks of about the same size, and strips of columns.
BLOCKS = [(223, 513), (700, 1100), (6002, 33), (5003, 51)]
NORM_SHAPES = [(1, 1), (2, 3), (7, 65), (255, 64), (256, 63), (257, 129), (1000, 1), (3, 300), (1, 1300), *BLOCKS]


@needs_numba
def test_the_shapes_are_divided_into_blocks() -> None:
    divide = importlib.import_module("minigan_kernels.numba.batch_norm")._division
    folded = [importlib.import_module("minigan_kernels.numba.column_loops").folded(np.empty(shape)) for shape in BLOCKS]
    blocks = [divide(matrix.shape, 1) for matrix in folded]
    assert all(down >= 3 for down, _, _ in blocks)
    assert sum(tasks > down for down, _, tasks in blocks) >= 2
    assert any(len(matrix) % down for matrix, (down, _, _) in zip(folded, blocks, strict=True))
    assert any(matrix.shape != shape for matrix, shape in zip(folded, BLOCKS, strict=True))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("slope", [1.0, 0.2, 0.0, -0.5])
@pytest.mark.parametrize("shape", NORM_SHAPES)
def test_batch_norm_against_wide_arithmetic(table: dict, shape: tuple[int, int], slope: float, dtype: str) -> None:
    x, g, gamma, beta = _norm_operands(np.random.default_rng(7), shape, dtype)
    total, mean, variance = _batch_norm_wide(x, gamma, beta, 1e-3)
    g[np.abs(total) < 1e-3] = 0  # so near the kink, rounding decides the side
    found = table["batch_norm"](x, gamma, beta, 1e-3, slope)
    eps = float(np.finfo(dtype).eps)
    assert [f.dtype for f in found] == [np.dtype(dtype)] * 3
    activated = np.where(total > 0, total, total * slope)
    for one, two in zip(found, (activated, mean, variance), strict=True):
        np.testing.assert_allclose(one, two, rtol=16 * eps, atol=256 * eps)
    gradients = table["batch_norm_grad"](g, x, gamma, beta, *found[1:], 1e-3, slope)
    assert [f.dtype for f in gradients] == [np.dtype(dtype)] * 3
    dx, dgamma, dbeta = gradients
    scale, h = 1 / np.sqrt(variance + 1e-3), np.where(total > 0, g, g * np.longdouble(slope))
    xhat, rows = (x - mean) * scale, shape[0]
    np.testing.assert_allclose(dbeta, h.sum(axis=0), rtol=0, atol=2 * rows * eps)
    np.testing.assert_allclose(dgamma, (h * xhat).sum(axis=0), rtol=0, atol=8 * rows * eps)
    expected = gamma * scale * (h - h.mean(axis=0) - xhat * (h * xhat).mean(axis=0))
    np.testing.assert_allclose(dx, expected, rtol=0, atol=256 * eps * float(np.abs(gamma * scale).max()))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("slope", [0.2, 0.0, -0.5])
@pytest.mark.parametrize("shape", [(1, 5), (7, 65), (257, 129), (100, 513), (5001, 17)])
def test_fused_batch_norm_is_batch_norm_then_leaky_relu(
    table: dict, shape: tuple[int, int], slope: float, dtype: str
) -> None:
    """The bits are equal, also next to the kink, where rounding decides the side."""
    x, g, gamma, beta = _norm_operands(np.random.default_rng(15), shape, dtype)
    plain, mean, variance = table["batch_norm"](x, gamma, np.zeros_like(beta), 1e-3, 1.0)
    beta = -plain[shape[0] // 2]
    plain, *_ = table["batch_norm"](x, gamma, beta, 1e-3, 1.0)
    assert np.abs(plain[shape[0] // 2]).max() < 1e-5
    found = table["batch_norm"](x, gamma, beta, 1e-3, slope)
    for one, two in zip(found, (table["slope_gate"](plain, plain, slope), mean, variance), strict=True):
        np.testing.assert_array_equal(one, two)
    gradients = table["batch_norm_grad"](g, x, gamma, beta, mean, variance, 1e-3, slope)
    h = table["slope_gate"](plain, g, slope)
    for one, two in zip(gradients, table["batch_norm_grad"](h, x, gamma, beta, mean, variance, 1e-3, 1.0), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("slope", [0.25, 0.0])
def test_batch_norm_at_the_kink_has_the_slope_of_the_left_side(
    table: dict, slope: float, zero: float, dtype: str
) -> None:
    x = np.array([[-2.0], [0.0], [2.0], [0.0]], dtype).repeat(4, axis=1)  # the mean is 0, and two rows are equal to it
    gamma, beta = np.array([1.0, -3.0, zero, 0.5], dtype), np.full(4, zero, dtype)
    y, mean, variance = table["batch_norm"](x, gamma, beta, 1e-3, slope)
    assert not y[1].any()
    assert not y[:, 2].any()
    g = np.zeros_like(x)
    g[1] = 8.0
    dx, dgamma, dbeta = table["batch_norm_grad"](g, x, gamma, beta, mean, variance, 1e-3, slope)
    np.testing.assert_array_equal(dbeta, 8.0 * slope)
    np.testing.assert_array_equal(dgamma, 0.0)
    expected = gamma / np.sqrt(2.001) * 8.0 * slope * np.array([[-0.25], [0.75], [-0.25], [-0.25]])
    np.testing.assert_allclose(dx, expected, rtol=8 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 511, 1300])
def test_the_mean_of_one_row_is_the_row(table: dict, columns: int, dtype: str) -> None:
    x, g, gamma, beta = _norm_operands(np.random.default_rng(16), (1, columns), dtype)
    y, mean, variance = table["batch_norm"](x + 1000, gamma, beta, 1e-3, 0.25)
    np.testing.assert_array_equal(y[0], np.where(beta > 0, beta, beta / 4))
    np.testing.assert_array_equal(mean, x[0] + 1000)
    assert not variance.any()
    dx, dgamma, dbeta = table["batch_norm_grad"](g, x + 1000, gamma, beta, mean, variance, 1e-3, 0.25)
    assert not dx.any()
    assert not dgamma.any()
    np.testing.assert_array_equal(dbeta, np.where(beta > 0, g[0], g[0] / 4))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_gradients_of_no_numbers_are_zero(table: dict, shape: tuple[int, int]) -> None:
    x, v = np.ones(shape, np.float32), np.ones(shape[1], np.float32)
    with np.errstate(invalid="ignore"):  # the mean of no rows
        dx, dgamma, dbeta = table["batch_norm_grad"](x, x, v, v, v, v, 1e-3, 0.2)
    assert dx.shape == shape
    np.testing.assert_array_equal((dgamma, dbeta), np.zeros((2, shape[1])))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(2, 3), (33, 512), (1000, 1), *BLOCKS])
def test_moments_far_from_zero(table: dict, shape: tuple[int, int], dtype: str) -> None:
    """A mean of 1e4, a deviation of 1, and a drift from row to row, so that the blocks' means differ."""
    x = 1e4 + np.random.default_rng(17).standard_normal(shape) + np.linspace(-2, 2, shape[0])[:, None]
    x = x.astype(dtype)
    total, mean, variance = _batch_norm_wide(x, np.ones(shape[1]), np.zeros(shape[1]), 1e-3)
    y, found_mean, found_variance = table["batch_norm"](x, np.ones(shape[1], dtype), np.zeros(shape[1], dtype), 1e-3, 1)
    grain = 1e4 * float(np.finfo(dtype).eps)  # 0.001 in float32; the rounding error of x**2 would be 1e4 times as large
    error = np.abs(found_mean - mean)  # the rounding errors of a sum of many numbers of 1e4 add up slowly
    assert np.all(error <= (5 + shape[0] / 32) * grain)
    deviation = np.sqrt(variance + 1e-3)
    of_variance = np.abs(found_variance - variance)
    assert np.all(of_variance <= 2 * error**2 + grain**2 + 16 * grain * deviation)
    allowed = error + np.abs(total) * of_variance / deviation + 4 * grain * 1e-4 * (1 + np.abs(total))
    assert np.all(np.abs(y - total) <= 2 * allowed / deviation)


@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_a_nonfinite_number_affects_its_column_only(table: dict, slope: float) -> None:
    rng = np.random.default_rng(18)
    for shape in ((5, 7), (100, 513), (5001, 17)):
        x, g, gamma, beta = _norm_operands(rng, shape, "float32")
        damaged, rest = x.copy(), np.arange(shape[1]) != 3
        for number in (np.nan, np.inf):
            damaged[shape[0] // 3, 3] = number
            with np.errstate(all="ignore"):
                clean = table["batch_norm"](x, gamma, beta, 1e-3, slope)
                found = table["batch_norm"](damaged, gamma, beta, 1e-3, slope)
                clean += table["batch_norm_grad"](g, x, gamma, beta, *clean[1:], 1e-3, slope)
                found += table["batch_norm_grad"](g, damaged, gamma, beta, *found[1:], 1e-3, slope)
            for one, two in zip(found, clean, strict=True):
                np.testing.assert_array_equal(one[..., rest], two[..., rest])
            assert np.isnan(found[0][:, 3]).all()
            assert np.isnan(found[3][:, 3]).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_batch_norm_of_a_large_mean_and_a_tiny_variance(table: dict, dtype: str) -> None:
    """E[x^2] - E[x]^2 would lose every digit of this variance; squared deviations from the mean do not."""
    grain = 2.0**-9 if dtype == "float32" else 2.0**-30  # a few units in the last place of 1e4 and more
    steps = np.random.default_rng(8).integers(-8, 9, (512, 5)).astype(dtype)
    x = np.asarray(8192.0 + steps * grain, dtype)
    _, mean, variance = table["batch_norm"](x, np.ones(5, dtype), np.zeros(5, dtype), 1e-12, 1.0)
    exact = steps.astype(np.longdouble).var(axis=0) * grain**2
    # Deviations from a rounded mean add the square of its error to the variance, unless they are corrected for it.
    error_of_mean = np.abs(mean - x.astype(np.longdouble).mean(axis=0))
    eps = float(np.finfo(dtype).eps)
    assert np.all(error_of_mean <= 256 * eps * 8192)
    tolerance = 512 * eps * (exact + error_of_mean**2)
    assert np.all((exact - tolerance <= variance) & (variance <= exact + error_of_mean**2 + tolerance))
    large = x + np.asarray(1e4, dtype)
    y, _, variance = table["batch_norm"](large, np.ones(5, dtype), np.zeros(5, dtype), 1e-12, 1.0)
    assert np.all(variance >= 0)
    assert np.isfinite(y).all()


# Optimisers, against the textbook formulas in float64.


def _adam_textbook(p, m, v, g, step, learning_rate, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return p - learning_rate * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - beta2**step)) + eps), m, v


def _run_optimiser(
    name: str, table: dict, flat: FlatArrays, gradients: list[np.ndarray], step: int, settings: tuple[float, ...] = ()
) -> None:
    learning_rate, *others = settings or SETTINGS[name]
    scalars = numbers_of(name, step, learning_rate, *others)
    table[name](flat.p, flat.in_place(gradients), flat.bounds, *flat.slots, flat.first_bad, scalars, *others)


ODD_SIZES = [1, 3, 17, 0, 64, 65, 1023, 4097]


@pytest.mark.parametrize("dtype", FLOATS)
def test_adam_follows_the_textbook_for_fifty_steps(table: dict, dtype: str) -> None:
    flat = FlatArrays(ODD_SIZES, dtype, 2)
    settings = SETTINGS["adam"]
    gaps, before = flat.gaps(), flat.p.copy()
    wide = [(flat.p[a:b].astype(np.float64), np.zeros(b - a), np.zeros(b - a)) for a, b in flat.bounds]
    for step in range(1, 51):
        gradients = flat.gradients()
        _run_optimiser("adam", table, flat, gradients, step)
        wide = [_adam_textbook(*w, g.astype(np.float64), step, *settings) for w, g in zip(wide, gradients, strict=True)]
    eps = float(np.finfo(dtype).eps)
    for (a, b), (p, m, v) in zip(flat.bounds, wide, strict=True):
        # Each step rounds p once, and the update, which is at most 0.1, by a few units in the last place.
        np.testing.assert_allclose(flat.p[a:b], p, rtol=50 * eps, atol=50 * eps)
        np.testing.assert_allclose(flat.slots[0][a:b], m, rtol=16 * eps, atol=8 * eps)
        np.testing.assert_allclose(flat.slots[1][a:b], v, rtol=200 * eps)
    np.testing.assert_array_equal(flat.p[gaps], before[gaps])
    assert (flat.first_bad == -1).all()


@needs_numba
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_fast_sgd_and_rmsprop_have_the_bits_of_the_reference(name: str, dtype: str) -> None:
    fast, plain = (FlatArrays(ODD_SIZES, dtype, 1) for _ in range(2))
    for step in range(1, 20):
        gradients = fast.gradients()
        for flat, implementation in ((fast, "numba"), (plain, "reference")):
            _run_optimiser(name, minigan_kernels.table(implementation, np), flat, gradients, step)
    assert fast.p.tobytes() == plain.p.tobytes()
    assert fast.slots[0].tobytes() == plain.slots[0].tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
def test_the_first_step_of_adam_is_exact(table: dict, beta1: float, dtype: str) -> None:
    """m = (1 - beta1) g, v = (1 - beta2) g^2, and p changes by the learning rate, whatever the gradient's size."""
    flat = FlatArrays([97], dtype, 2)
    flat.p[:] = 0
    (g,) = flat.gradients()
    with np.errstate(invalid="ignore"):  # behind the parameter: 0 / 0
        _run_optimiser("adam", table, flat, [g], 1, (0.25, beta1, 0.999, 0.0))
    ulps = 4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(flat.slots[0][:97], (1 - beta1) * g.astype(np.float64), rtol=ulps)
    np.testing.assert_allclose(flat.slots[1][:97], (1 - 0.999) * g.astype(np.float64) ** 2, rtol=ulps)
    np.testing.assert_allclose(flat.p[:97], -0.25 * np.sign(g), rtol=ulps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_the_first_nonfinite_step_of_each_parameter_is_recorded(table: dict, name: str, dtype: str) -> None:
    flat = FlatArrays(ODD_SIZES, dtype, 2 if name == "adam" else 1)
    nonfinite = {2: (4, 63, np.nan), 3: (0, 0, np.inf), 4: (7, 4096, -np.inf), 5: (4, 0, np.nan)}
    with np.errstate(all="ignore"):
        for step in range(1, 7):
            gradients = flat.gradients()
            if step in nonfinite:
                k, i, value = nonfinite[step]
                gradients[k][i] = value
            _run_optimiser(name, table, flat, gradients, step)
    assert flat.first_bad.tolist() == [3, -1, -1, -1, 2, -1, -1, 4]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_huge_finite_gradients_are_not_recorded_as_nonfinite(table: dict, name: str, dtype: str) -> None:
    flat = FlatArrays([37, 300], dtype, 2 if name == "adam" else 1)
    largest = np.finfo(dtype).max
    gradients = [np.full(37, largest, dtype), np.full(300, -largest, dtype)]
    with np.errstate(all="ignore"):
        _run_optimiser(name, table, flat, gradients, 1)
    assert flat.first_bad.tolist() == [-1, -1]


# Kernels that work in place, against the formulas with NumPy's rounding.


def _numbers_of_every_kind(rng: np.random.Generator, count: int, dtype: str) -> np.ndarray:
    """Normal draws, with zeros of either sign, subnormal, largest and infinite numbers, and NaN among them."""
    largest, tiny = np.finfo(dtype).max, np.finfo(dtype).tiny
    odd = [0.0, -0.0, tiny / 8, -tiny / 2, largest, -largest, np.inf, -np.inf, np.nan]
    numbers = np.where(rng.random(count) < 0.3, rng.choice(odd, count), rng.standard_normal(count))
    return numbers.astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (1,), (17,), (3, 4, 5), (70_001,)])
def test_moving_averages_equal_their_formulas(table: dict, shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(19)
    start, value = (_numbers_of_every_kind(rng, int(np.prod(shape)), dtype).reshape(shape) for _ in range(2))
    cast = np.dtype(dtype).type
    for weight in (0.0, 0.1, 0.999, 1.0):
        with np.errstate(all="ignore"):
            running = cast(weight) * start + cast(1 - weight) * value
            interpolated = start + (value - start) * cast(weight)
            found = start.copy(), start.copy()
            assert table["update_running_statistics"](found[0], value, weight) is None
            assert table["lerp"](found[1], value, np.array([weight])) is None
        for one, two in zip(found, (running, interpolated), strict=True):
            np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(np.signbit(one)[~np.isnan(one)], np.signbit(two)[~np.isnan(two)])
    target = start.copy()
    assert table["assign"](target, value) is None
    assert target.tobytes() == value.tobytes()


@needs_numba
def test_an_array_changed_in_place_must_be_row_major() -> None:
    table, running = minigan_kernels.table("numba", np), np.ones((4, 6), np.float32)
    with pytest.raises(ValueError, match="row-major"):
        table["update_running_statistics"](running.T, np.ones((6, 4), np.float32), 0.9)
    with pytest.raises(ValueError, match="row-major"):
        table["lerp"](running[:, ::2], np.ones((4, 3), np.float32), np.ones(1))


# The number of threads.


@pytest.fixture
def threads() -> Iterator[Callable[[int], int]]:
    from minigan_kernels.numba import set_threads

    if set_threads(2) < 2:
        pytest.skip("needs two cores")
    yield set_threads
    set_threads(None)


def _run_everything(dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(10)
    t = minigan_kernels.table("numba", np)
    x, w = rng.standard_normal((257, 131)).astype(dtype), rng.standard_normal((131, 140)).astype(dtype)
    b, g = rng.standard_normal(140).astype(dtype), rng.standard_normal((257, 140)).astype(dtype)
    results = [t["matmul"](x, w, False, False), t["dense"](x, w, b, 0.2)]
    results += [t["matmul"](g, w, False, True), t["matmul"](x, g, True, False)]
    results += [t["matmul"](w, x, True, True), t["slope_gate"](g, g, 0.2)]
    for shape in ((3000, 33), (257, 140), (700, 1100)):
        data, cotangent = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
        gamma, beta = (rng.standard_normal(shape[1]).astype(dtype) for _ in range(2))
        y, mean, variance = t["batch_norm"](data, gamma, beta, 1e-3, 0.2)
        gradients = t["batch_norm_grad"](cotangent, data, gamma, beta, mean, variance, 1e-3, 0.2)
        results += [y, mean, variance, *gradients]
    flat = FlatArrays([70_001, 3, 33_333], dtype, 2)
    for step in (1, 2):
        _run_optimiser("adam", t, flat, flat.gradients(), step)
    return [*results, flat.p, *flat.slots]


@needs_numba
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_bits_do_not_depend_on_the_number_of_threads(threads: Callable[[int], int], dtype: str) -> None:
    assert threads(1) == 1
    single = _run_everything(dtype)
    assert threads(2) == 2
    for one, two in zip(single, _run_everything(dtype), strict=True):
        assert one.tobytes() == two.tobytes()


@needs_numba
def test_a_nonfinite_gradient_is_recorded_by_every_thread(threads: Callable[[int], int]) -> None:
    t = minigan_kernels.table("numba", np)
    for place in (0, 39_999, 40_000, 40_001, 79_999):
        flat = FlatArrays([80_000, 5], "float32", 2)
        gradients = flat.gradients()
        gradients[0][place] = np.nan
        _run_optimiser("adam", t, flat, gradients, 3)
        assert flat.first_bad.tolist() == [3, -1]


@needs_numba
def test_an_invalid_number_of_threads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigan_kernels.numba import set_threads

    monkeypatch.setenv("MINIGAN_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="whole number of at least 1, not 'many'"):
        set_threads(None)


@pytest.mark.slow
@needs_numba
@pytest.mark.parametrize("wanted", ["0", "-1", "many", "1.5"])
def test_an_invalid_number_of_threads_for_numba_gives_one_sentence(wanted: str) -> None:
    """With such a value, Numba itself either cannot be imported or prints a warning of many lines."""
    done = _run_python(
        "import sys; from minigan.cli import main; sys.exit(main(['info']))",
        NUMBA_NUM_THREADS=wanted,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"minigan: NUMBA_NUM_THREADS must be a whole number of at least 1, not '{wanted}'.\n"


# Availability.


def test_every_implementation_offers_only_known_operations() -> None:
    for name in minigan_kernels.IMPLEMENTATIONS:
        if minigan_kernels.unavailable(name) is None:
            assert set(minigan_kernels.table(name, np)) <= set(minigan_kernels.OPERATIONS)
    assert set(minigan_kernels.table("reference", np)) == set(minigan_kernels.OPERATIONS)


def test_an_unavailable_implementation_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no implementation 'metal'" in (minigan_kernels.unavailable("metal") or "")
    with pytest.raises(RuntimeError, match="no implementation 'metal'"):
        minigan_kernels.table("metal", np)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert minigan_kernels.unavailable("numba") is not None


# In separate processes: another CPU, the disk cache.


def _run_python(source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "MINIGAN_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        env=kept | environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.slow
@needs_numba
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="needs a CPU of the x86-64 family")
def test_kernels_for_a_cpu_with_256_bit_vectors(tmp_path: Path) -> None:
    done = _run_python(
        """
        import numpy as np
        import minigan_kernels
        from minigan_kernels.numba.cpu import tile_shape, vector_bytes
        assert vector_bytes() == 32, vector_bytes()
        assert tile_shape() == (6, 64), tile_shape()
        fast, plain = minigan_kernels.table("numba", np), minigan_kernels.table("reference", np)
        rng = np.random.default_rng(0)
        for m, k, n in ((1, 1, 1), (5, 7, 15), (6, 16, 16), (7, 3, 17), (130, 65, 33), (3, 0, 2)):
            for flips in ((0, 0), (0, 1), (1, 0), (1, 1)):
                a = rng.integers(-4, 5, (k, m) if flips[0] else (m, k)).astype(np.float32)
                b = rng.integers(-4, 5, (n, k) if flips[1] else (k, n)).astype(np.float32)
                expected = plain["matmul"](a, b, *flips)
                assert np.array_equal(fast["matmul"](a, b, *map(bool, flips)), expected), (m, k, n, flips)
            x, w = (rng.integers(-4, 5, s).astype(np.float32) for s in ((m, k), (k, n)))
            bias = rng.integers(-4, 5, n).astype(np.float32)
            for slope in (0.0, 0.25, 1.0):
                assert np.array_equal(fast["dense"](x, w, bias, slope), plain["dense"](x, w, bias, slope))
        """,
        NUMBA_CPU_NAME="haswell",
        NUMBA_CPU_FEATURES="+avx,+avx2,+fma",
        MINIGAN_CACHE_DIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr


USE_ONE_KERNEL = """
    import numpy as np
    import minigan_kernels
    slope_gate = minigan_kernels.table("numba", np)["slope_gate"]
    x = np.array([1, -1], np.float32)
    assert slope_gate(x, x, 0.5).tolist() == [1.0, -0.5]
"""


@pytest.mark.slow
@needs_numba
def test_compiling_is_announced_and_its_result_cached(tmp_path: Path) -> None:
    first = _run_python(USE_ONE_KERNEL, MINIGAN_CACHE_DIR=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert "compiling the kernel 'slope_gate' for float32" in first.stderr
    assert list(tmp_path.rglob("*.nbc"))
    second = _run_python(USE_ONE_KERNEL, MINIGAN_CACHE_DIR=str(tmp_path))
    assert second.returncode == 0, second.stderr
    assert second.stderr == ""


@pytest.mark.slow
@needs_numba
def test_a_cache_that_cannot_be_created_is_replaced_by_a_temporary_one(tmp_path: Path) -> None:
    obstacle, temporary = tmp_path / "file", tmp_path / "tmp"
    obstacle.write_text("a file where a folder is needed")
    temporary.mkdir()
    done = _run_python(
        USE_ONE_KERNEL, MINIGAN_CACHE_DIR=str(obstacle / "cache"), HOME=str(obstacle), TMPDIR=str(temporary)
    )
    assert done.returncode == 0, done.stderr
    assert list(temporary.rglob("*.nbc"))
    assert obstacle.is_file()


def test_a_home_that_is_not_writable_is_replaced_by_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = importlib.import_module("minigan_kernels.cache")
    obstacle, temporary = tmp_path / "home", tmp_path / "tmp"
    obstacle.write_text("")
    temporary.mkdir()
    monkeypatch.delenv("MINIGAN_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(obstacle))
    monkeypatch.setenv("LOCALAPPDATA", str(obstacle))
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(temporary))
    folder = cache.cache_directory("kernels")
    assert folder.is_dir()
    assert folder.is_relative_to(temporary)
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(obstacle))
    with pytest.raises(OSError, match="set MINIGAN_CACHE_DIR"):
        cache.cache_directory("kernels")
