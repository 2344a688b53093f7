"""Bilinear upsampling and the global mean against NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minigan import Tensor, vjp
from minigan.nn import GlobalAveragePool2d, Upsample2d


def _interpolated(x: np.ndarray, axis: int, factor: int) -> np.ndarray:
    """np.interp along `axis`, which is constant beyond the outermost pixels."""
    extent = x.shape[axis]
    places = (np.arange(extent * factor) + 0.5) / factor - 0.5
    return np.apply_along_axis(lambda line: np.interp(places, np.arange(extent), line), axis, x)


@pytest.mark.parametrize("factor", [2, 3, (1, 2), (4, 1), (5, 2)])
def test_bilinear_upsampling_interpolates_between_the_centres(
    factor: int | tuple[int, int], make_rng: Callable
) -> None:
    x = make_rng().standard_normal((2, 3, 4, 2))
    down, across = (factor, factor) if isinstance(factor, int) else factor
    expected = _interpolated(_interpolated(x, 1, down), 2, across)
    np.testing.assert_allclose(Upsample2d(factor, mode="bilinear")(x).numpy(), expected, rtol=1e-12, atol=1e-14)


def test_its_derivative_is_its_adjoint_and_its_mean_is_kept(make_rng: Callable) -> None:
    layer, x = Upsample2d(2, mode="bilinear"), Tensor(make_rng().standard_normal((2, 3, 4, 2)))
    y = layer(x)
    g = make_rng(1).standard_normal(y.shape)
    (pulled_back,) = vjp(y, [x], Tensor(g))
    assert (g * y.numpy()).sum() == pytest.approx((pulled_back.numpy() * x.numpy()).sum(), rel=1e-12)
    np.testing.assert_allclose(layer(np.full((1, 2, 2, 1), 3.0)).numpy(), 3.0)


def test_one_pixel_is_repeated() -> None:
    np.testing.assert_array_equal(Upsample2d(3, mode="bilinear")(np.full((1, 1, 1, 2), 7.0)).numpy(), 7.0)


def test_another_mode_or_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="has no mode 'bilinaer'; did you mean 'bilinear'"):
        Upsample2d(2, mode="bilinaer")
    with pytest.raises(ValueError, match=r"takes \(batch, height, width, channels\), got shape \(2, 3\)"):
        Upsample2d(2, mode="bilinear")(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"takes \(batch, height, width, channels\), got shape \(2, 3\)"):
        GlobalAveragePool2d()(np.ones((2, 3)))


def test_the_global_mean_is_that_of_each_channel(make_rng: Callable) -> None:
    x = make_rng().standard_normal((3, 4, 5, 2))
    np.testing.assert_allclose(GlobalAveragePool2d()(x).numpy(), x.mean(axis=(1, 2)), rtol=1e-12)
