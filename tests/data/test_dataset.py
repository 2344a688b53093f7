"""Data sets of images: which arrays they accept, and their digests."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from support.idx_files import assert_one_sentence, random_images, random_labels

from minigan.core.errors import DataError
from minigan.data import Dataset


def test_dataset_records_which_data_it_holds() -> None:
    images, labels = random_images()[..., None], random_labels()
    dataset = Dataset("digits", images, labels, "a test")
    assert len(dataset) == 12
    assert dataset.image_shape == (5, 7, 1)
    assert dataset.sha256 == hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert Dataset("digits", images, None, "a test").sha256 == hashlib.sha256(images.tobytes()).hexdigest()
    assert Dataset("strided", images[::2], labels[::2], "a test").sha256 == (
        hashlib.sha256(images[::2].tobytes() + labels[::2].tobytes()).hexdigest()
    )


def test_dataset_is_read_only_and_the_arrays_it_was_made_of_stay_writable() -> None:
    images, labels = random_images()[..., None], random_labels()
    dataset = Dataset("digits", images, labels, "a test")
    assert dataset.labels is not None
    for array in (dataset.images, dataset.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert images.flags.writeable and labels.flags.writeable


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, 3, 1)),
        np.zeros((2, 3, 3), np.uint8),
        np.zeros((0, 3, 3, 1), np.uint8),
        np.zeros((2, 3, 3, 2), np.uint8),
        np.zeros((2, 3, 3, 4), np.uint8),
    ],
    ids=lambda images: f"{images.dtype}{images.shape}",
)
def test_dataset_refuses_other_images(images: np.ndarray) -> None:
    with pytest.raises(DataError) as error:
        Dataset("odd", images, None, "a test")
    assert_one_sentence(error, "'odd'", str(images.shape))


@pytest.mark.parametrize("labels", [np.zeros(2), np.zeros(3, np.uint8), np.zeros((2, 1), np.uint8)], ids=str)
def test_dataset_refuses_other_labels(labels: np.ndarray) -> None:
    with pytest.raises(DataError) as error:
        Dataset("odd", np.zeros((2, 3, 3, 3), np.uint8), labels, "a test")
    assert_one_sentence(error, "'odd'", str(labels.shape))
