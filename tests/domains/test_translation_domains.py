"""Looks of pictures, outlines with their baseline, and pictures in two looks that are never paired in training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigan.data import Dataset
from minigan.domains.looks import bold_negative, outline, pencil_drawing
from minigan.domains.outlines import least_squares
from minigan.domains.two_looks import TwoLooksDomain
from minigan.recipes import get

RNG = np.random.default_rng(5)


def negative(pictures: np.ndarray) -> np.ndarray:
    return np.asarray(255 - pictures)


DOMAIN = TwoLooksDomain((4, 4, 1), look=negative)


def run(seed: int = 1, **settings: Any) -> Any:
    return SimpleNamespace(settings={"batch_size": 6, **settings}, seed=seed, dtype="float32")


def numbered(count: int) -> Dataset:
    """`count` pictures, each of one grey level: its place."""
    return Dataset(np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 4, 4, 1)))


def places(values: np.ndarray) -> np.ndarray:
    """The grey levels of pictures of one grey level each, (n, H, W) in [-1, 1]."""
    return np.rint((values[:, 0, 0] + 1) * 127.5).astype(int)


# Looks.


def test_an_outline_surrounds_what_is_bright() -> None:
    picture = np.zeros((1, 5, 5, 1), np.uint8)
    picture[0, 2, 1:3] = 200
    expected = ["00000", "0##00", "#00#0", "0##00", "00000"]
    assert ["".join("#" if v else "0" for v in row) for row in outline(picture)[0, ..., 0]] == expected
    assert not outline(np.full((1, 5, 5, 1), 255, np.uint8)).any()  # nothing dark that could be marked


def test_a_bold_negative_is_dark_wherever_something_bright_is_near() -> None:
    pictures = RNG.integers(0, 256, (2, 6, 7, 1), dtype=np.uint8)
    bold = bold_negative(pictures)
    assert bold[1, 3, 4, 0] == 255 - pictures[1, 2:5, 3:6, 0].max()
    assert bold[1, 0, 6, 0] == 255 - pictures[1, :2, 5:, 0].max()


def test_a_drawing_is_the_squared_share_of_the_mean_around_each_pixel() -> None:
    pictures = RNG.integers(0, 256, (2, 9, 10, 1), dtype=np.uint8)
    padded = np.pad(pictures.astype(float), ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
    for row, column in np.ndindex(9, 10):
        mean = padded[1, row : row + 7, column : column + 7].mean()
        expected = 255 * min(1.0, (float(pictures[1, row, column, 0]) + 1) / (mean + 1)) ** 2
        assert pencil_drawing(pictures)[1, row, column, 0] == pytest.approx(expected, abs=0.51)
    assert (pencil_drawing(np.full((1, 8, 8, 3), 90, np.uint8)) == 255).all()  # nothing changes there: white paper


# The baseline.


def test_least_squares_finds_a_linear_function_of_the_neighbourhood() -> None:
    conditions = RNG.integers(0, 2, (40, 12, 12, 1), dtype=np.uint8) * 255
    shifted = np.pad(conditions, ((0, 0), (0, 0), (3, 0), (0, 0)))[:, :, :-3]
    pictures = (shifted // 5 + conditions // 5 + 20).astype(np.uint8)
    found = least_squares(conditions[:30], pictures[:30], conditions[30:])
    assert found.shape == pictures[30:].shape
    assert np.abs(found.astype(int) - pictures[30:]).max() <= 1


# Two looks.


def test_no_picture_is_seen_in_both_looks_and_both_orders_are_independent() -> None:
    batch = DOMAIN.batches(numbered(240), run())
    a, b = [], []
    for step in range(20):  # an epoch
        x, y = batch(step)
        assert x is y
        a += list(places(x.numpy()[..., 0]))
        b += list(255 - places(x.numpy()[..., 1]))
    assert sorted(a) == list(range(0, 240, 2)) and sorted(b) == list(range(1, 240, 2))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.2  # of 120 independent pairs: 2.2 standard deviations


def test_batches_are_pure_in_seed_and_step() -> None:
    data = numbered(50)
    first, second = DOMAIN.batches(data, run()), DOMAIN.batches(data, run())
    later = first(7)[0].numpy()
    first(3)
    np.testing.assert_array_equal(first(7)[0].numpy(), later)
    np.testing.assert_array_equal(second(7)[0].numpy(), later)
    assert not np.array_equal(DOMAIN.batches(data, run(seed=2))(7)[0].numpy(), later)


def test_samples_are_shown_side_by_side() -> None:
    values = np.stack([np.full((2, 4, 4), -1.0), np.full((2, 4, 4), 1.0)], axis=-1)
    shown = DOMAIN.present(values)
    assert shown.shape == (2, 4, 8, 1)
    assert not shown[:, :, :4].any() and (shown[:, :, 4:] == 255).all()
    assert (DOMAIN.translation_output(shown, "a-to-b") == 255).all()
    assert not DOMAIN.translation_output(shown, "b-to-a").any()


@pytest.mark.parametrize(("name", "channels"), [("edges-to-digits", 1), ("cycle-digits", 2)])
def test_an_example_batch_has_digits_and_their_conditions(name: str, channels: int) -> None:
    recipe = get(name)
    x, y = recipe.domain.example_batch(3, recipe.settings, seed=0, dtype="float64")
    assert x.shape == y.shape == (3, 28, 28, channels)
    assert x.numpy().min() == -1 and x.numpy().max() > 0.9
