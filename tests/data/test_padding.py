"""Pictures that are padded, not cropped, and shapes that are not square."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigan.data import Dataset, load, resized
from minigan.data.image_file import fit


def image(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.full((height, width), 200, np.uint8))


@pytest.mark.parametrize(
    ("size", "shape", "rows", "columns"),
    [
        ((10, 20), (8, 8, 1), slice(2, 6), slice(0, 8)),
        ((20, 10), (8, 8, 1), slice(0, 8), slice(2, 6)),
        ((10, 10), (8, 8, 1), slice(0, 8), slice(0, 8)),
        ((10, 20), (6, 12, 1), slice(0, 6), slice(0, 12)),
        ((10, 10), (6, 12, 1), slice(0, 6), slice(3, 9)),
        ((1, 1000), (8, 8, 1), slice(3, 4), slice(0, 8)),
    ],
)
def test_all_of_a_picture_is_kept_in_the_middle_of_black(size, shape, rows, columns):
    padded = fit(image(*size), shape, pad=True)
    assert padded.shape == shape and padded.dtype == np.uint8
    expected = np.zeros(shape, np.uint8)
    expected[rows, columns] = 200
    np.testing.assert_array_equal(padded, expected)


def test_a_picture_of_the_wanted_ratio_is_the_same_padded_or_cropped():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 3), dtype=np.uint8)
    for shape in ((6, 12, 3), (12, 24, 3), (24, 48, 3)):
        padded, cropped = (fit(Image.fromarray(pixels), shape, pad=pad) for pad in (True, False))
        np.testing.assert_array_equal(padded, cropped)


def test_a_folder_and_a_data_set_are_padded(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(100, 200, (8, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    data = load(tmp_path, image_shape=(16, 16, 1), progress=False, pad=True)
    np.testing.assert_array_equal(data.images[0, 4:12, :, 0], pixels)
    assert not data.images[0, :4].any() and not data.images[0, 12:].any()
    whole = Dataset(pixels[None, ..., None])
    np.testing.assert_array_equal(resized(whole, (16, 16, 1), pad=True).images, data.images)
    cropped = load(tmp_path, image_shape=(16, 16, 1), progress=False)
    assert cropped.images.all() and not np.array_equal(cropped.images, data.images)
