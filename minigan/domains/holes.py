"""Pictures with the same ones with a hole as conditions, for inpainting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minigan.core.errors import UsageError, did_you_mean
from minigan.data.held_out import HeldOutDataset
from minigan.domains.domain import Settings
from minigan.domains.images import ImageDomain
from minigan.domains.picture_pairs import PicturePairDomain
from minigan.metrics.nearest import nearest_where_known

HOLES = ("centre", "random")
GREY, HOLE = 128, 255
_LEAST_SIDE = 4  # pixels of a picture, so that a hole has some


@dataclass(frozen=True)
class HoleDomain(PicturePairDomain):
    """Pictures (H, W, C), and the same ones with a box of them missing, (H, W, C + 1): see `with_hole`.

    The setting "hole" says where the box is: "centre", half of both sides in the middle; or "random", anywhere, each
    side a quarter to a half of the picture's, another one in each batch.
    """

    setting_meanings: ClassVar[Mapping[str, str]] = {
        **ImageDomain.setting_meanings,
        "hole": "the missing box: centre (the middle half of both sides), or random (smaller, anywhere, ever another)",
    }

    def in_words(self, settings: Settings) -> str:
        return f"{super().in_words(settings)}, with a hole"

    def check_settings(self, settings: Settings) -> None:
        super().check_settings(settings)
        if settings["hole"] not in HOLES:
            raise UsageError(f"there is no hole '{settings['hole']}'; {did_you_mean(settings['hole'], HOLES)}")
        if min(self.wanted_shape(settings)[:2]) < _LEAST_SIDE:
            raise UsageError(f"the setting 'image_size' is too small for a hole, expected at least {_LEAST_SIDE}.")

    def condition_of(self, pictures: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
        height, width = pictures.shape[1:3]
        if settings["hole"] == "random":
            return with_hole(pictures, random_boxes(len(pictures), height, width, rng))
        return with_hole(pictures, np.broadcast_to(centre_box(height, width), pictures.shape[:3]))

    def seen(self, conditions: np.ndarray) -> np.ndarray:
        return conditions[..., :-1]

    def measured_pixels(self, conditions: np.ndarray) -> np.ndarray:
        return hole_of(conditions)

    def baselines(self, conditions: np.ndarray, data: HeldOutDataset, settings: Settings) -> dict[str, np.ndarray]:
        """The hole filled from the mean of the training pictures, and from the nearest one by the known pixels."""
        return hole_baselines(conditions, data.images)


def with_hole(pictures: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) to (N, H, W, C + 1): grey in the hole, bool (N, H, W), and a channel that is 255 there."""
    holed = np.where(hole[..., None], np.uint8(GREY), pictures)
    return np.concatenate([holed, np.where(hole, HOLE, 0).astype(np.uint8)[..., None]], axis=-1)


def hole_of(conditions: np.ndarray) -> np.ndarray:
    """The hole, bool (N, H, W), of what `with_hole` returned."""
    return np.asarray(conditions[..., -1] == HOLE)


def centre_box(height: int, width: int) -> np.ndarray:
    """bool (height, width): the middle half of both sides."""
    hole = np.zeros((height, width), bool)
    hole[height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2] = True
    return hole


def random_boxes(count: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """bool (count, height, width): one box in each, anywhere, with sides from a quarter to a half of the picture's."""
    inside = []
    for side in (height, width):
        length = rng.integers(side // 4, side // 2 + 1, size=(count, 1))
        first = rng.integers(0, side - length + 1)
        inside.append((np.arange(side) >= first) & (np.arange(side) < first + length))
    rows, columns = inside
    return rows[:, :, None] & columns[:, None, :]


def filled(conditions: np.ndarray, filling: np.ndarray) -> np.ndarray:
    """The pictures in `conditions`, with the pixels of `filling` (N, H, W, C) in their holes: uint8 (N, H, W, C)."""
    return np.where(hole_of(conditions)[..., None], filling, conditions[..., :-1])


def hole_baselines(conditions: np.ndarray, examples: np.ndarray) -> dict[str, np.ndarray]:
    """`conditions` filled from the "mean" of `examples` (M, H, W, C), and from the "nearest" by the known pixels."""
    mean = np.rint(examples.mean(axis=0, dtype=np.float64)).astype(np.uint8)
    pictures = conditions[..., :-1]
    known = np.broadcast_to(~hole_of(conditions)[..., None], pictures.shape)
    places = nearest_where_known(pictures, known, examples, 1)[:, 0]
    return {"mean": filled(conditions, mean), "nearest": filled(conditions, examples[places])}
