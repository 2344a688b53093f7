"""Digits in colours and stacks of digits: pure functions of place, seed and step; and pictures in .npy files."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from support.idx_files import assert_one_sentence

from minigan.core.errors import DataError, UsageError
from minigan.data import Dataset, load
from minigan.data.coloured import COLOURS, colour_numbers, coloured
from minigan.data.stacked import StackedDigits

RNG = np.random.default_rng(0)
DIGITS = Dataset(RNG.integers(0, 256, (60, 5, 4, 1), np.uint8), np.arange(60) % 10, name="digits", source="here")


def test_each_picture_has_one_colour_of_all() -> None:
    made, numbers = coloured(DIGITS), colour_numbers(60, 0)
    assert set(numbers) == set(range(len(COLOURS))) == set(range(6))
    for place in range(60):
        white = np.array(list(COLOURS.values())[numbers[place]])
        np.testing.assert_array_equal(made.images[place], DIGITS.images[place] * (white // 255).astype(np.uint8))
    np.testing.assert_array_equal(made.images.max(axis=3, keepdims=True), DIGITS.images)
    np.testing.assert_array_equal(made.labels, DIGITS.labels)


def test_a_colour_is_a_pure_function_of_the_place_and_the_seed() -> None:
    np.testing.assert_array_equal(colour_numbers(60, 3)[:17], colour_numbers(17, 3))
    assert not np.array_equal(colour_numbers(60, 3), colour_numbers(60, 4))
    assert coloured(DIGITS).sha256 == coloured(DIGITS).sha256 != coloured(DIGITS, seed=1).sha256
    shares = np.bincount(colour_numbers(6000, 0)) / 6000
    assert np.abs(shares - 1 / 6).max() < 5 * np.sqrt(1 / 6 * 5 / 6 / 6000)


def test_pictures_in_colours_are_not_coloured_again() -> None:
    with pytest.raises(DataError) as error:
        coloured(coloured(DIGITS))
    assert_one_sentence(error, "have colours already")


def test_stacks_are_three_digits_with_their_labels() -> None:
    stacks = StackedDigits(DIGITS)
    pictures, labels = stacks.pictures(50, seed=1, step=2)
    assert pictures.shape == (50, *stacks.shape) == (50, 5, 4, 3) and labels.shape == (50, 3)
    by_pixels = {image.tobytes(): label for image, label in zip(DIGITS.images, DIGITS.labels, strict=True)}
    for picture, channel in itertools.product(range(50), range(3)):
        assert by_pixels[pictures[picture, ..., channel].tobytes()] == labels[picture, channel]


def test_every_triple_is_drawn_and_all_equally_often() -> None:
    _, labels = StackedDigits(DIGITS).pictures(30_000, seed=0, step=0)
    counts = np.bincount(labels @ [100, 10, 1], minlength=1000)
    assert counts.min() > 0
    statistic = ((counts - 30) ** 2 / 30).sum()  # chi squared, 999 degrees of freedom
    assert abs(statistic - 999) < 5 * np.sqrt(2 * 999)


def test_batches_of_stacks_are_pure() -> None:
    stacks = StackedDigits(DIGITS)
    batch = stacks.batch(8, 1, 5, "float64").numpy()
    np.testing.assert_array_equal(batch, StackedDigits(DIGITS).batch(8, 1, 5, "float64").numpy())
    np.testing.assert_allclose((batch + 1) * 127.5, stacks.pictures(8, 1, 5)[0], atol=1e-12)
    for seed, step in ((1, 6), (2, 5)):
        assert not np.array_equal(batch, stacks.batch(8, seed, step, "float64").numpy())


def test_stacks_are_recorded_by_the_digest_of_their_digits() -> None:
    stacks = StackedDigits(DIGITS)
    assert stacks.matches(stacks.describe()) and stacks.describe()["sha256"] != DIGITS.sha256
    assert not stacks.matches(StackedDigits(DIGITS[:30]).describe())


@pytest.mark.parametrize(
    ("digits", "part"), [(coloured(DIGITS), "have colours"), (Dataset(DIGITS.images), "have no labels")]
)
def test_what_cannot_be_stacked(digits: Dataset, part: str) -> None:
    with pytest.raises(DataError) as error:
        StackedDigits(digits)
    assert_one_sentence(error, part, "grey digits with labels")


# Files of arrays.


@pytest.mark.parametrize("axes", [(), (1,), (3,)], ids=["H W", "grey", "colour"])
@pytest.mark.parametrize(
    ("black", "white", "kind"),
    [(0, 255, "u1"), (0, 255, "<f4"), (0, 255, "<i8"), (0, 1, "<f8"), (-1, 1, "<f4"), (0, 1, "<f2")],
)
def test_pictures_of_an_array_file(tmp_path: Path, axes: tuple[int], black: int, white: int, kind: str) -> None:
    expected = RNG.integers(0, 256, (7, 6, 5, *axes), np.uint8)
    expected.flat[:2] = 0, 255
    np.save(tmp_path / "faces_data.npy", (expected / 255 * (white - black) + black).astype(kind))
    dataset = load(tmp_path / "faces_data.npy")
    np.testing.assert_array_equal(dataset.images, expected.reshape(7, 6, 5, -1))
    assert (dataset.name, dataset.source) == ("faces_data", str(tmp_path / "faces_data.npy"))


def test_labels_of_an_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", x=DIGITS.images[..., 0], y=DIGITS.labels)
    dataset = load(tmp_path / "digits.npz")
    np.testing.assert_array_equal(dataset.images, DIGITS.images)
    assert dataset.labels is not None and dataset.labels.tolist() == DIGITS.labels.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (np.array([{"a": 1}] * 5, object), "holds Python objects, which minigan does not unpickle"),
        (np.zeros((5, 3, 8, 9)), "expected pictures (N, H, W) or (N, H, W, C) with C 1 (grey) or 3 (colour); move the"),
        (np.zeros((5, 8, 9, 4)), "with C 1 (grey) or 3 (colour); save the pictures alone"),
        (np.zeros((50, 784)), "float64 of shape (50, 784), expected pictures"),
        (np.zeros((0, 8, 9)), "with no dimension zero"),
        (
            np.full((5, 8, 9), 256.0),
            "numbers from 256 to 256, expected bytes, or numbers in [0, 1], [-1, 1] or [0, 255",
        ),
        (np.full((5, 8, 9), np.nan), "expected finite numbers"),
        (np.full((5, 8, 9), "a"), "expected uint8, float32 or float64"),
    ],
    ids=["objects", "channels first", "four channels", "flat", "none", "out of range", "not finite", "words"],
)
def test_what_is_no_pictures_is_refused_in_a_sentence(tmp_path: Path, values: np.ndarray, part: str) -> None:
    np.save(tmp_path / "data.npy", values, allow_pickle=True)
    with pytest.raises(DataError) as error:
        load(tmp_path / "data.npy")
    assert_one_sentence(error, part)


def test_a_file_that_is_missing_damaged_or_has_no_test_set(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"no archive")
    for name in ("data.npz", "missing.npy"):
        with pytest.raises(DataError):
            load(tmp_path / name)
    np.save(tmp_path / "data.npy", DIGITS.images)
    with pytest.raises(UsageError) as error:
        load(tmp_path / "data.npy", split="test")
    assert_one_sentence(error, "does not say which of its pictures are the test set")
