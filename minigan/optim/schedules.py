"""Numbers that change along a run, such as learning rates and the weights of penalties, as functions of the step.

Steps count from 0. A schedule goes from `first`, at step 0, to `last`, at step `steps`, and stays there. It has no
state of its own, so a resumed run goes on with the number it would have had.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from minigan.core.errors import UsageError, did_you_mean

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """The same number at every step. Raises ValueError unless it is finite."""

    value: float

    def __post_init__(self) -> None:
        _require_finite(value=self.value)

    def __call__(self, step: int) -> float:
        return self.value


@dataclass(frozen=True)
class _Ramp:
    """From `first` to `last` in `steps`; raises ValueError unless both are finite, and steps at least 1."""

    first: float
    last: float
    steps: int

    def __post_init__(self) -> None:
        _require_finite(first=self.first, last=self.last)
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"a schedule's steps must be a whole number of at least 1, got {self.steps!r}")

    def __call__(self, step: int) -> float:
        if step < 0:
            raise ValueError(f"a schedule was asked for step {step}, but steps count from 0")
        return self._between(step / self.steps) if step < self.steps else self.last

    def _between(self, share: float) -> float:
        """The number when this share of the steps is done, from 0 up to 1."""
        raise NotImplementedError


class Linear(_Ramp):
    """first + share (last - first)."""

    def _between(self, share: float) -> float:
        return self.first + share * (self.last - self.first)


class Cosine(_Ramp):
    """first + (last - first) (1 - cos(pi share)) / 2: flat at both ends (Loshchilov and Hutter, 2017)."""

    def _between(self, share: float) -> float:
        return self.first + (self.last - self.first) * (1 - math.cos(math.pi * share)) / 2


class Exponential(_Ramp):
    """first (last / first)^share: a line in the logarithm. Raises ValueError unless both are above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.first > 0 and self.last > 0):
            raise ValueError(
                f"an exponential schedule goes between numbers above 0, got {self.first} and {self.last}; take a "
                "small number for 0, or the linear schedule"
            )

    def _between(self, share: float) -> float:
        return self.first * (self.last / self.first) ** share


SCHEDULES: dict[str, Callable[[float, float, int], Schedule]] = {
    "linear": Linear, "cosine": Cosine, "exponential": Exponential,
}  # fmt: skip


def get(name: str) -> Callable[[float, float, int], Schedule]:
    """What makes the schedule called `name` of (first, last, steps); raises UsageError, naming the nearest."""
    try:
        return SCHEDULES[name]
    except KeyError:
        raise UsageError(f"there is no schedule '{name}'; {did_you_mean(name, SCHEDULES)}") from None


def value_at(value: float | Schedule, step: int) -> float:
    """What a number, or a schedule of them, is at `step`."""
    return value(step) if callable(value) else value


def _require_finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"a schedule's {name} must be a finite number, got {value}")
