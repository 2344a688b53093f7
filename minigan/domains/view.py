"""How samples are shown: turned into the form of the data, drawn, and measured."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

Shape = tuple[int, ...]
_NUMBERS_PER_PASS = 1 << 20  # largest output of one pass of the generator, to limit memory: about 1,300 digits

Artefact = Callable[[Path, np.ndarray], None]
"""A function of a path and of samples, as `View.present` returns them, that writes a file."""


@dataclass(frozen=True)
class View(ABC):
    """How samples of a kind of data are shown; a `Domain` also knows the data themselves.

    shape: of an example in the data. Networks may use another form, such as flat or scaled; `present` converts their
    output to the form of the data, (N, *shape), which `draw`, `measure`, `arrays` and the artefacts take.
    """

    shape: Shape

    samples_shown: ClassVar[int] = 64
    """The number of samples in a picture of progress."""

    @abstractmethod
    def present(self, values: np.ndarray) -> np.ndarray:
        """Samples from the output `values` of a network, (N, ...), in the form of the data, (N, *shape)."""

    @abstractmethod
    def draw(self, samples: np.ndarray) -> np.ndarray:
        """All samples in one picture, (height, width, channels) uint8, grey or RGB."""

    def arrays(self, samples: np.ndarray) -> dict[str, Any]:
        """The arrays of an .npz file of samples, by name."""
        return {"samples": samples}

    def artefacts(self) -> dict[str, Artefact]:
        """Files to write at the end of a run: functions by the name of the file in the run folder."""
        return {}

    def measure(self, samples: np.ndarray) -> dict[str, float]:
        """Measurements of the quality of samples that are cheap enough for every picture of progress, by name."""
        return {}

    def score(self, measured: Mapping[str, float]) -> float | None:
        """The score of a checkpoint, from what `measure` returned; larger is better. None if there is no score."""
        return None

    def measured_in_words(self, measured: Mapping[str, float]) -> str:
        """What `measure` returned, as a line of progress, or "". `measured` may have further entries."""
        return ""

    # Memory.

    @property
    def samples_per_pass(self) -> int:
        """The number of samples that the generator makes in one pass, to limit memory."""
        return max(1, _NUMBERS_PER_PASS // math.prod(self.shape))

    @property
    def bytes_per_sample(self) -> int:
        """The memory that one sample takes until it is written or measured."""
        return 2 * 8 * math.prod(self.shape)

    @property
    def pixels_per_sample(self) -> int:
        """The pixels that one sample adds to the picture of `draw`; 0 if the size of the picture is fixed."""
        return 0
