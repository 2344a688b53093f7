"""A data set in another shape."""

from __future__ import annotations

import numpy as np

from minigan.data.dataset import Dataset, ImageShape


def resized(dataset: Dataset, shape: ImageShape) -> Dataset:
    """`dataset` with pictures of `shape` (H, W, C), cut and resized as those of a folder are (see `read_picture`)."""
    if dataset.image_shape == shape:
        return dataset
    from PIL import Image  # imported late because Pillow takes a moment

    from minigan.data import decode

    images = np.empty((len(dataset), *shape), np.uint8)
    for place, pixels in enumerate(dataset.images):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        images[place] = decode.resized(image.convert("L" if shape[-1] == 1 else "RGB"), shape)
    return Dataset(dataset.name, images, dataset.labels, dataset.source)
