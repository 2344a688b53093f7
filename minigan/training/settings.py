"""How long a run is, and how often it records what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minigan.core.errors import UsageError

_LIMIT = 2**63
_COUNTS = ("steps", "sample_every", "checkpoint_every", "log_every", "keep_checkpoints", "batch_size")


class RunSettings(Protocol):
    """What the loop reads of a run's settings; `RunConfig` and `LoopSettings` have it.

    recipe: what a checkpoint records as its origin. steps: training steps in all. sample_every, checkpoint_every,
    log_every: steps between pictures, checkpoints and rows of metrics. keep_checkpoints: how many of the last
    checkpoints are kept.
    """

    @property
    def recipe(self) -> str: ...

    @property
    def steps(self) -> int: ...

    @property
    def sample_every(self) -> int: ...

    @property
    def checkpoint_every(self) -> int: ...

    @property
    def log_every(self) -> int: ...

    @property
    def keep_checkpoints(self) -> int: ...


@dataclass(frozen=True)
class LoopSettings:
    """The settings of a run that no recipe describes (see RunSettings).

    made_by: the call that made the run, which its config.json and its checkpoints record. first_step: the steps that a
    GAN had before the run. Raises UsageError for a number that is not whole or out of range.
    """

    made_by: str
    steps: int
    sample_every: int = 500
    checkpoint_every: int = 1000
    log_every: int = 10
    keep_checkpoints: int = 2
    first_step: int = 0

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if hasattr(self, name):
                require_whole_number(name, getattr(self, name), 1)
                object.__setattr__(self, name, int(getattr(self, name)))

    @property
    def recipe(self) -> str:
        """What a checkpoint records as its origin."""
        return self.made_by


def require_whole_number(name: str, value: Any, least: int) -> None:
    """Raise UsageError unless `value` is a whole number, Python's or NumPy's, from `least` up."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value < _LIMIT:
        raise UsageError(f"{name} must be a whole number from {least} up, not {value!r}.")
