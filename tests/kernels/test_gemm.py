"""The packed matrix product: sizes around every edge of its tiles and blocks, memory around its arrays, threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.environment import needs_numba

import minigan_kernels

pytestmark = needs_numba

FLOATS = ["float32", "float64"]
FLIPS = list(itertools.product([False, True], repeat=2))
GUARD = 64  # numbers on both sides of an array


@pytest.fixture
def kernels() -> dict[str, Callable]:
    return minigan_kernels.table("numba", np)


@pytest.fixture
def set_threads() -> Iterator[Callable[[int | None], int]]:
    from minigan_kernels.numba import set_threads

    yield set_threads
    set_threads(None)


def _edges() -> tuple[list[int], list[int], list[int]]:
    """Rows, depths and columns on both sides of the edges of units, blocks of rows, panels and blocks of k."""
    from minigan_kernels.numba.packed_microkernel import PANEL_BYTES, SHORT, TALL, UNIT

    width = PANEL_BYTES // 4
    block = TALL * -(-5 // TALL)  # whole blocks of rows, of more rows than the products that other kernels compute
    rows = [5, SHORT + 1, block - 1, block, block + 1, block + UNIT, block + SHORT + 1, 2 * block, 5 * TALL - 1]
    return rows, [5, 8, 15, 33], [5, width // 2, width - 1, width, width + 1, 3 * width, 3 * width + 7]


def _guarded(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(memory filled with NaN, a copy of `values` in the middle of it)."""
    memory = np.full(values.size + 2 * GUARD, np.nan, values.dtype)
    inside = memory[GUARD : GUARD + values.size].reshape(values.shape)
    inside[...] = values
    return memory, inside


def _integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers so small that every sum of their products is exact, in any order."""
    return rng.integers(-4, 5, shape).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("flips", FLIPS)
def test_products_are_exact_and_touch_nothing_else(kernels: dict, flips: tuple[bool, bool], dtype: str) -> None:
    """The guards are NaN: they would show in the product if it read them, and change if it wrote there."""
    rng = np.random.default_rng(1)
    for m, k, n in itertools.product(*_edges()):
        a = _integers(rng, (k, m) if flips[0] else (m, k), dtype)
        b = _integers(rng, (n, k) if flips[1] else (k, n), dtype)
        arrays = [_guarded(array) for array in (a, b, np.full((m, n), np.nan, dtype))]
        (_, left), (_, right), (_, out) = arrays
        kernels["matmul"](left, right, *flips, out)
        expected = (a.T if flips[0] else a).astype(np.int64) @ (b.T if flips[1] else b).astype(np.int64)
        np.testing.assert_array_equal(out, expected, err_msg=f"{m} x {k} x {n}")
        for (memory, _), before in zip(arrays, (a, b, expected), strict=True):
            np.testing.assert_array_equal(memory, _guarded(before.astype(dtype))[0], err_msg=f"{m} x {k} x {n}")


LARGE = [(64, 2100, 40), (700, 1050, 70), (1300, 600, 33), (9, 3000, 9), (2500, 70, 37)]


@pytest.mark.parametrize("dtype", FLOATS)
def test_products_of_many_blocks_are_exact(kernels: dict, dtype: str) -> None:
    rng = np.random.default_rng(2)
    for (m, k, n), flips in itertools.product(LARGE, FLIPS):
        a = _integers(rng, (k, m) if flips[0] else (m, k), dtype)
        b = _integers(rng, (n, k) if flips[1] else (k, n), dtype)
        expected = (a.T if flips[0] else a).astype(float) @ (b.T if flips[1] else b).astype(float)
        np.testing.assert_array_equal(kernels["matmul"](a, b, *flips), expected, err_msg=f"{m} x {k} x {n}")


@pytest.mark.parametrize("dtype", FLOATS)
def test_products_round_no_more_than_their_depth_allows(kernels: dict, dtype: str) -> None:
    """|error| <= gamma_k |A| |B| with gamma_k = k u / (1 - k u), for any order: Higham, 2002, section 3.5."""
    rng = np.random.default_rng(3)
    for m, k, n in [(64, 700, 100), (130, 1500, 65)]:
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
        depth = (k + 1) * float(np.finfo(dtype).eps) / 2
        bound = depth / (1 - depth) * (np.abs(a).astype(np.longdouble) @ np.abs(b).astype(np.longdouble))
        assert np.all(np.abs(kernels["matmul"](a, b, False, False) - exact) <= bound)


def _dense_cases() -> Iterator[tuple[int, int, int]]:
    rows, _, columns = _edges()
    yield from itertools.product(rows[::2], [7], columns)
    yield from [(70, 1100, 40), (7, 2100, 100)]  # several blocks of k


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("slope", [0.0, 0.25, 1.0])
def test_dense_adds_the_bias_and_applies_leaky_relu(kernels: dict, slope: float, dtype: str) -> None:
    rng = np.random.default_rng(4)
    for m, k, n in _dense_cases():
        x, w, b = (_integers(rng, shape, dtype) for shape in ((m, k), (k, n), (n,)))
        total = x.astype(np.int64) @ w.astype(np.int64) + b.astype(np.int64)
        (memory, out), (_, bias) = _guarded(np.full((m, n), np.nan, dtype)), _guarded(b)
        kernels["dense"](x, w, bias, slope, out)
        expected = np.where(total > 0, total, total * slope).astype(dtype)
        np.testing.assert_array_equal(out, expected, err_msg=f"{m} x {k} x {n}")
        np.testing.assert_array_equal(memory, _guarded(expected)[0])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("slope", [0.0, -0.0, 0.2, 1.0])
def test_dense_treats_infinities_and_nan_as_the_reference_does(kernels: dict, slope: float, dtype: str) -> None:
    x = np.ones((7, 6), dtype)
    w = np.zeros((6, 37), dtype)
    w[0] = np.resize(np.array([np.inf, -np.inf, np.nan, 0, -0.0, 1, -1], dtype), 37)
    b = np.zeros(37, dtype)
    b[20:] = -0.5
    found = kernels["dense"](x, w, b, slope)
    with np.errstate(invalid="ignore"):
        expected = minigan_kernels.table("reference", np)["dense"](x, w, b, slope)
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_bits_are_the_same_for_any_division_among_threads(
    kernels: dict, set_threads: Callable, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    from minigan_kernels.numba import gemm

    rng = np.random.default_rng(5)
    results: dict[int, Any] = {}
    cases = [(m, k, n, flips) for m, k, n in [(64, 700, 200), (300, 70, 40), (31, 1100, 9)] for flips in FLIPS]
    operands = [
        (rng.standard_normal((k, m) if ta else (m, k)), rng.standard_normal((n, k) if tb else (k, n)), ta, tb)
        for m, k, n, (ta, tb) in cases
    ]
    for threads in (1, 2, 3, 4, 7):  # more than there are cores: the threads then take turns
        monkeypatch.setattr(gemm, "threads_for", lambda work, threads=threads: threads)
        results[threads] = [
            kernels["matmul"](a.astype(dtype), b.astype(dtype), ta, tb).tobytes() for a, b, ta, tb in operands
        ]
        assert results[threads] == results[1], threads


@pytest.mark.parametrize("dtype", FLOATS)
def test_threads_write_only_to_their_own_scratch_memory(
    kernels: dict, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """Each thread's memory lies between guards, of which none may change; with small caches rows come in many blocks.

    It is filled with NaN, which would show in the product wherever a number is read that was not written before.
    """
    from minigan_kernels.numba import gemm, gemm_plan, skinny_gemm

    rng = np.random.default_rng(7)
    guarded: list[np.ndarray] = []

    def scratch(kind: np.dtype, shape: tuple[int, int]) -> list[np.ndarray]:
        guarded.append(np.full((shape[0] * shape[1] + 2 * GUARD,), np.nan, kind))
        return [guarded[-1][GUARD:-GUARD].reshape(shape)]

    monkeypatch.setattr(gemm, "scratch", scratch)
    shapes = [(m, 9, n) for m in _edges()[0] if m > skinny_gemm.LIMIT for n in _edges()[2]] + [
        (331, 1030, 77),
        (40, 70, 300),
    ]
    for size, threads, (m, k, n), flips in itertools.product((1 << 13, 1 << 20), (1, 3), shapes, FLIPS):
        gemm_plan.plan.cache_clear()
        monkeypatch.setattr(gemm_plan, "cache_bytes", lambda level, size=size: size)
        monkeypatch.setattr(gemm_plan, "_KEPT_BYTES", size)
        monkeypatch.setattr(gemm, "threads_for", lambda work, threads=threads: threads)
        a = _integers(rng, (k, m) if flips[0] else (m, k), dtype)
        b = _integers(rng, (n, k) if flips[1] else (k, n), dtype)
        expected = (a.T if flips[0] else a).astype(float) @ (b.T if flips[1] else b).astype(float)
        np.testing.assert_array_equal(kernels["matmul"](a, b, *flips), expected, err_msg=f"{m} x {k} x {n}")
        memory = guarded.pop()
        assert np.isnan(memory[:GUARD]).all(), (m, k, n)
        assert np.isnan(memory[-GUARD:]).all(), (m, k, n)
    gemm_plan.plan.cache_clear()


def test_the_bits_do_not_depend_on_the_size_of_the_caches(kernels: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    from minigan_kernels.numba import gemm_plan

    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((300, 1100)), rng.standard_normal((1100, 130))
    results = []
    for size in (1 << 14, 1 << 18, 1 << 21):
        gemm_plan.plan.cache_clear()
        monkeypatch.setattr(gemm_plan, "cache_bytes", lambda level, size=size: size)
        results.append(kernels["matmul"](a, b, False, False).tobytes())
    gemm_plan.plan.cache_clear()
    assert len(set(results)) == 1


def test_every_plan_covers_the_product_within_its_memory() -> None:
    from minigan_kernels.numba.gemm_plan import plan

    for rows, depth, columns in itertools.product([5, 63, 1000], [5, 300, 5000], [5, 100, 9000]):
        for threads in (1, 2, 3, 8, 64):
            found = plan(rows, depth, columns, 4, threads)
            assert 1 <= found.down * found.across <= threads
            assert min(found) >= 0
            assert found.depth == plan(rows, depth, columns, 4, 1).depth
