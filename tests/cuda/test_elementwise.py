"""The CUDA kernels that work element by element, and copies, against the reference: the bits are equal."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

import minigan_kernels
from minigan_kernels.cuda.elements import THREADS, element_blocks

REFERENCE = minigan_kernels.table("reference", np)
FLOATS = ["float32", "float64"]
SIZES = [0, 1, 2, 255, 257, 1023, 1024, 1025, 2051]  # a block computes 1024 elements
KINDS = [1.5, -2.25, 0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, -1e-30]


def _draw(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Normal draws, with zeros of either sign, denormal, huge and infinite numbers, and NaN among them."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.3, rng.choice(KINDS, shape), rng.standard_normal(shape)).astype(dtype)


def _same(found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


def test_a_block_computes_1024_elements() -> None:
    assert THREADS == 256
    assert [element_blocks(count) for count in (0, 1, 1024, 1025)] == [0, 1, 1, 2]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("slope", [0.2, 0.0, 1.0, -0.5])
def test_slope_gate(cuda: dict[str, Callable], slope: float, dtype: str) -> None:
    with np.errstate(invalid="ignore"):
        for size in SIZES:
            x, v = _draw((size,), dtype, 1), _draw((size,), dtype, 2)
            _same(cuda["slope_gate"](x, v, slope), REFERENCE["slope_gate"](x, v, slope))
        x, v = _draw((5, 7, 31), dtype, 3), _draw((31, 7, 5), dtype, 4).T
        _same(cuda["slope_gate"](x, v, slope), REFERENCE["slope_gate"](x, v, slope))


@pytest.mark.parametrize("dtype", FLOATS)
def test_moving_averages(cuda: dict[str, Callable], dtype: str) -> None:
    with np.errstate(all="ignore"):
        for size, weight in itertools.product(SIZES, (0.0, 0.1, 0.999)):
            mean, value = _draw((size,), dtype, 5), _draw((size,), dtype, 6)
            for name, of_weight in (("update_running_statistics", weight), ("lerp", np.array([weight]))):
                found, expected = mean.copy(), mean.copy()
                cuda[name](found, value, of_weight)
                REFERENCE[name](expected, value, of_weight)
                _same(found, expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_moving_averages_take_values_of_any_layout(cuda: dict[str, Callable], dtype: str) -> None:
    value = np.random.default_rng(7).standard_normal((37, 41)).astype(dtype).T
    for name, weight in (("update_running_statistics", 0.9), ("lerp", np.array([0.25]))):
        found, expected = np.ones(value.shape, dtype), np.ones(value.shape, dtype)
        cuda[name](found, value, weight)
        REFERENCE[name](expected, value, weight)
        _same(found, expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_clip(cuda: dict[str, Callable], dtype: str) -> None:
    for size in SIZES:
        found = _draw((size,), dtype, 8)
        expected = found.copy()
        cuda["clip"](found, 0.3)
        REFERENCE["clip"](expected, 0.3)
        _same(found, expected)


def test_clip_changes_the_elements_of_a_view_and_no_others(cupy: ModuleType) -> None:
    clip = minigan_kernels.table("cuda", cupy)["clip"]
    numbers = _draw((9, 10), "float32", 9)
    found, expected = cupy.asarray(numbers), numbers.copy()
    clip(found[1:8:2, ::-3], 0.5)
    REFERENCE["clip"](expected[1:8:2, ::-3], 0.5)
    _same(cupy.asnumpy(found), expected)


# Copies.

VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "whole": lambda a: a,
    "transposed": np.transpose,
    "last two axes exchanged": lambda a: np.swapaxes(a, -1, -2),
    "first two axes exchanged": lambda a: np.swapaxes(a, 0, 1),
    "reversed": lambda a: a[::-1, ..., ::-1],
    "with steps": lambda a: a[1::3, ..., ::2],
    "steps backwards": lambda a: a[..., ::-2],
    "broadcast": lambda a: np.broadcast_to(a[:, None, ..., :1], (a.shape[0], 5, *a.shape[1:-1], 3)),
    "rotated": lambda a: np.moveaxis(a, -1, 0),
    "empty": lambda a: a[:0],
}
# The second, fourth and fifth have matrices that are copied in tiles of 32 x 32, not whole ones.
SHAPES = [(3, 5), (45, 70), (1, 1), (3, 45, 34), (33, 3, 66), (2, 3, 4, 5), (2, 3, 1, 5, 4), (3, 2, 2, 3, 2, 3, 2, 2)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("view", VIEWS)
def test_contiguous(cuda: dict[str, Callable], view: str, dtype: str) -> None:
    for shape in SHAPES:
        numbers = VIEWS[view](np.arange(np.prod(shape)).reshape(shape).astype(dtype))
        _same(cuda["contiguous"](numbers), numbers)


def test_contiguous_keeps_the_bits_of_every_number(cuda: dict[str, Callable]) -> None:
    bits = np.random.default_rng(10).integers(0, 2**32, (45, 70), np.uint32)
    for view in ("transposed", "reversed"):
        numbers = VIEWS[view](bits).view(np.float32) if view == "reversed" else VIEWS[view](bits.view(np.float32))
        quiet = numbers.view(np.uint32) if view == "reversed" else VIEWS[view](bits)
        np.testing.assert_array_equal(cuda["contiguous"](numbers).view(np.uint32), quiet)


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8", "int32"])
def test_contiguous_of_other_types(cuda: dict[str, Callable], dtype: str) -> None:
    numbers = np.arange(30).reshape(5, 6).astype(dtype).T
    _same(cuda["contiguous"](numbers), numbers.copy())


def test_contiguous_writes_into_given_memory(cupy: ModuleType) -> None:
    contiguous = minigan_kernels.table("cuda", cupy)["contiguous"]
    x, out = cupy.asarray(np.arange(12.0).reshape(3, 4)).T, cupy.empty((4, 3), "float64")
    assert contiguous(x, out=out) is out
    np.testing.assert_array_equal(cupy.asnumpy(out), np.arange(12.0).reshape(3, 4).T)
    with pytest.raises(ValueError, match="needs row-major memory"):
        contiguous(x, out=cupy.empty((3, 4), "float64"))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("view", [name for name in VIEWS if name != "broadcast"])
def test_assign_changes_the_elements_of_a_view_and_no_others(cupy: ModuleType, view: str, dtype: str) -> None:
    assign = minigan_kernels.table("cuda", cupy)["assign"]
    for shape in SHAPES:
        found, expected = cupy.asarray(np.zeros(shape, dtype)), np.zeros(shape, dtype)
        target = VIEWS[view](expected)
        value = np.arange(1, target.size + 1).reshape(target.shape).astype(dtype)
        assign(_view(view)(found), cupy.asarray(value))
        target[...] = value
        _same(cupy.asnumpy(found), expected)


def _view(name: str) -> Callable:
    """The view of this name of an array of any library."""
    if name == "last two axes exchanged":
        return lambda a: a.swapaxes(-1, -2)
    if name == "first two axes exchanged":
        return lambda a: a.swapaxes(0, 1)
    if name == "rotated":
        return lambda a: a.transpose(a.ndim - 1, *range(a.ndim - 1))
    return (lambda a: a.transpose()) if name == "transposed" else VIEWS[name]


@pytest.mark.parametrize("dtype", FLOATS)
def test_assign_between_transposed_stacks(cupy: ModuleType, dtype: str) -> None:
    """Every extent and stride of a copy in tiles differs, and both arrays have gaps."""
    assign = minigan_kernels.table("cuda", cupy)["assign"]
    numbers = np.arange(4 * 70 * 50).reshape(4, 70, 50).astype(dtype)
    found, expected = cupy.zeros((3, 40, 80), dtype), np.zeros((3, 40, 80), dtype)
    for target, value in ((found, cupy.asarray(numbers)), (expected, numbers)):
        of_value = value[:3, 1:67, 2:37].transpose(0, 2, 1)
        if target is found:
            assign(target[:, :35, 3:69], of_value)
        else:
            target[:, :35, 3:69] = of_value
    _same(cupy.asnumpy(found), expected)


@pytest.mark.parametrize("change", ["reversed", "shifted", "transposed", "rotated"])
def test_assign_to_the_array_that_is_read(cupy: ModuleType, change: str) -> None:
    """The value is a view of the target, as in w.assign(w.data.T): it is read as it was before."""
    views: dict[str, Callable] = {
        "reversed": lambda a: (a, a[::-1, ::-1]),
        "shifted": lambda a: (a[1:], a[:-1]),
        "transposed": lambda a: (a, a.T),
        "rotated": lambda a: (a[1:, 1:], a.T[:-1, :-1]),
    }
    assign = minigan_kernels.table("cuda", cupy)["assign"]
    expected = np.arange(70 * 70, dtype=np.float32).reshape(70, 70)
    found = cupy.asarray(expected)
    assign(*views[change](found))
    target, value = views[change](expected)
    target[...] = value.copy()
    _same(cupy.asnumpy(found), expected)


def test_assign_broadcasts_and_converts(cuda: dict[str, Callable]) -> None:
    for value in (
        np.arange(5.0),
        np.arange(3.0)[:, None],
        np.float64(2.5),
        3,
        np.arange(5),
        np.arange(5.0)[None, None],
    ):
        found, expected = np.zeros((3, 5), np.float32), np.zeros((3, 5), np.float32)
        cuda["assign"](found, np.asarray(value, np.float32) if isinstance(value, np.ndarray) else value)
        expected[...] = value
        _same(found, expected)
        if isinstance(value, np.ndarray):
            cuda["assign"](found, value)
            _same(found, expected)


def test_assign_refuses_a_value_that_does_not_fit(cuda: dict[str, Callable]) -> None:
    for shape in ((0, 5), (3, 5)):
        with pytest.raises(ValueError, match="broadcast"):
            cuda["assign"](np.zeros(shape, np.float32), np.zeros(4, np.float32))
