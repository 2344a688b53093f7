"""Kinds of data whose runs translate pictures, for `minigan translate`."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minigan.domains.picture_pairs import PicturePairDomain


@dataclass(frozen=True)
class TranslationDomain(PicturePairDomain):
    """The domain of a generator that translates pictures (N, H, W, C), uint8, into others of the same shape.

    directions: their names; the first is the default.
    """

    directions: ClassVar[tuple[str, ...]]

    @abstractmethod
    def translation_input(self, pictures: np.ndarray, direction: str) -> np.ndarray:
        """The conditions, uint8 (N, H, W, c), with which the generator translates `pictures` in `direction`."""

    @abstractmethod
    def translation_output(self, samples: np.ndarray, direction: str) -> np.ndarray:
        """The translations, uint8 (N, H, W, C), among the samples for such conditions, as `present` returns them."""
