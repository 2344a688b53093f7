"""What a gradient check found, for people (`print`), programs (`to_json`) and tests (`raise_for_failure`)."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigan.figures.error_map import save_error_map

_NAMES = 6  # shown at most
_CLEAR = 0.3  # an order of the remainder further off would only puzzle


class Verdict(enum.StrEnum):
    """How a check ended.

    KINK: right and left derivatives differ; `Report.ok` says whether the claimed one lies between. NOISY: the values
    scatter too much to judge by. NONDETERMINISTIC: the same arguments gave different values. MUTATED: an input was
    changed.
    """

    PASS = "PASS"
    FAIL = "FAIL"
    KINK = "KINK"
    NOISY = "NOISY"
    NONDETERMINISTIC = "NONDETERMINISTIC"
    MUTATED = "MUTATED"


class GradientError(AssertionError):
    """A derivative is wrong, or could not be judged; the message is the report."""


@dataclass(frozen=True)
class Report:
    """The outcome of a gradient check.

    ok: whether the derivative may be trusted. cause: a word or two, such as "sign" or "transposed"; empty if all is
    well or no known cause fits. explanation: the cause as a sentence. name, index: the entry that is wrong most.
    analytic, numeric: its claimed derivative, and the one found from values, give or take `bar`; without an entry,
    those along a random direction. error: how far apart they are. evaluations: of the function. taylor_order: how
    the first-order remainder shrinks, 2 for a right derivative, 1 for a wrong one. order: which derivative was
    judged, 1 for the gradient. sides: at a kink, the derivatives from left and right. error_map: measures the error of
    every entry of the array `name`, of shape `shape`; see `save_picture`. weighted: f has several outputs, and what is
    reported is about their sum with random weights.
    """

    verdict: Verdict
    ok: bool
    cause: str = ""
    explanation: str = ""
    name: str | None = None
    index: tuple[int, ...] | None = None
    analytic: float = math.nan
    numeric: float = math.nan
    bar: float = math.nan
    evaluations: int = 0
    sides: tuple[float, float] | None = None
    taylor_order: float | None = None
    order: int = 1
    checked: tuple[str, ...] = ()
    where: str = ""
    error_map: Callable[[], np.ndarray] | None = field(default=None, repr=False, compare=False)
    shape: tuple[int, ...] = ()
    weighted: bool = False

    @property
    def error(self) -> float:
        """|analytic - numeric|."""
        return abs(self.analytic - self.numeric)

    @property
    def entry(self) -> str:
        """The entry as one writes it, such as w[3, 1]; empty if none is singled out."""
        return "" if self.name is None else entry_name(self.name, self.index)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return "\n".join([self._headline(), *self._details()])

    def _headline(self) -> str:
        what = {1: "gradient", 2: "second derivative", 3: "third derivative"}.get(self.order, "derivative")
        shown, more = self.checked[:_NAMES], len(self.checked) - _NAMES
        names = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
        return f"{self.verdict}: {what} of {self._function} in {names} {self.where}".rstrip()

    @property
    def _function(self) -> str:
        return "the outputs' sum, weighted at random," if self.weighted else "f"

    def _details(self) -> list[str]:
        lines = []
        if self.explanation:
            lines.append(f"  {self.explanation}")
        if not math.isnan(self.numeric):
            place = self.entry or "along a random direction"
            lines += [
                f"  {place}",
                f"    analytic  {self.analytic: .12g}",
                f"    numeric   {self.numeric: .12g} +- {self.bar:.1g}",
            ]
            if self.sides is not None:
                lines.append(f"    from the left {self.sides[0]:.6g}, from the right {self.sides[1]:.6g}")
        if self.taylor_order is not None and abs(self.taylor_order - (2 if self.ok else 1)) < _CLEAR:
            lines.append(f"  remainder of the Taylor expansion: order {self.taylor_order:.2f} (2 if right, 1 if wrong)")
        lines.append(f"  {self.evaluations} evaluations")
        return lines

    def raise_for_failure(self) -> Report:
        """This report, if `ok`; otherwise raises GradientError with its text."""
        __tracebackhide__ = True
        if not self.ok:
            raise GradientError(str(self))
        return self

    def save_picture(self, path: str | Path) -> None:
        """Draw the error of every entry of the array with the wrong entry, as a heat map (.png, .svg or .pdf).

        Takes two evaluations for each entry, or for each of 32 x 32 blocks. Raises ValueError if no array is wrong.
        """
        if self.error_map is None or self.name is None:
            raise ValueError("there is no picture to draw, since no entry was found wrong")
        save_error_map(path, self.error_map(), self.name, self.shape)

    def to_json(self) -> str:
        """One JSON object: the fields, with `error` and `entry`; what is not a number is null."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "error_map"}
        return json.dumps(
            {**{k: _plain(v) for k, v in fields.items()}, "error": _plain(self.error), "entry": self.entry}
        )


def entry_name(name: str, index: tuple[int, ...] | None) -> str:
    """Such as w[3, 1], or w alone."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
