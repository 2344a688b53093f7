"""Grey pictures, such as digits, each in one colour out of a few on black."""

from __future__ import annotations

import numpy as np

from minigan.core import random
from minigan.core.errors import DataError
from minigan.data.dataset import Dataset

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (255, 0, 0), "yellow": (255, 255, 0), "green": (0, 255, 0),
    "cyan": (0, 255, 255), "blue": (0, 0, 255), "magenta": (255, 0, 255),
}  # fmt: skip
"""The colours, (red, green, blue) of white, by name. The largest channel of a coloured picture is the grey picture."""

_PALETTE = np.array(list(COLOURS.values()), np.uint8) // 255


def coloured(dataset: Dataset, seed: int = 0) -> Dataset:
    """`dataset` (N, H, W, 1) with each picture in one of COLOURS, (N, H, W, 3), and with the same labels.

    The colour of the picture at a place is a pure function of the place and `seed`. Raises DataError for pictures that
    have colours already.
    """
    if dataset.image_shape[2] != 1:
        raise DataError(
            f"the pictures of '{dataset.name}' have colours already, expected grey ones; take a recipe for colour "
            "pictures, such as dcgan"
        )
    chosen = _PALETTE[colour_numbers(len(dataset), seed)]
    images = dataset.images * chosen[:, None, None, :]
    return Dataset(images, dataset.labels, name=f"coloured {dataset.name}", source=dataset.source)


def colour_numbers(count: int, seed: int) -> np.ndarray:
    """The place in COLOURS of the colour of each of the first `count` pictures, (count,)."""
    return random.generator(seed, "colours of pictures").integers(len(COLOURS), size=count)
