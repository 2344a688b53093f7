"""The curves of a run's losses, and of its discriminator's scores for real and generated examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core.errors import DrawingError
from minigan.core.notice import Notice
from minigan.figures import charts

_DRAWN_METRICS = ("step", "discriminator_loss", "generator_loss", "real_score", "fake_score")

MetricColumns = Mapping[str, np.ndarray]  # the metrics by name, (rows,) each


@dataclass(frozen=True)
class ScoreCurves:
    """How to draw the discriminator's output for real and generated examples.

    label: of the axis. curves: by label, the function that computes a curve from the metrics. constant_value: the value
    of all curves for the best discriminator that gives every example the same output. bounds: limits of the axis, None
    if the curves have no limits.
    """

    label: str
    curves: Mapping[str, Callable[[MetricColumns], np.ndarray]]
    constant_value: float
    bounds: tuple[float, float] | None = (0.0, 1.0)


def _mean_scores(label: str, name: str, constant_value: float = 0.5) -> ScoreCurves:
    """The mean scores of both kinds of examples, where `name` is a template for D(x)."""
    curves: dict[str, Callable[[MetricColumns], np.ndarray]] = {
        f"{name.format('x')}, real": lambda metrics: metrics["real_score"],
        f"{name.format('G(z)')}, generated": lambda metrics: metrics["fake_score"],
    }
    return ScoreCurves(label, curves, constant_value)


def _relativistic(terms: int, of_real: str, of_fake: str) -> ScoreCurves:
    """For losses that sum `terms` means of -log sigmoid(logit difference): exp(-loss / terms) is a geometric mean."""
    curves: dict[str, Callable[[MetricColumns], np.ndarray]] = {
        of_real: lambda metrics: np.exp(-metrics["discriminator_loss"] / terms),
        of_fake: lambda metrics: np.exp(-metrics["generator_loss"] / terms),
    }
    return ScoreCurves("geometric mean of $\\sigma$", curves, 0.5)


_PROBABILITIES = _mean_scores("mean score", "D({})")
SCORES: dict[str, ScoreCurves] = {
    "minimax": _PROBABILITIES,
    "non-saturating": _PROBABILITIES,
    "least-squares": _mean_scores("mean of $\\sigma$(score)", "$\\sigma$(D({}))", 1 / (1 + math.exp(-0.5))),
    "hinge": _mean_scores("mean of $\\sigma$(score)", "$\\sigma$(D({}))"),
    "wasserstein": ScoreCurves(
        "difference of mean scores",
        {"mean D(x) $-$ mean D(G(z))": lambda metrics: -metrics["discriminator_loss"]},
        constant_value=0.0,
        bounds=None,
    ),
    "relativistic-pairing": _relativistic(
        1, "$\\sigma$(D(x) $-$ D(G(z))), for the discriminator", "$\\sigma$(D(G(z)) $-$ D(x)), for the generator"
    ),
    "relativistic-average": _relativistic(
        2,
        "$\\sigma$(D(x) $-$ mean D(G(z))), $\\sigma$(mean D(x) $-$ D(G(z))), for the discriminator",
        "$\\sigma$(D(G(z)) $-$ mean D(x)), $\\sigma$(mean D(G(z)) $-$ D(x)), for the generator",
    ),
}
"""How to draw the scores, by the name of the loss.

Only with the losses of 2014 (minimax, non-saturating) is D = sigmoid(logit) a probability. Hinge and least squares have
a score, and the metrics hold the mean of its sigmoid; the best constant score is 0 for hinge and 1/2 for least squares.
The other losses do not change if all scores rise by the same amount, so that only differences mean anything: those are
computed from the losses, each as it was before its player's update.
"""


def save_curves(path: Path, rows: Sequence[dict[str, Any]], loss: str, notice: Notice = lambda sentence: None) -> None:
    """Write the curves of both losses and of the discriminator's scores as PNG, atomically.

    rows: the metrics of each recorded step. Rows that lack a number are left out, and `notice(sentence)` says how many.
    loss: its name, which chooses the curves of the scores (SCORES; those of a probability for an unknown name). Raises
    DrawingError if no row is left, or Matplotlib cannot be imported.
    """
    complete = [row for row in rows if all(_is_number(row.get(name)) for name in _DRAWN_METRICS)]
    if not complete:
        raise DrawingError("no row of the metrics has all the numbers that are drawn")
    if missing := len(rows) - len(complete):
        notice(f"{path} goes without {missing} of {len(rows)} rows of the metrics, which lack numbers")
    metrics = {name: np.array([row[name] for row in complete], np.float64) for name in _DRAWN_METRICS}
    scores = SCORES.get(loss, _PROBABILITIES)
    with charts.chart(path, (9, 6), dpi=110) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for player in ("discriminator", "generator"):
            _draw_smoothed(upper, metrics["step"], metrics[f"{player}_loss"], player)
        upper.set_ylabel(f"loss ({loss})")
        for label, curve in scores.curves.items():
            _draw_smoothed(lower, metrics["step"], curve(metrics), label)
        lower.axhline(scores.constant_value, color="grey", linewidth=0.8, linestyle=":")
        lower.set(ylabel=scores.label, xlabel="step", ylim=scores.bounds)
        for axes in (upper, lower):
            axes.grid(alpha=0.3)
            axes.legend(loc="upper right")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _draw_smoothed(axes: Any, steps: np.ndarray, values: np.ndarray, label: str) -> None:
    """Draw the values, pale, and their running mean over a fiftieth of the run."""
    window = max(1, len(values) // 50)
    (line,) = axes.plot(steps, values, alpha=0.25, linewidth=0.6)
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    axes.plot(steps[window - 1 :], smooth, color=line.get_color(), label=label)
