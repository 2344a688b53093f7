"""Progress on standard error: a bar on a terminal or in a notebook, else a line every few seconds, as in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 5.0


def bar(quiet: bool, **settings: Any) -> Any:
    """An object with the methods of a tqdm bar that minigan uses: n, total, update, set_postfix_str, unpause, close.

    settings: total, initial, desc, unit, unit_scale and leave of tqdm. It is a context manager, too. Nothing is shown
    if `quiet`.
    """
    if quiet or sys.stderr is None:
        return Lines(silent=True, **settings)
    if "ipykernel" in sys.modules:
        from tqdm.auto import tqdm

        return tqdm(**settings)
    if not sys.stderr.isatty():
        return Lines(**settings)
    from tqdm import tqdm as on_terminal  # imported here because it is slow

    return on_terminal(file=sys.stderr, dynamic_ncols=True, **settings)


def over(items: Sequence[T], quiet: bool, **settings: Any) -> Iterator[T]:
    """The items, one after another, with a bar that disappears at the end."""
    with bar(quiet, total=len(items), leave=False, **settings) as shown:
        for item in items:
            yield item
            shown.update()


def write(sentence: str) -> None:
    """Print a sentence on standard error without breaking a bar."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(sentence, file=sys.stderr)
    else:
        print(sentence, file=sys.stderr)


class Lines:
    """Progress as lines: one every SECONDS_BETWEEN_LINES, and one at the end if there has been one before."""

    def __init__(
        self, *, total: int | None = None, initial: int = 0, desc: str = "", unit: str = "step", silent: bool = False,
        unit_scale: bool = False, leave: bool = True,
    ) -> None:  # fmt: skip
        self.total, self.n, self.desc, self._unit, self._silent = total, initial, desc, unit, silent
        self._scale = 1e6 if unit_scale else 1
        self._postfix = ""
        self._first, self._started = initial, time.monotonic()
        self._shown_at = self._started
        self._shown: int | None = None  # the number in the last line

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def update(self, count: int = 1) -> None:
        """`count` more have been done."""
        self.n += count
        if not self._silent and time.monotonic() - self._shown_at >= SECONDS_BETWEEN_LINES:
            self._print()

    def set_postfix_str(self, text: str = "", refresh: bool = True) -> None:
        """What to say at the end of the next line."""
        self._postfix = text

    def unpause(self) -> None:
        """Leave the time until now out of the rate."""
        self._started, self._first = time.monotonic(), self.n

    def close(self) -> None:
        """Print a last line if there has been one before."""
        if not self._silent and self._shown not in (None, self.n):
            self._print()
        self._silent = True

    def _print(self) -> None:
        self._shown_at, self._shown = time.monotonic(), self.n
        print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """The progress as one line."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = (self.n - self._first) / seconds
        unit = "MB" if self._scale > 1 else self._unit
        parts = [f"{self.desc}: {unit} {self._count(self.n)}" if self.desc else f"{unit} {self._count(self.n)}"]
        if self.total:
            parts[0] += f" of {self._count(self.total)} ({self.n / self.total:.0%})"
        parts.append(f"{rate / self._scale:,.3g} a second")
        if self.total and rate:
            parts.append(f"{duration((self.total - self.n) / rate)} left")
        return "; ".join([", ".join(parts), *([self._postfix] if self._postfix else [])])

    def _count(self, number: int) -> str:
        return f"{number / self._scale:,.1f}" if self._scale > 1 else f"{number:,}"


def duration(seconds: float) -> str:
    """`seconds` as people say it: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
