"""The result of a gradient check, for people (`print`), programs (`to_json`) and tests (`raise_for_failure`)."""

from __future__ import annotations

import dataclasses
import enum
import html
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigan.figures.error_map import save_error_map

_MAX_NAMES = 6  # of inputs in the first line
_GREEN, _RED = "#238544", "#da3b30"  # contrast above 4.5 on white and on black (WCAG AA)
_MAX_ORDER_ERROR = 0.3  # an order of the remainder that is farther from 2 or 1 is not printed


class Verdict(enum.StrEnum):
    """The result of a check in one word.

    PASS: no error was found. FAIL: the analytic derivative is wrong. KINK: the one-sided derivatives differ, or f is
    discontinuous; `Report.ok` says whether the analytic derivative is one that may be used there. NOISY: the values of
    f scatter too much for a measurement. NONDETERMINISTIC: the same arguments gave different values. MUTATED: an
    argument was changed in place.
    """

    PASS = "PASS"
    FAIL = "FAIL"
    KINK = "KINK"
    NOISY = "NOISY"
    NONDETERMINISTIC = "NONDETERMINISTIC"
    MUTATED = "MUTATED"


class GradientError(AssertionError):
    """A derivative is wrong, or could not be checked; the message is the report."""


@dataclass(frozen=True)
class Report:
    """The result of a gradient check.

    verdict: the result in one word. ok: whether the derivative is right. cause: a few words, such as "sign" or
    "transposed"; empty if the derivative is right or no known cause fits. explanation: the cause as a sentence. name,
    index: the input and the entry with the largest error. analytic, numeric, bar: the analytic derivative of this
    entry, its numeric estimate and the estimate's error bar; without an entry, those along a random direction.
    evaluations: the number of calls of the function. sides: at a kink, the numeric derivatives from left and right.
    taylor_order: the power with which the remainder of the first-order Taylor expansion shrinks, 2 for a right
    derivative, 1 for a wrong one. order: of the derivative, 1 for the gradient. checked: the names of the inputs.
    where: the point or the entries that were checked, if they are not all that was given. error_map: measures the error
    of every entry of the input `name`, of shape `shape`; see `save_picture`. weighted: f has several outputs, and the
    report is about their sum with random weights.
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
        """The entry with the largest error, such as w[3, 1]; empty if there is none."""
        return "" if self.name is None else entry_name(self.name, self.index)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return "\n".join([self._headline(), *self._details()])

    def _headline(self) -> str:
        what = {1: "gradient", 2: "second derivative", 3: "third derivative"}.get(self.order, "derivative")
        shown, more = self.checked[:_MAX_NAMES], len(self.checked) - _MAX_NAMES
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
        if self.taylor_order is not None and abs(self.taylor_order - (2 if self.ok else 1)) < _MAX_ORDER_ERROR:
            lines.append(f"  remainder of the Taylor expansion: order {self.taylor_order:.2f} (2 if right, 1 if wrong)")
        lines.append(f"  {self.evaluations} evaluations")
        return lines

    def _repr_html_(self) -> str:
        """The same text for a notebook, on a light or a dark page, with the verdict in colour."""
        first, rest = html.escape(self._headline()), html.escape("\n".join(self._details()))
        verdict, rest_of_first = first[: len(self.verdict)], first[len(self.verdict) :]
        colour = _GREEN if self.ok else _RED
        return (
            f'<pre style="border-left:4px solid {colour};padding-left:0.7em;color:inherit;background:none">'
            f'<b style="color:{colour}">{verdict}</b>{rest_of_first}\n{rest}</pre>'
        )

    def raise_for_failure(self) -> Report:
        """Return this report if `ok`, otherwise raise GradientError with its text."""
        __tracebackhide__ = True
        if not self.ok:
            raise GradientError(str(self))
        return self

    def save_picture(self, path: str | Path) -> None:
        """Draw the error of every entry of the input `name` as a heat map (.png, .svg or .pdf).

        Takes two evaluations for each entry, or for each of 32 x 32 blocks. Raises ValueError if no entry is wrong.
        """
        if self.error_map is None or self.name is None:
            raise ValueError("there is no picture to draw, since no entry was found wrong")
        save_error_map(path, self.error_map(), self.name, self.shape)

    def to_json(self) -> str:
        """One JSON object: the fields, with `error` and `entry`; numbers that are not finite are null."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "error_map"}
        return json.dumps(
            {**{k: _plain(v) for k, v in fields.items()}, "error": _plain(self.error), "entry": self.entry}
        )


def entry_name(name: str, index: tuple[int, ...] | None) -> str:
    """The name with its index, such as w[3, 1], or the name alone."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
