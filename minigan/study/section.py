"""A section of the study page, and the numbers that it shows.

Every result that the page shows goes through `number`, which writes the exact value into the page beside the rounded
one, so that a test can compare each with an independent computation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minigan.figures.html_parts import number


@dataclass(frozen=True)
class Section:
    """A claim with its explanation and its demonstration.

    name: the anchor, such as "two-gaussians". body: HTML without any reference to other files. figures: every number
    that the body shows, by a descriptive name.
    """

    name: str
    title: str
    body: str
    figures: Mapping[str, float]


class Numbers:
    """Formats numbers and records them: `numbers(name, value)` returns `number(value)`; `figures` holds all values."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def __call__(self, name: str, value: float, digits: int = 3) -> str:
        if self.figures.setdefault(name, float(value)) != float(value):
            raise ValueError(f"'{name}' was {self.figures[name]!r} and is now {value!r}; give each figure its own name")
        return number(value, digits)
