"""Batches of examples: their numbers, labels, flips and crops, transforms, and where they are stored."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.idx_files import assert_one_sentence

import minigan as mg
from minigan.core.errors import UsageError
from minigan.data import Batches, Dataset, as_dataset
from minigan.data.augmentation import Augmentation


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_batches_hold_the_chosen_images_in_the_value_range(channels: int, value_range: tuple[float, float]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 2, 5, channels), dtype=np.uint8)
    dataset, (low, high) = Dataset(images), value_range
    for step in (0, 3):
        expected = low + images[Batches(9, 4, seed=2).indices(step)] / 255 * (high - low)
        batch = dataset.batches(4, seed=2, value_range=value_range, dtype="float64")(step).numpy()
        assert batch.dtype == np.float64
        np.testing.assert_allclose(batch, expected, rtol=0, atol=1e-15)
        flat = dataset.batches(4, seed=2, value_range=value_range, dtype="float64", flat=True)(step).numpy()
        np.testing.assert_array_equal(flat, batch.reshape(4, -1))


@pytest.mark.parametrize("flat", [True, False])
def test_a_batch_never_waits_for_the_device(flat: bool, standin: ModuleType) -> None:
    dataset = Dataset(np.arange(72, dtype=np.uint8).reshape(6, 2, 2, 3))
    expected = dataset.batches(2, flat=flat)(1).numpy()
    mg.use("cupy", "reference")
    batches = dataset.batches(2, flat=flat)
    with standin._standin.count_synchronisations() as waits:
        batch = batches(1)
    assert waits.count == 0
    assert type(batch.data) is standin.ndarray
    np.testing.assert_array_equal(batch.numpy(), expected)


def test_other_numbers_are_converted_and_left_as_they_are() -> None:
    values = np.random.default_rng(0).normal(size=(9, 3))
    batch = Dataset(values).batches(4, seed=2, value_range=(0, 1))(3)
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch.numpy(), values[Batches(9, 4, seed=2).indices(3)].astype(np.float32))


def test_labels_come_with_their_examples() -> None:
    values, labels = np.arange(9.0), np.arange(9) * 3
    for kind in (np.uint8, np.int64, np.float32):
        x, y = Dataset(values, labels.astype(kind)).batches(2, seed=1, per_step=2)(5)
        assert y.dtype == np.float32 and y.shape == (4,)
        np.testing.assert_array_equal(y.numpy(), 3 * x.numpy())
    attributes = np.stack([values, -values], axis=1)
    x, y = Dataset(values, attributes).batches(4)(0)
    np.testing.assert_array_equal(y.numpy(), np.stack([x.numpy(), -x.numpy()], axis=1))
    assert Dataset(values, labels).batches(4, labels=False)(0).shape == (4,)
    with pytest.raises(UsageError, match="has no labels"):
        Dataset(values).batches(4, labels=True)


def places(count: int = 40, height: int = 6, width: int = 8) -> np.ndarray:
    """Pictures whose pixels say which picture, row and column they are: 100 * picture + 10 * row + column."""
    return 100.0 * np.arange(count)[:, None, None] + 10 * np.arange(height)[:, None] + np.arange(width)


def test_flips_and_crops_are_windows_of_their_picture() -> None:
    batch = Dataset(places(), flip=True, crop=(4, 5)).batches(40, seed=3, dtype="float64")(7).numpy()
    assert batch.shape == (40, 4, 5)
    np.testing.assert_array_equal(np.diff(batch, axis=1), 10)  # rows one below the other
    steps = np.diff(batch, axis=2)
    assert (np.abs(steps) == 1).all() and (steps == steps[:, :1, :1]).all()  # neighbouring columns, in one direction
    pictures, within = np.divmod(batch, 100)
    assert (pictures == pictures[:, :1, :1]).all() and sorted(pictures[:, 0, 0]) == list(range(40))
    assert 0 < (steps[:, 0, 0] < 0).sum() < 40
    rows, columns = np.divmod(within, 10)
    assert set(rows[:, 0, 0]) == {0, 1, 2} and set(columns.min(axis=(1, 2))) == {0, 1, 2, 3}


def test_every_flip_and_every_place_is_equally_likely() -> None:
    rows, columns = Augmentation(flip=True, crop=(2, 2)).windows((4, 3, 1), 6000, seed=0, step=1)
    outcomes = 3 * 2 * 2  # places down and across, and directions
    _, counts = np.unique(np.concatenate([rows, columns], axis=1), axis=0, return_counts=True)
    assert len(counts) == outcomes
    expected = 6000 / outcomes
    assert ((counts - expected) ** 2 / expected).sum() < 31.3  # chi-squared, 11 degrees of freedom, p = 0.001


def test_flips_and_crops_are_pure_in_the_seed_and_the_step() -> None:
    data = Dataset(places(), flip=True, crop=3)
    one, two = data.batches(8, seed=1), data.batches(8, seed=1)
    later = one(9).numpy()
    one(2)
    np.testing.assert_array_equal(two(9).numpy(), later)
    plain = Dataset(places()).batches(8, seed=1)
    np.testing.assert_array_equal(later[:, 0, 0] // 100, plain(9).numpy()[:, 0, 0] // 100)  # the same pictures


def test_flips_and_crops_differ_from_step_to_step_and_from_seed_to_seed() -> None:
    data = Dataset(places(8), flip=True, crop=3)
    corners = [data.batches(8, seed=seed)(step).numpy()[:, 0, 0] % 100 for seed, step in ((1, 0), (1, 1), (2, 0))]
    assert not any(np.array_equal(corners[i], corners[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_pictures_as_labels_are_flipped_cropped_and_scaled_with_their_examples() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 6, 8, 3), dtype=np.uint8)
    x, y = Dataset(pixels, pixels[..., 1], flip=True, crop=4).batches(10)(0)
    np.testing.assert_array_equal(y.numpy(), x.numpy()[..., 1])
    vectors = np.arange(10)[:, None] * np.ones(8)
    x, y = Dataset(places(10), vectors, flip=True).batches(10)(0)  # labels of another kind stay as they are
    np.testing.assert_array_equal(y.numpy(), (x.numpy()[:, :1, 0] // 100) * np.ones(8))


def test_a_transform_gets_what_the_networks_would_have_got() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 6, 8), dtype=np.uint8)
    seen: list[np.ndarray] = []

    def doubled(batch: np.ndarray) -> np.ndarray:
        seen.append(batch.copy())
        return 2 * batch.astype(np.float64)

    batch = Dataset(pixels, transform=doubled, crop=5).batches(4)(3)
    plain = Dataset(pixels, crop=5).batches(4)(3)
    np.testing.assert_array_equal(seen[-1], plain.numpy())
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch.numpy(), 2 * plain.numpy())


@pytest.mark.parametrize("transform", [lambda batch: batch[:0], lambda batch: batch + "x", lambda batch: batch.sum()])
def test_a_wrong_transform_is_refused_at_once(transform: Any) -> None:
    with pytest.raises(UsageError) as error:
        Dataset(np.ones((4, 3)), transform=transform)
    assert_one_sentence(error, "<lambda>", "(1, 3)")


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((4, 3), {"flip": True}),
        ((4, 3, 3), {"crop": 4}),
        ((4, 3, 3), {"crop": (0, 1)}),
        ((4, 3, 3), {"crop": (1, 1, 1)}),
        ((4, 3, 3), {"crop": "2"}),
    ],
    ids=str,
)
def test_flips_and_crops_that_do_not_fit(shape: tuple[int, ...], how: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        Dataset(np.ones(shape), name="odd", **how)
    assert_one_sentence(error)


@pytest.mark.parametrize(
    "how", [{"value_range": (1, 1)}, {"dtype": "int32"}, {"batch_size": 5}, {"batch_size": 0}], ids=str
)
def test_batches_that_cannot_be_made(how: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        Dataset(np.ones((4, 3))).batches(**({"batch_size": 2} | how))
    assert_one_sentence(error)


def test_a_mapped_file_gives_the_batches_of_its_array(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", values)
    mapped = as_dataset(tmp_path / "x.npy")
    assert isinstance(mapped.examples, np.memmap) and isinstance(mapped[2:].examples, np.memmap)
    np.testing.assert_array_equal(mapped.batches(4)(3).numpy(), Dataset(values).batches(4)(3).numpy())
    assert type(mapped.batches(4)(3).data) is np.ndarray
    assert mapped.matches(Dataset(values).describe())


@pytest.mark.parametrize("how", [{"flip": True, "crop": 2}, {"transform": np.negative}, {}], ids=str)
def test_the_device_gets_the_same_batches(how: dict[str, Any], standin: ModuleType, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(108, dtype=np.uint8).reshape(6, 3, 2, 3))
    mapped = as_dataset(tmp_path / "x.npy").examples
    sets = [Dataset(values, values[..., 0], **how) for values in (mapped, np.array(mapped))]
    expected = [part.numpy() for part in sets[0].batches(4)(1)]
    mg.use("cupy", "reference")
    for data in sets:
        with standin._standin.count_synchronisations() as made:
            batches = data.batches(4)
        if isinstance(data.examples, np.memmap):
            assert made.uploads == 0  # a mapped file may be larger than the memory of the device
        with standin._standin.count_synchronisations() as waits:
            pair = batches(1)
        assert waits.count == 0
        for part, values in zip(pair, expected, strict=True):
            assert type(part.data) is standin.ndarray
            np.testing.assert_array_equal(part.numpy(), values)
