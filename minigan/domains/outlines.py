"""Pictures with their outlines as conditions: to be translated back into the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minigan.data.held_out import HeldOutDataset
from minigan.domains.domain import Settings
from minigan.domains.looks import outline
from minigan.domains.translating import TranslationDomain

_FITTED, _SIDE = 1000, 7  # training pictures, and pixels of the neighbourhood


@dataclass(frozen=True)
class OutlineDomain(TranslationDomain):
    """Pictures x, and their outlines y (see looks.outline), of the same shape.

    The baseline "least_squares" is the best linear function of the 7 x 7 pixels of y around each pixel.
    """

    directions: ClassVar[tuple[str, ...]] = ("outline-to-picture",)

    def condition_of(self, pictures: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
        return outline(pictures)

    def baselines(self, conditions: np.ndarray, data: HeldOutDataset, settings: Settings) -> dict[str, np.ndarray]:
        pictures = data.images[:_FITTED]
        return {"least_squares": least_squares(outline(pictures), pictures, conditions)}

    def translation_input(self, pictures: np.ndarray, direction: str) -> np.ndarray:
        return pictures

    def translation_output(self, samples: np.ndarray, direction: str) -> np.ndarray:
        return samples


def least_squares(conditions: np.ndarray, pictures: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Pictures from the conditions `new`, by linear regression of each pixel on its neighbourhood: uint8 as `new`.

    The regression is fitted to `conditions` and their `pictures`, uint8 of one shape (N, H, W, C), all channels alike.
    """
    squares, products = np.zeros((_SIDE**2 + 1,) * 2), np.zeros(_SIDE**2 + 1)
    for condition, picture in zip(conditions, pictures, strict=True):  # one by one, to limit memory
        inputs = _neighbourhoods(condition)
        squares += inputs.T @ inputs
        products += inputs.T @ picture.reshape(-1)
    ridge = 1e-6 * conditions.size * np.eye(len(squares))  # for neighbours that are always equal
    weights = np.linalg.solve(squares + ridge, products)
    found = np.stack([_neighbourhoods(condition) @ weights for condition in new])
    return np.clip(np.rint(found), 0, 255).astype(np.uint8).reshape(new.shape)


def _neighbourhoods(condition: np.ndarray) -> np.ndarray:
    """The numbers around each number of a picture (H, W, C), from 0 to 1, and a 1: (H W C, _SIDE^2 + 1)."""
    margin = (_SIDE // 2, _SIDE // 2)
    padded = np.pad(condition.astype(np.float64) / 255, (margin, margin, (0, 0)))
    flat = np.lib.stride_tricks.sliding_window_view(padded, (_SIDE, _SIDE), axis=(0, 1)).reshape(-1, _SIDE**2)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
