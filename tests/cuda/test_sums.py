"""Sums on the GPU, and the column sums of bias + LeakyReLU: their order, their rounding, every choice of axes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

import minigan_kernels
from minigan_kernels.cuda.row_blocks import divide_rows
from minigan_kernels.cuda.sums import COLUMN_SUMS, ROW_SUMS
from minigan_kernels.sums import total

REFERENCE = minigan_kernels.table("reference", np)
FLOATS = ["float32", "float64"]
GROUP = 32  # as in sums.cuh


def _draw(shape: tuple[int, ...], dtype: str, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def _sum_in_order(terms: np.ndarray) -> np.ndarray:
    """The sum over the first axis in groups, each from its first to its last number."""
    total = np.zeros_like(terms[0])
    for start in range(0, len(terms), GROUP):
        group = np.zeros_like(total)
        for term in terms[start : start + GROUP]:
            group = group + term
        total = total + group
    return total


def _column_sums(x: np.ndarray, height: int, rows_per_block: int) -> np.ndarray:
    """What column_sums computes with `height` threads for a column, with every rounding."""
    partial = []
    for first in range(0, len(x), rows_per_block):
        block = x[first : first + rows_per_block]
        empty = np.zeros((1, x.shape[1]), x.dtype)
        threads = [_sum_in_order(np.concatenate([empty, block[k::height]])[1:] if k < len(block) else empty)
                   for k in range(height)]  # fmt: skip
        while len(threads) > 1:
            half = len(threads) // 2
            threads = [threads[k] + threads[k + half] for k in range(half)]
        partial.append(threads[0])
    return np.stack(partial)


# Of (threads along the columns, along the rows): more columns than threads, fewer, as many; blocks that end early.
LAUNCHES = [((4, 2), 203, 7, 203), ((4, 2), 203, 7, 150), ((8, 4), 70, 8, 23), ((1, 64), 1000, 1, 333),
            ((4, 8), 5, 3, 5), ((32, 1), 67, 33, 34)]  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("threads", "rows", "columns", "rows_per_block"), LAUNCHES)
def test_the_order_of_a_sum(
    cupy: ModuleType, threads: tuple[int, int], rows: int, columns: int, rows_per_block: int, dtype: str
) -> None:
    """The bits are those of the documented order, for columns and for rows."""
    x = _draw((rows, columns), dtype)
    expected = _column_sums(x, threads[1], rows_per_block)
    grid = -(-columns // threads[0]), len(expected)
    found = cupy.empty(expected.shape, dtype)
    COLUMN_SUMS.launch(x.dtype, grid, threads, cupy.asarray(x), found, rows, columns, rows_per_block)
    np.testing.assert_array_equal(cupy.asnumpy(found), expected)
    found = cupy.empty(expected.T.shape, dtype)
    across = cupy.asarray(np.ascontiguousarray(x.T))
    ROW_SUMS.launch(x.dtype, grid, threads[::-1], across, found, columns, rows, rows_per_block)
    np.testing.assert_array_equal(cupy.asnumpy(found), expected.T)


DIVIDED = [(1, 1), (1, 40), (7, 3), (257, 32), (300, 35), (2100, 3), (9000, 1), (70, 4100), (5000, 33), (600, 4200)]


def test_a_division_covers_every_row_once_and_no_block_is_empty() -> None:
    for rows, columns in DIVIDED:
        blocks = divide_rows(rows, columns)
        assert blocks.rows_per_block * (blocks.count - 1) < rows <= blocks.rows_per_block * blocks.count
        assert blocks.threads[0] * (blocks.strips - 1) < columns <= blocks.threads[0] * blocks.strips
        assert all(extent & (extent - 1) == 0 for extent in blocks.threads)
        assert blocks.threads[0] * blocks.threads[1] <= 1024
        assert divide_rows(blocks.count, columns, at_once=True).count == 1
    assert divide_rows(10**6, 1).count > 100  # a single column is work for the whole GPU, too
    assert divide_rows(64, 512).count == 1  # a small matrix takes one launch


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", DIVIDED)
def test_sums_of_matrices_are_precise_and_have_the_same_bits_every_time(
    cuda: dict[str, Callable], shape: tuple[int, int], dtype: str
) -> None:
    """The threads' order changes from launch to launch."""
    x = _draw(shape, dtype) + np.asarray(1, dtype)
    for axis in (0, 1, None):
        found = cuda["sum"](x, axis, False)
        assert found.dtype == dtype
        assert found.tobytes() == cuda["sum"](x, axis, False).tobytes()
        # A thread adds at most 64 numbers or groups of them here; the trees of both launches are at most 10 deep each.
        bound = (64 + 20) * float(np.finfo(dtype).eps) / 2 * np.abs(x).astype(np.longdouble).sum(axis)
        assert np.all(np.abs(found - x.astype(np.longdouble).sum(axis)) <= bound)


AXES = [axes for count in range(5) for axes in itertools.combinations(range(4), count)]


@pytest.mark.parametrize("dtype", FLOATS)
def test_sum_over_every_choice_of_axes(cuda: dict[str, Callable], dtype: str) -> None:
    rng = np.random.default_rng(2)
    for shape in ((2, 3, 5, 7), (3, 1, 4, 1), (1, 6, 1, 5), (3, 0, 2, 4)):
        x = rng.integers(-9, 10, shape).astype(dtype)  # sums of these are exact
        for keepdims, axes in itertools.product((False, True), AXES):
            found, expected = cuda["sum"](x, axes, keepdims), REFERENCE["sum"](x, axes, keepdims)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            np.testing.assert_array_equal(found, expected)
        for axis in (-1, 1, None):
            np.testing.assert_array_equal(cuda["sum"](x, axis, False), x.sum(axis))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(3, 7, 5), (2, 300, 35), (200, 70, 3), (70_000, 2, 1, 2)])
def test_sum_over_axes_in_the_middle(cuda: dict[str, Callable], shape: tuple[int, ...], dtype: str) -> None:
    """Several matrices in one launch, of one block of rows and of several; more than a grid has room for."""
    x = np.random.default_rng(6).integers(-9, 10, shape).astype(dtype)
    np.testing.assert_array_equal(cuda["sum"](x, 1, False), x.sum(1))


@pytest.mark.parametrize("dtype", FLOATS)
def test_sum_of_other_layouts(cuda: dict[str, Callable], dtype: str) -> None:
    x = np.random.default_rng(3).integers(-9, 10, (6, 7, 8)).astype(dtype)
    views = x.T, x[::-1, 1:, ::2], np.broadcast_to(x[:, :1], (6, 9, 8)), np.asarray(3, dtype)
    for view in views:
        for axes in [(), *((0, 2), 1, None) * (view.ndim > 0)]:
            np.testing.assert_array_equal(cuda["sum"](view, axes, True), view.sum(axes, keepdims=True))


def test_sum_writes_into_given_memory_and_refuses_wrong_axes(cupy: ModuleType) -> None:
    sum_ = minigan_kernels.table("cuda", cupy)["sum"]
    x, out = cupy.ones((3, 5), "float32"), cupy.empty((3, 1), "float32")
    assert sum_(x, 1, True, out=out) is out
    assert cupy.asnumpy(out).tolist() == [[5], [5], [5]]
    for axes, kind in ((2, np.exceptions.AxisError), ((0, -2), ValueError)):
        with pytest.raises(kind):
            sum_(x, axes, False)


def test_the_reference_of_sum_is_an_array_with_the_bits_of_total() -> None:
    x = _draw((700, 3), "float32")
    found = REFERENCE["sum"](x, None, False)
    assert type(found) is np.ndarray
    assert found.tobytes() == total(x).tobytes()
    out = np.empty((1, 3), np.float32)
    assert REFERENCE["sum"](x, 0, True, out=out) is out
    np.testing.assert_array_equal(out, total(x, 0, keepdims=True))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("slope", [0.2, 0.0])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (7, 5), (257, 32), (300, 35), (2100, 3), (70, 4100)])
def test_bias_act_grad(cuda: dict[str, Callable], shape: tuple[int, int], slope: float, dtype: str) -> None:
    x, v = _draw(shape, dtype, 4), _draw(shape, dtype, 5)
    dx, db = cuda["bias_act_grad"](x, v, slope)
    np.testing.assert_array_equal(dx, REFERENCE["slope_gate"](x, v, slope))
    # The order is that of `sum`, and so are the bits.
    np.testing.assert_array_equal(db, cuda["sum"](dx, 0, False))
    again = cuda["bias_act_grad"](np.asfortranarray(x), v[::-1].copy()[::-1], slope)
    for one, two in zip(again, (dx, db), strict=True):
        assert one.tobytes() == two.tobytes()
    assert cuda["bias_grad"](dx).tobytes() == db.tobytes()
