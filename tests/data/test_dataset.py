"""Data sets of images: which arrays they accept, and their digests."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pytest
from support.idx_files import assert_one_sentence, random_images, random_labels

from minigan.core.errors import DataError, UsageError
from minigan.data import Dataset, arrays


def test_dataset_records_which_data_it_holds() -> None:
    images, labels = random_images()[..., None], random_labels()
    dataset = Dataset(images, labels, name="digits")
    assert len(dataset) == 12
    assert dataset.image_shape == (5, 7, 1)
    assert dataset.sha256 == hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert Dataset(images).sha256 == hashlib.sha256(images.tobytes()).hexdigest()
    assert Dataset(images[::2], labels[::2]).sha256 == (
        hashlib.sha256(images[::2].tobytes() + labels[::2].tobytes()).hexdigest()
    )


def test_dataset_is_read_only_and_the_arrays_it_was_made_of_stay_writable() -> None:
    images, labels = random_images()[..., None], random_labels()
    dataset = Dataset(images, labels, name="digits")
    assert dataset.labels is not None
    for array in (dataset.images, dataset.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert images.flags.writeable and labels.flags.writeable


@pytest.mark.parametrize(
    "examples",
    [
        np.zeros((0, 3, 3, 1), np.uint8),
        np.float64(3),
        np.zeros((2, 3), complex),
        np.array(["a", "b"]),
        [[1, 2], [3]],
        np.array([[1, 2], [3, np.nan]]),
    ],
    ids=["none", "number", "complex", "words", "ragged", "nan"],
)
def test_dataset_refuses_what_are_no_finite_numbers(examples: Any) -> None:
    with pytest.raises(DataError) as error:
        Dataset(examples, name="odd")
    assert_one_sentence(error, "'odd'")


def test_the_error_names_the_number_that_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((30, 4, 5), np.float32)
    values[17, 2, 3] = np.inf
    for chunk in (arrays._CHUNK_BYTES, 3 * 80):  # three examples at once
        monkeypatch.setattr(arrays, "_CHUNK_BYTES", chunk)
        with pytest.raises(DataError, match=r"hold inf at \[17, 2, 3\]"):
            Dataset(values)


def test_digests_do_not_depend_on_how_much_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(10, 4))[:, ::2]
    expected = hashlib.sha256(values.tobytes()).hexdigest()
    for chunk in (1, 33, 1 << 20):
        monkeypatch.setattr(arrays, "_CHUNK_BYTES", chunk)
        assert Dataset(values).sha256 == expected


@pytest.mark.parametrize(
    ("given", "stored"),
    [("uint8", "uint8"), ("float32", "float32"), ("float64", "float64"), ("float16", "float32"), ("int32", "float64"),
     ("bool", "float64"), (">f4", "float32"), (">f8", "float64")],
)  # fmt: skip
def test_which_numbers_are_converted(given: str, stored: str) -> None:
    values = np.array([[0, 1, 1], [1, 0, 1]], given)
    dataset = Dataset(values)
    assert dataset.examples.dtype == stored
    np.testing.assert_array_equal(dataset.examples, values)
    assert dataset.sha256 == Dataset(values.astype(stored)).sha256


def test_arrays_are_not_copied() -> None:
    values, labels = np.ones((3, 2)), np.arange(3)
    dataset = Dataset(values, labels)
    assert dataset.labels is not None
    assert np.shares_memory(dataset.examples, values) and np.shares_memory(dataset.labels, labels)


@pytest.mark.parametrize(
    "labels",
    [np.zeros(3, np.uint8), np.zeros((3, 2)), np.array([0, np.nan]), np.array([0, 1 << 25]), np.array([0, 1j]), 1],
    ids=["more", "more arrays", "nan", "beyond float32", "complex", "number"],
)
def test_dataset_refuses_labels_that_do_not_fit(labels: Any) -> None:
    with pytest.raises(DataError) as error:
        Dataset(np.zeros((2, 3, 3, 3), np.uint8), labels, name="odd")
    assert_one_sentence(error, "'odd'")


def test_words_become_numbers_of_classes() -> None:
    dataset = Dataset(np.arange(4.0), ["dog", "cat", "dog", "ant"])
    assert dataset.classes == ("ant", "cat", "dog")
    np.testing.assert_array_equal(dataset.labels, [2, 1, 2, 0])
    assert dataset.subset(per_class=1, seed=3).classes == dataset.classes
    with pytest.raises(DataError, match="2 classes have names"):
        Dataset(np.arange(3.0), [0, 1, 2], classes=["a", "b"])
    for names in (3, "abc"):
        with pytest.raises(UsageError, match="expected a list of their names"):
            Dataset(np.arange(3.0), [0, 1, 2], classes=names)  # type: ignore[arg-type]
    assert Dataset(np.arange(2.0), [0, 1], classes=np.array(["a", "b"])).classes == ("a", "b")  # type: ignore[arg-type]


def test_the_description_of_pictures_is_that_of_earlier_versions() -> None:
    images = random_images()[..., None]
    dataset = Dataset(images, random_labels(), name="digits", source="a test")
    assert list(dataset.describe()) == ["name", "source", "images", "image_shape", "sha256", "pixels_sha256"]
    assert dataset.describe()["image_shape"] == [5, 7, 1] and dataset.describe()["images"] == 12
    pixels = hashlib.sha256(images.tobytes()).hexdigest()
    assert dataset.matches({"image_shape": [5, 7], "sha256": pixels})  # recorded by the first versions
    assert dataset.describe()["pixels_sha256"] == pixels


def test_which_numbers_match_a_description() -> None:
    values = np.arange(24, dtype=np.float32).reshape(6, 4)
    dataset = Dataset(values, np.arange(6))
    assert dataset.matches(Dataset(values, name="elsewhere").describe())
    for other in (values[1:], values.reshape(6, 2, 2), values.astype(np.float64), -values, values.view(np.uint8)):
        assert not dataset.matches(Dataset(other).describe())
        assert not Dataset(other).matches(dataset.describe())
    other_labels = Dataset(values, np.arange(6)[::-1]).describe()
    assert dataset.matches(other_labels) and not dataset.matches(other_labels, labels=True)
    assert dataset.matches(dataset.describe(), labels=True)


def test_what_is_done_with_batches_is_part_of_the_description() -> None:
    images = random_images()
    plain = Dataset(images)
    changed = [Dataset(images, flip=True), Dataset(images, crop=4), Dataset(images, transform=np.negative)]
    for i, one in enumerate([plain, *changed]):
        for j, other in enumerate([plain, *changed]):
            assert one.matches(other.describe()) == (i == j)
    assert changed[1].describe()["changes"] == {"crop": [4, 4]}
    assert changed[2].describe()["changes"] == {"transform": "negative"}


def test_the_shape_is_that_of_an_example_in_a_batch() -> None:
    images = random_images()  # 5 x 7
    assert Dataset(images).shape == (5, 7) and Dataset(images).image_shape == (5, 7, 1)
    assert Dataset(images, crop=(3, 4)).shape == (3, 4)
    assert Dataset(images, crop=(3, 4), transform=lambda batch: batch.reshape(len(batch), -1)).shape == (12,)


def test_indexing() -> None:
    values, labels = np.arange(12.0).reshape(6, 2), np.arange(6)
    np.testing.assert_array_equal(Dataset(values)[-1], [10, 11])
    example, label = Dataset(values, labels)[np.int64(4)]
    assert label == 4 and example.tolist() == [8, 9]
    part = Dataset(values, labels, name="six")[labels % 2 == 1]
    assert part.name == "six" and part.labels is not None and part.labels.tolist() == [1, 3, 5]
    assert len(Dataset(values)[1:3]) == 2
    assert [label for _, label in Dataset(values, labels)] == list(range(6))


def test_a_split_has_each_example_once_and_depends_on_the_seed_alone() -> None:
    values = np.arange(50.0)
    dataset = Dataset(values, values)
    parts = dataset.split(0.8, seed=1)
    assert [len(part) for part in parts] == [40, 10]
    assert sorted(np.concatenate([part.examples for part in parts])) == values.tolist()
    for part, again, other in zip(parts, dataset.split(0.8, seed=1), dataset.split(0.8, seed=2), strict=True):
        np.testing.assert_array_equal(part.labels, part.examples)
        assert part.sha256 == again.sha256 != other.sha256
        assert (np.diff(part.examples) > 0).all()
    first, second = dataset.split(0.2, seed=None)
    assert first.examples.tolist() == list(range(10)) and np.shares_memory(second.examples, values)
    for fraction in (0, 0.001, 1.0, -1, 2, math.nan, math.inf, "half"):
        with pytest.raises(UsageError) as error:
            dataset.split(fraction)
        assert_one_sentence(error, str(fraction))


def test_a_subset() -> None:
    labels = np.repeat([2, 5, 9], [10, 20, 30])
    dataset = Dataset(np.arange(60.0), labels)
    few = dataset.subset(per_class=4, seed=1)
    assert few.labels is not None and np.unique(few.labels, return_counts=True)[1].tolist() == [4, 4, 4]
    np.testing.assert_array_equal(few.labels, labels[few.examples.astype(int)])
    assert len(np.unique(dataset.subset(17).examples)) == 17
    assert dataset.subset(17).sha256 == dataset.subset(17).sha256 != dataset.subset(17, seed=1).sha256
    for wrong in ({}, {"count": 3, "per_class": 1}, {"count": 61}, {"per_class": 11}, {"count": 0}, {"count": 2.5}):
        with pytest.raises(UsageError) as error:
            dataset.subset(**wrong)  # type: ignore[arg-type]
        assert_one_sentence(error)
    for unlabelled in (None, np.arange(60.0)):
        with pytest.raises(UsageError, match="expected numbers of classes"):
            Dataset(np.arange(60.0), unlabelled).subset(per_class=1)


def test_its_text_says_what_it_holds() -> None:
    assert str(Dataset(random_images(), name="digits")) == "12 pictures 5 x 7 grey (digits)"
    labelled = Dataset(np.zeros((3, 2)), [0, 4, 1], transform=np.abs)
    assert repr(labelled) == "Dataset: 3 examples of shape (2,), float64 (data), classes 0 to 4, transform absolute"
