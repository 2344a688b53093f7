"""How samples of arrays are shown: as pictures, points or curves, by the shape and the numbers of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigan.domains import view_from, view_of
from minigan.figures.image_grid import image_grid
from minigan.figures.value_map import ValueMap

RED, WHITE = [179, 33, 16], [255, 255, 255]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((8, 8), "PictureView"),
        ((8, 8, 1), "PictureView"),
        ((8, 9, 3), "PictureView"),
        ((8, 8, 2), "CurveView"),
        ((3, 8), "CurveView"),
        ((2,), "PlaneView"),
        ((1, 2), "PlaneView"),
        ((1,), "CurveView"),
        ((7,), "CurveView"),
    ],
)
def test_the_shape_says_what_is_drawn(shape: tuple[int, ...], kind: str) -> None:
    view = view_of(numbers(20, *shape))
    assert type(view).__name__ == kind and view.shape == shape
    samples = view.present(numbers(5, int(np.prod(shape)), seed=1))
    assert samples.shape == (5, *shape)
    picture = view.draw(samples)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] in (1, 3)
    again = view_from(view.facts())
    np.testing.assert_array_equal(again.present(numbers(5, int(np.prod(shape)), seed=1)), samples)
    assert again.draw(samples).dtype == np.uint8


@pytest.mark.parametrize(
    ("data", "given", "expected"),
    [
        (np.zeros((3, 4, 4), np.uint8), None, (-1.0, 1.0)),
        (np.zeros((3, 4, 4), np.uint8), (0.0, 1.0), (0.0, 1.0)),
        (np.linspace(0, 0.9, 48).reshape(3, 4, 4), None, (0.0, 1.0)),
        (np.linspace(-0.2, 0.9, 48).reshape(3, 4, 4), None, (-1.0, 1.0)),
        (np.linspace(-3, 9, 48).reshape(3, 4, 4), None, (-3.0, 9.0)),
        (np.full((3, 4, 4), 7.0), None, (7.0, 8.0)),
    ],
)
def test_black_and_white_are_the_ends_of_the_range(data: np.ndarray, given: Any, expected: Any) -> None:
    view = view_of(data, given)
    assert view.facts()["value_range"] == list(expected)
    ends = np.array(expected)[:, None, None] * np.ones((4, 4))
    samples = view.present(ends.reshape(2, 16))
    pictures = np.array([0, 255], np.uint8)[:, None, None, None] * np.ones((4, 4, 1), np.uint8)
    np.testing.assert_array_equal(view.draw(samples), image_grid(pictures))
    assert (samples.dtype == np.uint8) == (data.dtype == np.uint8)


def test_points_are_drawn_where_they_are_and_the_data_are_shaded() -> None:
    data = np.concatenate([numbers(500, 2, seed=1) * 0.01 + centre for centre in ((0, 0), (1, 1))])
    view = view_of(data)
    empty = view.draw(np.empty((0, 2)))
    blue = (empty[..., 0] < 200).nonzero()
    low = [int(rows.mean()) for rows in (blue[0][blue[1] < 240], blue[1][blue[1] < 240])]
    high = [int(rows.mean()) for rows in (blue[0][blue[1] > 240], blue[1][blue[1] > 240])]
    for point, (row, column) in (((0, 0), low), ((1, 1), high)):
        red = (view.draw(np.array([point])) == RED).all(axis=2).nonzero()
        assert abs(red[0].mean() - row) < 4 and abs(red[1].mean() - column) < 4


def test_a_map_of_values_shows_where_the_data_are() -> None:
    """At the first place all values are 0, at the second all are 1."""
    data = np.tile([0.0, 1.0], (50, 1))
    image = ValueMap(data, (0.0, 1.0)).with_samples(np.empty((0, 2)))
    height, width, _ = image.shape
    shaded = (image != WHITE).any(axis=2)
    left, right = shaded[:, : width // 2], shaded[:, width // 2 :]
    for half, value in ((left, 0.0), (right, 1.0)):
        rows = half.any(axis=1).nonzero()[0]
        middle = 1 - (rows.mean() + 0.5) / height  # of a map from -0.1 to 1.1
        assert abs(middle * 1.2 - 0.1 - value) < 0.02 and half[rows].all()


def test_a_sample_is_a_curve_through_its_values() -> None:
    data = np.array([[0.0] * 4, [1.0] * 4])
    sample = np.array([[0.2, 0.8, 0.5, 0.5]])
    image = ValueMap(data, (0.0, 1.0)).with_samples(sample)
    height, width, _ = image.shape
    for place, value in enumerate(sample[0]):
        rows = (image[:, int((place + 0.5) / 4 * width)] == RED).all(axis=1).nonzero()[0]
        assert abs((1 - rows.mean() / height) * 1.2 - 0.1 - value) < 0.02


def test_single_numbers_are_a_histogram() -> None:
    """Samples at one value: the outline is long there and nowhere else."""
    view = view_of(np.concatenate([np.zeros((50, 1)), np.ones((50, 1))]))
    image = view.draw(np.ones((20, 1)))
    red = (image == RED).all(axis=2)
    longest = red[:, -1].nonzero()[0]  # beyond the data's bars, since all samples are here and half of the data
    assert len(longest) and abs((1 - longest.mean() / len(image)) * 1.2 - 0.1 - 1) < 0.03
    blue = (image[..., 0] < 200) & ~red
    assert blue.any(axis=1).sum() >= 2 and not blue[:, -1].any()


def test_samples_that_are_not_finite_or_far_outside_are_drawn_on_the_border() -> None:
    for view, samples in (
        (view_of(numbers(50, 2)), np.array([[np.nan, 0.0], [1e9, -np.inf]])),
        (view_of(numbers(50, 5)), np.array([[np.nan, 0.0, 1e300, -1e300, 0.0]])),
    ):
        assert (view.draw(samples) == RED).all(axis=2).any()


@pytest.mark.parametrize("facts", [{}, {"shape": "x"}, {"shape": [2], "value_range": [1]}, {"shape": None}])
def test_facts_of_no_view_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="what its samples look like"):
        view_from(facts)
