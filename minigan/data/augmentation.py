"""Random flips and crops of pictures, as a pure function of the seed and the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError


def as_window(crop: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a crop that is given so, or as a side; raises UsageError for anything else."""
    sides = (
        (crop, crop) if isinstance(crop, int | np.integer) else tuple(crop) if isinstance(crop, tuple | list) else ()
    )
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) for side in sides):
        raise UsageError(f"the crop is {crop!r}, expected a side or (height, width) in pixels; give it so")
    return int(sides[0]), int(sides[1])


@dataclass(frozen=True)
class Augmentation:
    """What is done at random with each picture of a batch, of shape (height, width) or (height, width, channels).

    flip: mirror it, left to right, with probability 1/2. crop: cut out a window of this (height, width), every place
    in the picture being equally likely. False if nothing is done.
    """

    flip: bool = False
    crop: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return self.flip or self.crop is not None

    def require_pictures(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise UsageError unless examples of `shape` can be flipped and cropped so."""
        if not self:
            return
        if len(shape) not in (2, 3):
            raise UsageError(
                f"the examples of '{name}' have the shape {shape}, and flips and crops are for pictures "
                "(height, width) or (height, width, channels); leave flip and crop out"
            )
        if self.crop and not all(1 <= part <= whole for part, whole in zip(self.crop, shape, strict=False)):
            raise UsageError(
                f"the crop is {self.crop[0]} x {self.crop[1]} and the examples of '{name}' are {shape[0]} x "
                f"{shape[1]}, expected a window within them; choose a smaller one"
            )

    def size(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a picture of `shape` afterwards."""
        return (*self.crop, *shape[2:]) if self.crop else shape

    def windows(self, shape: tuple[int, ...], count: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows (count, h) and the columns (count, w) to take of each of `count` pictures of `shape`, in order.

        They are a pure function of `seed` and `step`. A flipped picture has its columns in descending order.
        """
        (height, width), (h, w) = shape[:2], self.size(shape)[:2]
        rng = random.generator(seed, "flips and crops", step)
        top, left = rng.integers(height - h + 1, size=count), rng.integers(width - w + 1, size=count)
        rows, columns = top[:, None] + np.arange(h), left[:, None] + np.arange(w)
        if self.flip:
            flipped = rng.random(count) < 0.5
            columns[flipped] = columns[flipped, ::-1]
        return rows, columns

    def describe(self) -> dict[str, Any]:
        """For config.json: only what is done."""
        return ({"flip": True} if self.flip else {}) | ({"crop": list(self.crop)} if self.crop else {})
