"""The curves of a run's losses, and of what its discriminator says of real and generated examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core.errors import DrawingError
from minigan.figures import charts

_DRAWN_METRICS = ("step", "discriminator_loss", "generator_loss", "real_score", "fake_score")

Columns = Mapping[str, np.ndarray]  # the metrics by name, (rows,) each


@dataclass(frozen=True)
class Scores:
    """How to draw what a discriminator says of reals and samples.

    curves: each from the metrics, by its label. undecided: where they are if it says the same of all examples. bounds:
    between which they lie, if between any.
    """

    label: str
    curves: Mapping[str, Callable[[Columns], np.ndarray]]
    undecided: float
    bounds: tuple[float, float] | None = (0.0, 1.0)


def _scores(label: str, name: str, undecided: float = 0.5) -> Scores:
    curves: dict[str, Callable[[Columns], np.ndarray]] = {
        f"{name.format('x')}, real": lambda metrics: metrics["real_score"],
        f"{name.format('G(z)')}, generated": lambda metrics: metrics["fake_score"],
    }
    return Scores(label, curves, undecided)


def _comparisons(terms: int, of_real: str, of_fake: str) -> Scores:
    """Of a loss that sums `terms` means of -log sigmoid(a difference): exp(-loss / terms) is a geometric mean."""
    curves: dict[str, Callable[[Columns], np.ndarray]] = {
        of_real: lambda metrics: np.exp(-metrics["discriminator_loss"] / terms),
        of_fake: lambda metrics: np.exp(-metrics["generator_loss"] / terms),
    }
    return Scores("geometric mean of $\\sigma$", curves, 0.5)


_PROBABILITIES = _scores("mean score", "D({})")
SCORES: dict[str, Scores] = {
    "minimax": _PROBABILITIES,
    "non-saturating": _PROBABILITIES,
    "least-squares": _scores("mean of $\\sigma$(score)", "$\\sigma$(D({}))", 1 / (1 + math.exp(-0.5))),
    "hinge": _scores("mean of $\\sigma$(score)", "$\\sigma$(D({}))"),
    "wasserstein": Scores(
        "difference of mean scores",
        {"mean D(x) $-$ mean D(G(z))": lambda metrics: -metrics["discriminator_loss"]},
        undecided=0.0,
        bounds=None,
    ),
    "relativistic-pairing": _comparisons(
        1, "$\\sigma$(D(x) $-$ D(G(z))), for the discriminator", "$\\sigma$(D(G(z)) $-$ D(x)), for the generator"
    ),
    "relativistic-average": _comparisons(
        2,
        "$\\sigma$(D(x) $-$ mean D(G(z))), $\\sigma$(mean D(x) $-$ D(G(z))), for the discriminator",
        "$\\sigma$(D(G(z)) $-$ mean D(x)), $\\sigma$(mean D(G(z)) $-$ D(x)), for the generator",
    ),
}
"""By the name of the loss.

Only the games of 2014 know a probability D = sigmoid(score). Hinge and least squares know a score, which the metrics
hold as the mean of its sigmoid; undecided is the score 0, and 1/2. The others are the same if all scores rise, and so
know only differences: these are read from the losses, each before the update of the player that it is for.
"""


def save_curves(
    path: Path, rows: Sequence[dict[str, Any]], loss: str, notice: Callable[[str], None] = lambda sentence: None
) -> None:
    """Write the curves of the losses, and of what the discriminator says of both kinds, as PNG, atomically.

    rows: the metrics, one of each recorded step. Those without the numbers needed are left out, and `notice(sentence)`
    is told of it. loss: its name, which says what is drawn of the scores (see SCORES; D and G(z) for another name).
    Raises DrawingError if no row is left, or Matplotlib cannot be imported.
    """
    whole = [row for row in rows if all(_is_number(row.get(name)) for name in _DRAWN_METRICS)]
    if not whole:
        raise DrawingError("no row of the metrics has all the numbers that are drawn")
    if missing := len(rows) - len(whole):
        notice(f"{path} goes without {missing} of {len(rows)} rows of the metrics, which lack numbers")
    metrics = {name: np.array([row[name] for row in whole], np.float64) for name in _DRAWN_METRICS}
    scores = SCORES.get(loss, _PROBABILITIES)
    with charts.chart(path, (9, 6), dpi=110) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for player in ("discriminator", "generator"):
            _draw_smoothed(upper, metrics["step"], metrics[f"{player}_loss"], player)
        upper.set_ylabel(f"loss ({loss})")
        for label, curve in scores.curves.items():
            _draw_smoothed(lower, metrics["step"], curve(metrics), label)
        lower.axhline(scores.undecided, color="grey", linewidth=0.8, linestyle=":")
        lower.set(ylabel=scores.label, xlabel="step", ylim=scores.bounds)
        for axes in (upper, lower):
            axes.grid(alpha=0.3)
            axes.legend(loc="upper right")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _draw_smoothed(axes: Any, steps: np.ndarray, values: np.ndarray, label: str) -> None:
    """The values, faint, and their running mean over a fiftieth of the run."""
    window = max(1, len(values) // 50)
    (line,) = axes.plot(steps, values, alpha=0.25, linewidth=0.6)
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    axes.plot(steps[window - 1 :], smooth, color=line.get_color(), label=label)
