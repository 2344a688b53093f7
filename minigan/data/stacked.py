"""Stacked MNIST: three random digits as the channels of one picture, drawn for every batch; 1,000 modes.

From Srivastava et al., 2017 (VEEGAN), with the protocol of Lin et al., 2018 (PacGAN).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import DataError
from minigan.data.dataset import Dataset, ImageShape

CHANNELS = 3


class StackedDigits:
    """Pictures (H, W, 3) whose channels are three of the grey `digits`, drawn independently.

    Raises DataError unless these are grey pictures with labels.
    """

    def __init__(self, digits: Dataset) -> None:
        height, width, channels = digits.image_shape
        if channels != 1 or digits.labels is None:
            found = "colours" if channels != 1 else "no labels"
            raise DataError(
                f"the pictures of '{digits.name}' have {found}, expected grey digits with labels, of which three are "
                "stacked; name IDX files of digits, or none for those of the package"
            )
        self.digits, self.name, self.source = digits, f"stacked {digits.name}", digits.source
        self.shape: ImageShape = (height, width, CHANNELS)
        self.sha256 = hashlib.sha256(f"stacked {digits.sha256}".encode()).hexdigest()
        self.labels = digits.labels

    def __str__(self) -> str:
        return f"stacks of three of {self.digits}"

    def describe(self) -> dict[str, Any]:
        """The entry "data" of a run's config.json."""
        return {
            "name": self.name, "source": self.source, "images": len(self.digits), "image_shape": list(self.shape),
            "sha256": self.sha256,
        }  # fmt: skip

    def matches(self, recorded: Mapping[str, Any]) -> bool:
        """Whether `recorded`, which `describe` returned, describes these digits."""
        return bool(recorded.get("sha256") == self.sha256)

    def pictures(self, count: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """`count` stacks (count, H, W, 3) uint8 and their labels (count, 3), a pure function of `seed` and `step`."""
        chosen = random.generator(seed, "stacked digits", step).integers(len(self.digits), size=(count, CHANNELS))
        stacks = np.moveaxis(self.digits.images[chosen][..., 0], 1, -1)
        return stacks, self.labels[chosen]

    def batch(self, count: int, seed: int, step: int, dtype: str) -> Tensor:
        """`count` stacks with black as -1 and white as 1, (count, H, W, 3), a pure function of `seed` and `step`."""
        return Tensor((self.pictures(count, seed, step)[0] / 127.5 - 1).astype(dtype))
