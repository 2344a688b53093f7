"""Schedules: numbers, such as learning rates and weights of penalties, as functions of the step.

Steps count from 0. A schedule goes from `first` at step 0 to `last` at step `steps` and stays there. It has no state,
so a resumed run continues with the same number as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from minigan.core.errors import UsageError, did_you_mean
from minigan.optim.numbers import require_number

__all__ = ["SCHEDULES", "Constant", "Cosine", "Exponential", "Linear", "Rise", "Schedule", "get", "value_at"]

Schedule = Callable[[int], float]
"""The type of a schedule: a function of the step."""


@dataclass(frozen=True)
class Constant:
    """The same number at every step. Raises ValueError or TypeError unless `value` is a finite number."""

    value: float

    def __post_init__(self) -> None:
        _require_finite(value=self.value)

    def __call__(self, step: int) -> float:
        return self.value


@dataclass(frozen=True)
class Rise:
    """0 until the step `start`, then along a line to `last` at the step start + steps, and constant from there.

    Such as for a loss that joins a training later: after a jump of its weight the first updates of Adam can be too
    large, since its mean of squared gradients follows slowly. Raises ValueError unless `last` is finite, `start` >= 0
    and `steps` >= 1.
    """

    last: float
    start: int
    steps: int

    def __post_init__(self) -> None:
        _require_finite(last=self.last)
        if self.start < 0 or self.steps < 1:
            raise ValueError(f"a weight rises from step {self.start} for {self.steps} steps, expected >= 0 and >= 1")

    def __call__(self, step: int) -> float:
        return self.last * min(1.0, max(0.0, (step - self.start) / self.steps))


@dataclass(frozen=True)
class _Ramp:
    """From `first` to `last` in `steps`. Raises ValueError unless both are finite and `steps` is at least 1."""

    first: float
    last: float
    steps: int

    def __post_init__(self) -> None:
        _require_finite(first=self.first, last=self.last)
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"a schedule's steps must be a whole number of at least 1, got {self.steps!r}")

    def __call__(self, step: int) -> float:
        if step < 0:
            raise ValueError(f"a schedule's steps count from 0, got step {step}")
        return self._interpolate(step / self.steps) if step < self.steps else self.last

    def _interpolate(self, progress: float) -> float:
        """The number at `progress`, the fraction of the steps done, in [0, 1)."""
        raise NotImplementedError


class Linear(_Ramp):
    """first + progress (last - first)."""

    def _interpolate(self, progress: float) -> float:
        return self.first + progress * (self.last - self.first)


class Cosine(_Ramp):
    """first + (last - first) (1 - cos(pi progress)) / 2: flat at both ends (Loshchilov and Hutter, 2017)."""

    def _interpolate(self, progress: float) -> float:
        return self.first + (self.last - self.first) * (1 - math.cos(math.pi * progress)) / 2


class Exponential(_Ramp):
    """first (last / first)^progress, linear in the logarithm. Raises ValueError unless both are above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.first > 0 and self.last > 0):
            raise ValueError(
                f"an exponential schedule goes between numbers above 0, got {self.first} and {self.last}; take a "
                "small number for 0, or the linear schedule"
            )

    def _interpolate(self, progress: float) -> float:
        return self.first * (self.last / self.first) ** progress


SCHEDULES: dict[str, Callable[[float, float, int], Schedule]] = {
    "linear": Linear, "cosine": Cosine, "exponential": Exponential,
}  # fmt: skip
"""The classes of schedules that recipes know, by name."""


def get(name: str) -> Callable[[float, float, int], Schedule]:
    """The class of the schedule `name`, which takes (first, last, steps). Raises UsageError for an unknown name."""
    try:
        return SCHEDULES[name]
    except KeyError:
        raise UsageError(f"there is no schedule '{name}'; {did_you_mean(name, SCHEDULES)}") from None


def value_at(value: float | Schedule, step: int) -> float:
    """`value` itself if it is a number; its value at `step` if it is a schedule."""
    return value(step) if callable(value) else value


def _require_finite(**values: float) -> None:
    for name, value in values.items():
        require_number(f"a schedule's {name}", value)
        if not math.isfinite(value):
            raise ValueError(f"a schedule's {name} must be a finite number, got {value}")
