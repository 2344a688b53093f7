"""Pooling and upsampling: plain loops, adjoints, ties, padding, finite differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import differences, naive

from minigan import Tensor, grad, ops, vjp
from minigan_kernels.geometry import Geometry, padding_widths

FLOATS = ["float32", "float64"]


def _random_geometries(count: int, seed: int) -> list[Geometry]:
    """Windows and strides of 1 to 4, padding smaller than the window, so that each window has a pixel of the image."""
    rng = np.random.default_rng(seed)
    found: list[Geometry] = []
    while len(found) < count:
        size, kernel, stride = (tuple(int(e) for e in rng.integers(1, most + 1, 2)) for most in (8, 4, 4))
        (top, bottom), (left, right) = ((int(rng.integers(0, k)), int(rng.integers(0, k))) for k in kernel)
        geometry = Geometry(size, kernel, stride, ((top, bottom), (left, right)))
        if min(geometry.out) >= 1:
            found.append(geometry)
    return found


NONE = ((0, 0), (0, 0))
GEOMETRIES = [
    Geometry((4, 6), (2, 2), (2, 2)),
    Geometry((5, 7), (2, 2), (2, 2)),  # no window reaches the last row and column
    Geometry((5, 5), (3, 3), (1, 1), ((1, 1), (1, 1))),
    Geometry((6, 4), (2, 3), (3, 1), ((1, 0), (2, 2))),
    Geometry((7, 7), (2, 2), (3, 3)),  # gaps between the windows
    Geometry((3, 4), (3, 4), (1, 1)),  # the whole image
    Geometry((1, 1), (3, 3), (1, 1), ((1, 1), (1, 1))),
    Geometry((1, 1), (1, 1), (1, 1)),
    *_random_geometries(100, 31),
]


def _name(geometry: Geometry) -> str:
    (h, w), (kh, kw), (down, across) = geometry[:3]
    return f"{h}x{w}-k{kh}x{kw}-s{down}x{across}-p{','.join(map(str, itertools.chain(*geometry.padding)))}"


def _settings(geometry: Geometry) -> dict[str, Any]:
    return {"window": geometry.kernel, "stride": geometry.stride, "padding": geometry.padding}


def _distinct(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Positive and negative numbers, any two at least 0.3 apart."""
    count = math.prod(shape)
    return (rng.permutation(count) - count / 2).reshape(shape) * 0.3


def _same_sums(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> bool:
    """Whether <a, b> = <c, d>, up to rounding."""
    one, two = (a * b).numpy(), (c * d).numpy()
    return bool(abs(one.sum() - two.sum()) <= 1e-12 * (np.abs(one).sum() + np.abs(two).sum()))


# Upsampling.


@pytest.mark.parametrize("factor", [1, 2, 3, (1, 2), (3, 1), (2, 4)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_upsampling_repeats_each_pixel(factor: Any, dtype: str, make_rng: Callable) -> None:
    rng = make_rng()
    down, across = factor if isinstance(factor, tuple) else (factor, factor)
    x = rng.standard_normal((2, 3, 4, 5)).astype(dtype)
    leaf = Tensor(x)
    y = ops.upsample2d(leaf, factor)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), x.repeat(down, axis=1).repeat(across, axis=2))
    g = rng.integers(-4, 5, y.shape).astype(dtype)
    (dx,) = vjp(y, [leaf], Tensor(g))
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx.numpy(), g.reshape(2, 3, down, 4, across, 5).sum(axis=(2, 4)))


def test_upsampling_by_two_by_hand() -> None:
    x = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1))
    y = ops.upsample2d(x).numpy().reshape(4, 4)
    assert y.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


def test_upsampling_is_four_times_the_adjoint_of_averaging(make_rng: Callable) -> None:
    rng = make_rng()
    for _ in range(5):
        x, g = Tensor(rng.standard_normal((2, 6, 4, 3))), Tensor(rng.standard_normal((2, 3, 2, 3)))
        assert _same_sums(g, ops.average_pool2d(x) * 4.0, ops.upsample2d(g), x)


# Averages.


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=_name)
def test_average_pooling_equals_plain_loops(geometry: Geometry, make_rng: Callable) -> None:
    rng = make_rng()
    x = rng.standard_normal((2, *geometry.size, 3))
    leaf = Tensor(x)
    y = ops.average_pool2d(leaf, **_settings(geometry))
    np.testing.assert_allclose(y.numpy(), naive.average_pool(x, geometry), rtol=1e-13, atol=1e-14)
    g, v = Tensor(rng.standard_normal(y.shape)), Tensor(rng.standard_normal(x.shape))
    (dx,) = vjp(y, [leaf], g)
    assert _same_sums(g, ops.average_pool2d(v, **_settings(geometry)), dx, v)  # linear: its own derivative


def test_average_pooling_does_not_count_the_padding() -> None:
    for geometry in GEOMETRIES:
        for number in (1.0, -3.5):
            y = ops.average_pool2d(Tensor(np.full((1, *geometry.size, 2), number)), **_settings(geometry))
            np.testing.assert_allclose(y.numpy(), number, rtol=1e-15)


# Maxima.


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=_name)
def test_max_pooling_equals_plain_loops(geometry: Geometry, ties: bool, make_rng: Callable) -> None:
    """Of equal maxima the first in row-major order gets the whole cotangent."""
    rng = make_rng()
    shape = 2, *geometry.size, 3
    x = rng.integers(-4, 0, shape).astype(float) if ties else _distinct(rng, *shape) - 0.05
    leaf = Tensor(x)
    y = ops.max_pool2d(leaf, **_settings(geometry))
    g = rng.integers(-4, 5, y.shape).astype(float)
    expected, dx = naive.max_pool(x, g, geometry)
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_array_equal(vjp(y, [leaf], Tensor(g))[0].numpy(), dx)
    np.testing.assert_array_equal(vjp(y, [leaf], Tensor(g), create_graph=True)[0].numpy(), dx)


def test_the_first_of_equal_maxima_gets_the_whole_cotangent() -> None:
    x = Tensor(np.array([[5.0, 7.0, 7.0], [7.0, 7.0, 7.0]]).reshape(1, 2, 3, 1))
    y = ops.max_pool2d(x, (2, 2), stride=1)
    assert y.numpy().reshape(-1).tolist() == [7, 7]
    (dx,) = vjp(y, [x], Tensor(np.array([3.0, 10.0]).reshape(y.shape)))
    assert dx.numpy().reshape(2, 3).tolist() == [[0, 13, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("number", [-1.0, -1e30, -np.inf])
def test_padding_is_never_the_maximum(number: float, dtype: str) -> None:
    x = Tensor(np.full((1, 3, 3, 2), number, dtype))
    for padding in (1, "same", ((0, 1), (1, 0))):
        y = ops.max_pool2d(x, 2, stride=1, padding=padding)
        assert y.dtype == dtype
        assert (y.numpy() == number).all()
        assert grad(ops.sum(y), [x])[0].numpy().sum() == y.size


def test_a_window_with_nan_gives_nan() -> None:
    x = np.zeros((1, 4, 4, 1))
    x[0, 2, 1] = np.nan
    for pool in (ops.max_pool2d, ops.average_pool2d):
        found = np.isnan(pool(Tensor(x)).numpy().reshape(2, 2))
        assert found.tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("pool", [ops.average_pool2d, ops.max_pool2d, ops.upsample2d])
def test_arrays_are_taken_as_tensors_are(pool: Callable) -> None:
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(pool(x).numpy(), pool(Tensor(x)).numpy())


@pytest.mark.parametrize("geometry", GEOMETRIES[:40], ids=_name)
def test_max_pooling_of_minus_infinity(geometry: Geometry, make_rng: Callable) -> None:
    """In a window of -inf alone the first pixel gets the cotangent, never the padding."""
    rng = make_rng()
    x = np.where(rng.random((2, *geometry.size, 3)) < 0.8, -np.inf, -3.0)
    leaf = Tensor(x)
    y = ops.max_pool2d(leaf, **_settings(geometry))
    g = rng.integers(1, 5, y.shape).astype(float)
    expected, dx = naive.max_pool(x, g, geometry)
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_array_equal(vjp(y, [leaf], Tensor(g))[0].numpy(), dx)


@pytest.mark.parametrize("pool", [ops.average_pool2d, ops.max_pool2d])
def test_integers_of_numpy_are_integers(pool: Callable) -> None:
    x = Tensor(np.arange(48.0).reshape(1, 6, 8, 1))
    two, one = np.int64(2), np.int64(1)
    for plain, numpys in (
        ({"window": 2, "stride": 1, "padding": 1}, {"window": two, "stride": one, "padding": one}),
        (
            {"window": (3, 2), "stride": (1, 2), "padding": ((1, 2), (0, 1))},
            {"window": (two + one, two), "stride": (one, two), "padding": ((one, two), (0, one))},
        ),
    ):
        np.testing.assert_array_equal(pool(x, **numpys).numpy(), pool(x, **plain).numpy())
    np.testing.assert_array_equal(ops.upsample2d(x, (two, one)).numpy(), ops.upsample2d(x, (2, 1)).numpy())


@pytest.mark.parametrize("shape", [(0, 4, 4, 2), (2, 4, 4, 0)])
def test_empty_batches_stay_empty(shape: tuple[int, ...]) -> None:
    x = Tensor(np.ones(shape))
    for pool, side in ((ops.average_pool2d, 2), (ops.max_pool2d, 2), (ops.upsample2d, 8)):
        y = pool(x)
        assert y.shape == (shape[0], side, side, shape[3])
        assert grad(ops.sum(y), [x])[0].shape == shape


def test_the_stride_is_the_window_unless_it_is_given() -> None:
    x = Tensor(np.ones((1, 6, 6, 1)))
    for pool in (ops.max_pool2d, ops.average_pool2d):
        assert pool(x).shape == (1, 3, 3, 1)
        assert pool(x, (3, 2)).shape == (1, 2, 3, 1)
        assert pool(x, 3, stride=1).shape == (1, 4, 4, 1)
        assert pool(x, 4, stride=(1, 2), padding="same").shape == (1, 6, 3, 1)
        assert pool(x, 4, padding="valid").shape == (1, 1, 1, 1)


def test_same_padding_is_that_of_convolution() -> None:
    """The average with "same" padding is a convolution with ones, divided by the number of pixels in the window."""
    x, ones = Tensor(np.arange(35.0).reshape(1, 5, 7, 1)), Tensor(np.ones((1, 5, 7, 1)))
    for kernel, stride in itertools.product([1, 2, 3, 4], [1, 2, 3]):
        w = Tensor(np.ones((kernel, kernel, 1, 1)))
        sums, counts = (ops.conv2d(a, w, stride=stride, padding="same") for a in (x, ones))
        found = ops.average_pool2d(x, kernel, stride=stride, padding="same")
        np.testing.assert_allclose(found.numpy(), (sums / counts).numpy(), rtol=1e-14)
        explicit = padding_widths("same", (5, 7), (kernel, kernel), (stride, stride))
        np.testing.assert_array_equal(
            ops.max_pool2d(x, kernel, stride=stride, padding="same").numpy(),
            ops.max_pool2d(x, kernel, stride=stride, padding=explicit).numpy(),
        )


# Finite differences.


@pytest.mark.parametrize("geometry", GEOMETRIES[:20], ids=_name)
@pytest.mark.parametrize("pool", [ops.average_pool2d, ops.max_pool2d])
def test_derivatives_of_pooling(pool: Callable, geometry: Geometry, make_rng: Callable) -> None:
    x = _distinct(make_rng(), 2, *geometry.size, 3)
    differences.check_first_order(lambda x: pool(x, **_settings(geometry)), [x])
    differences.check_second_order(lambda x: pool(x + x * x * x * 0.01, **_settings(geometry)), [x])


@pytest.mark.parametrize("factor", [2, (3, 1), (1, 2)])
def test_derivatives_of_upsampling(factor: Any, make_rng: Callable) -> None:
    x = make_rng().standard_normal((2, 3, 4, 2))
    differences.check_first_order(lambda x: ops.upsample2d(x, factor), [x])
    differences.check_second_order(lambda x: ops.tanh(ops.upsample2d(x * x, factor)), [x])


# What is refused.


def _ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "upsample-rank": (lambda: ops.upsample2d(_ones(3, 4, 5)), r"upsample2d takes images \(N, H, W, C\), got"),
    "upsample-factor": (lambda: ops.upsample2d(_ones(1, 2, 2, 1), 0), r"a factor is one or two whole numbers .* not 0"),
    "average-rank": (lambda: ops.average_pool2d(_ones(3, 4)), r"average_pool2d takes images .* got shape \(3, 4\)"),
    "max-rank": (lambda: ops.max_pool2d(_ones(1, 2, 3, 4, 5)), r"max_pool2d takes images"),
    "window": (lambda: ops.max_pool2d(_ones(1, 4, 4, 1), (2, 0)), r"a window is one or two whole numbers .* \(2, 0\)"),
    "stride": (lambda: ops.max_pool2d(_ones(1, 4, 4, 1), stride=0), r"a stride is one or two whole numbers .* not 0"),
    "padding": (lambda: ops.average_pool2d(_ones(1, 4, 4, 1), padding="all"), r"padding must be .* not 'all'"),
    "padding-text": (lambda: ops.max_pool2d(_ones(1, 4, 4, 1), padding=("12", "34")), r"must be .* \('12', '34'"),
    "stride-fraction": (lambda: ops.average_pool2d(_ones(1, 4, 4, 1), stride=1.5), r"a stride is .* not 1\.5"),
    "array-rank": (lambda: ops.max_pool2d(np.ones((4, 4))), r"max_pool2d takes images .* got shape \(4, 4\)"),
    "window-does-not-fit": (
        lambda: ops.average_pool2d(_ones(1, 4, 4, 1), (2, 5)),
        r"a kernel of 2 x 5, .* does not fit an image of 4 x 4.*\(4 - 5\) // 5 \+ 1 = 0 columns",
    ),
    "max-outside": (
        lambda: ops.max_pool2d(_ones(1, 4, 4, 1), 2, padding=2),
        r"max_pool2d with a kernel of 2 x 2.* has windows outside of the image; use less padding",
    ),
    "average-outside": (
        lambda: ops.average_pool2d(_ones(1, 4, 4, 1), (3, 1), padding=((0, 0), (0, 1))),
        r"average_pool2d with .* has windows outside of the image",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_do_not_fit_are_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()
