"""The comparison of samples with real pictures as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigan.metrics.comparison import Measure

_WORDS = {
    "frechet_distance": "Frechet distance",
    "kernel_distance": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "two_sample_accuracy": "two-sample test's accuracy",
    "class_divergence": "KL of the classes",
}
_NAME, _NUMBER = 28, 9  # characters
_FLAGGED = 3  # times the share that is expected of a generator that repeats nothing


def table(title: str, measures: Mapping[str, Measure]) -> list[str]:
    """A title, a line of headings, and a line for each measure: value, interval, floor, and number of samples."""
    headings = f"{'':{_NAME}}{'value':>{_NUMBER}}   {'95% interval':<20}{'real against real':>18}{'samples':>9}"
    return [title, headings, *(_line(name, measure) for name, measure in measures.items())]


def _line(name: str, measure: Measure) -> str:
    low, high = measure.interval
    interval = f"{_number(low)} to {_number(high)}"
    return (
        f"{_WORDS[name]:{_NAME}}{_number(measure.value):>{_NUMBER}}   {interval:<20}{_number(measure.floor):>18}"
        f"{measure.samples:>9,}"
    )


def _number(value: float) -> str:
    """Three digits, or four decimals of small numbers."""
    return f"{value:.3g}" if abs(value) >= 0.1 else f"{value:.4f}"


def memorisation_lines(found: Mapping[str, Any]) -> list[str]:
    """How close the samples are to training pictures, and whether that is suspicious."""
    low, high = found["interval"]
    lines = [
        f"nearest training picture: median distance {found['distance']:.1f} of 255 (real pictures: "
        f"{found['real_distance']:.1f})",
        f"closer to one of them alone than 99% of real pictures are: {found['share']:.1%} of {found['samples']:,} "
        f"samples ({low:.1%} to {high:.1%}; about {found['floor']:.0%} if nothing is repeated)",
    ]
    if low > _FLAGGED * found["floor"]:
        lines.append("so samples may repeat training pictures; look at them with minigan sample RUN --nearest 3")
    return lines
