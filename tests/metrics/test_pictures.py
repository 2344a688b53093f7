"""PSNR of each picture, sharpness, and the nearest examples by the known pixels: closed forms and a direct search."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.metrics.nearest import nearest_where_known
from minigan.metrics.pictures import psnr_of_each, sharpness

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(20, 200, (3, 6, 5, 3), dtype=np.uint8)


def test_the_psnr_of_pictures_that_differ_by_a_constant():
    worse = PICTURES + np.array([1, 5, 25], np.uint8)[:, None, None, None]
    np.testing.assert_allclose(psnr_of_each(worse, PICTURES), 20 * np.log10(255 / np.array([1, 5, 25])))


def test_the_psnr_counts_measured_pixels_only_and_is_finite_for_equal_pictures():
    worse, measured = PICTURES.copy(), np.zeros(PICTURES.shape[:3], bool)
    worse[:, :2] += 50
    measured[:, 2:4] = True
    np.testing.assert_allclose(psnr_of_each(worse, PICTURES, measured), 10 * np.log10(12 * 255**2))
    measured[:, :2] = True  # as many pixels with the error of 50 as without
    np.testing.assert_allclose(psnr_of_each(worse, PICTURES, measured), 10 * np.log10(255**2 / (2500 / 2)))


@pytest.mark.parametrize(
    ("pictures", "measured"),
    [(PICTURES[:2], None), (PICTURES, np.zeros((3, 6, 5), bool)), (PICTURES, np.ones((3, 6, 4), bool))],
)
def test_what_cannot_be_measured_is_refused(pictures, measured):
    with pytest.raises(ValueError, match=r"expected one shape|at least one in each|operands"):
        psnr_of_each(pictures, PICTURES, measured)


def test_the_sharpness_of_a_ramp_is_its_slope():
    rows, columns = np.mgrid[:8, :8]
    ramp = (3 * rows + 4 * columns)[None, :, :, None].astype(np.uint8)
    assert sharpness(ramp) == pytest.approx(5)
    assert sharpness(np.full((2, 4, 4, 1), 7, np.uint8)) == 0


def test_the_nearest_where_known_is_that_of_a_direct_search():
    pictures, examples = RNG.standard_normal((4, 6, 2)), RNG.standard_normal((30, 6, 2))
    weights = RNG.random(pictures.shape) * (RNG.random(pictures.shape) < 0.5)
    errors = (weights[:, None] * (pictures[:, None] - examples) ** 2).sum(axis=(2, 3))
    np.testing.assert_array_equal(nearest_where_known(pictures, weights, examples, 5), errors.argsort(axis=1)[:, :5])
    with pytest.raises(ValueError, match="at least so many examples"):
        nearest_where_known(pictures, weights, examples, 31)
