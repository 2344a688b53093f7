"""Pictures with smaller copies of them as conditions, for super-resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigan.core.errors import UsageError
from minigan.data.held_out import HeldOutDataset
from minigan.domains.domain import Settings
from minigan.domains.images import ImageDomain
from minigan.domains.picture_pairs import PicturePairDomain

SCALES = (2, 4, 8)


@dataclass(frozen=True)
class LowResolutionDomain(PicturePairDomain):
    """Pictures, and the same ones with both sides divided by the setting "scale" (see `shrunk`)."""

    setting_meanings: ClassVar[Mapping[str, str]] = {
        **ImageDomain.setting_meanings,
        "scale": "how many times larger the pictures are than those from which they are made: 2, 4 or 8",
    }

    def in_words(self, settings: Settings) -> str:
        return f"{super().in_words(settings)}, from 1/{settings['scale']} of their sides"

    def check_settings(self, settings: Settings) -> None:
        super().check_settings(settings)
        scale, (height, width, _) = settings["scale"], self.wanted_shape(settings)
        if scale not in SCALES:
            raise UsageError(f"the setting 'scale' is {scale}, expected 2, 4 or 8; choose one of them.")
        if height % scale or width % scale:
            raise UsageError(
                f"the setting 'scale' is {scale}, and pictures of {height} x {width} pixels cannot be divided by it; "
                "set image_size to a multiple of it."
            )

    def condition_of(self, pictures: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
        return shrunk(pictures, settings["scale"])

    def baselines(self, conditions: np.ndarray, data: HeldOutDataset, settings: Settings) -> dict[str, np.ndarray]:
        return {method: enlarged(conditions, settings["scale"], method) for method in ("bicubic", "nearest")}


def shrunk(pictures: np.ndarray, scale: int) -> np.ndarray:
    """uint8 (N, H, W, C) to (N, H / scale, W / scale, C): the mean of each square of scale x scale pixels, rounded.

    Raises ValueError if the sides are no multiples of `scale`.
    """
    count, height, width, channels = pictures.shape
    if height % scale or width % scale:
        raise ValueError(f"{height} x {width} pixels cannot be divided into squares of {scale} x {scale}")
    squares = pictures.reshape(count, height // scale, scale, width // scale, scale, channels)
    return np.rint(squares.mean(axis=(2, 4))).astype(np.uint8)


def enlarged(pictures: np.ndarray, scale: int, method: str) -> np.ndarray:
    """uint8 (N, h, w, C) to (N, h * scale, w * scale, C) by Pillow's resampling "nearest" or "bicubic"."""
    from PIL import Image  # imported here because importing Pillow is slow

    from minigan.figures.image_grid import as_pillow

    _, height, width, channels = pictures.shape
    size, resampling = (width * scale, height * scale), Image.Resampling[method.upper()]
    large: list[Any] = [np.asarray(as_pillow(picture).resize(size, resampling)) for picture in pictures]
    return np.stack(large).reshape(len(pictures), height * scale, width * scale, channels)
