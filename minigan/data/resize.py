"""A data set with its images resized."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minigan.data.dataset import Dataset, ImageShape


def resized(dataset: Dataset, shape: ImageShape, *, pad: bool = False) -> Dataset:
    """`dataset` with images of `shape` (H, W, C), cropped or padded and resized as `read_image` does with files."""
    if dataset.image_shape == shape:
        return dataset
    from PIL import Image  # imported here because importing Pillow is slow

    from minigan.data import image_file

    images = np.empty((len(dataset), *shape), np.uint8)
    for index, pixels in enumerate(dataset.images):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        images[index] = image_file.fit(image.convert("L" if shape[-1] == 1 else "RGB"), shape, pad=pad)
    return replace(dataset, examples=images)
