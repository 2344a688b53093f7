"""The recorded numbers of a training run: as rows, as columns, and as a picture."""

from __future__ import annotations

import base64
import html
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from minigan.core.errors import DrawingError, UsageError, did_you_mean
from minigan.figures import charts, loss_curves

Row = dict[str, Any]
"""A step, and what was recorded at it, by name."""

_GAN_METRICS = {"discriminator_loss", "generator_loss", "real_score", "fake_score"}
_MOST_PANELS = 12
_ROWS_SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    first_step: the steps that the run had before. step: those that it has now. steps: those of the whole run. metrics:
    the last recorded ones, by name. seconds: the duration of the call. step_seconds: how much of it the training steps
    alone took, without compiling or loading kernels. ended: "finished"; "stopped" by a callback; "interrupted" by
    Ctrl-C; "failed" with an error; or "unknown" before that. reason: that of the callback.
    """

    first_step: int = 0
    step: int = 0
    steps: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    step_seconds: float = 0.0
    ended: str = "unknown"
    reason: str = ""

    @property
    def interrupted(self) -> bool:
        """Whether the run stopped before its last step."""
        return self.step < self.steps


@dataclass(eq=False, repr=False)
class History(Sequence[Row]):
    """The rows that a run has recorded, in the order of their steps.

    history[-1] is the last row, a dict; history["generator_loss"] a column, an array (rows,) with NaN where a row lacks
    the number. loss: the name of the GAN's loss, for the curves. outcome: how the run ended.

    Raises UsageError for the name of a column that no row has.
    """

    rows: list[Row] = field(default_factory=list)
    loss: str = ""
    outcome: Outcome = Outcome()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @overload
    def __getitem__(self, key: int) -> Row: ...

    @overload
    def __getitem__(self, key: slice) -> list[Row]: ...

    @overload
    def __getitem__(self, key: str) -> np.ndarray: ...

    def __getitem__(self, key: int | slice | str) -> Row | list[Row] | np.ndarray:
        if not isinstance(key, str):
            return self.rows[key]
        if key not in self.columns:
            raise UsageError(f"no row has a number '{key}'; {did_you_mean(key, self.columns)}")
        return np.array([row.get(key, math.nan) for row in self.rows], np.float64)

    @property
    def columns(self) -> list[str]:
        """The names of the recorded numbers, "step" first."""
        return list(dict.fromkeys(name for row in self.rows for name, value in row.items() if _is_number(value)))

    @property
    def _has_numbers(self) -> bool:
        """Whether there is more than the steps."""
        return len(self.columns) > 1

    def __repr__(self) -> str:
        if not self.rows:
            return "History: no rows"
        last = ", ".join(f"{name} {self.rows[-1][name]:.4g}" for name in self.columns[1:] if name in self.rows[-1])
        ended = "" if self.outcome.ended == "unknown" else f", {self.outcome.ended}"
        return f"History: {len(self):,} rows to step {self.rows[-1]['step']:,}{ended}: {last}"

    def plot(self, path: str | Path) -> Path:
        """Draw the numbers, at most twelve, over the steps into the file `path` (.png, .svg or .pdf), and return it.

        Raises DrawingError if there are no numbers, or Matplotlib cannot be imported.
        """
        path = Path(path)
        if not self._has_numbers:
            raise DrawingError("a history without numbers cannot be drawn; train first, and return numbers to record")
        if _GAN_METRICS.issubset(self.columns):
            loss_curves.save_curves(path, self.rows, self.loss)
        else:
            self._plot_panels(path)
        return path

    def _plot_panels(self, path: Path) -> None:
        """A panel for each number."""
        names = self.columns[1:][:_MOST_PANELS]
        with charts.chart(path, (9, 1 + 1.6 * len(names)), dpi=110) as figure:
            panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
            for axes, name in zip(panels, names, strict=True):
                values = self[name]
                axes.plot(self["step"][np.isfinite(values)], values[np.isfinite(values)], linewidth=1)
                axes.set_ylabel(name)
                axes.grid(alpha=0.3)
            panels[-1].set_xlabel("step")

    def _repr_png_(self) -> bytes | None:
        """The picture of `plot`, for notebooks; None without numbers."""
        if not self._has_numbers:
            return None
        with tempfile.TemporaryDirectory() as folder:
            return self.plot(Path(folder) / "history.png").read_bytes()

    def _repr_html_(self) -> str:
        """The picture and the last rows, for notebooks."""
        picture = self._repr_png_()
        if picture is None:
            return f"<p>{html.escape(repr(self))}</p>"
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(row.get(name))}</td>" for name in self.columns) + "</tr>"
            for row in self.rows[-_ROWS_SHOWN:]
        )
        source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        return (
            f'<p>{html.escape(repr(self))}</p><img src="{source}" alt="curves of the recorded numbers">'
            f"<table><tr>{head}</tr>{body}</table>"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
