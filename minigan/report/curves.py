"""The curves of a run's numbers over its steps, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from minigan.figures.history import History
from minigan.figures.html_parts import picture, text
from minigan.figures.loss_curves import SCORES
from minigan.figures.svg import Chart, Span

Curves = Mapping[str, np.ndarray]  # by label, (rows,)

COLOURS = ("var(--real)", "var(--fake)", "var(--third)", "var(--fourth)")
_LOSSES = ("discriminator_loss", "generator_loss")
_MEAN_SCORES = ("real_score", "fake_score")
_RATES = ("discriminator_learning_rate", "generator_learning_rate")
_MOST_POINTS = 160  # of a curve: neighbours are averaged
_MOST_CHARTS = 14
_OUTLIERS = 0.5  # percent at both ends that may lie beyond the axis


def curve_charts(history: History, loss: str) -> list[str]:
    """Charts of the losses, the scores, the learning rates if they change, and all further numbers; as HTML."""
    charts = [chart for name, curves in _curves(history, loss) if (chart := _chart(name, history["step"], curves))]
    return charts[:_MOST_CHARTS]


def _curves(history: History, loss: str) -> Iterator[tuple[str, Curves]]:
    columns = {name: history[name] for name in history.columns if name != "step"}
    if columns.keys() >= set(_LOSSES):
        yield f"loss ({loss})" if loss else "loss", {name.removesuffix("_loss"): columns[name] for name in _LOSSES}
    if columns.keys() >= {*_LOSSES, *_MEAN_SCORES}:
        scores = SCORES.get(loss, SCORES["non-saturating"])
        yield _plain(scores.label), {_plain(label): curve(columns) for label, curve in scores.curves.items()}
    rates = {name.removesuffix("_learning_rate"): columns[name] for name in _RATES if name in columns}
    if any(np.nanmax(values) > np.nanmin(values) for values in rates.values()):
        yield "learning rate", rates
    for name in sorted(columns.keys() - {*_LOSSES, *_MEAN_SCORES, *_RATES}):  # a set has another order in each process
        yield name.replace("_", " "), {"": columns[name]}


def _plain(label: str) -> str:
    """A label of Matplotlib without its mathematical signs."""
    return label.replace("$\\sigma$", "\N{GREEK SMALL LETTER SIGMA}").replace("$-$", "\N{MINUS SIGN}")


def _chart(name: str, steps: np.ndarray, curves: Curves) -> str:
    """A chart, "" if there are no two points."""
    drawn = {label: thinned(steps, values) for label, values in curves.items()}
    drawn = {label: points for label, points in drawn.items() if len(points) > 1}
    if not drawn:
        return ""
    exponent = _exponent([points[:, 1] for points in drawn.values()])
    drawn = {label: points / (1.0, 10.0**exponent) for label, points in drawn.items()}
    title = f"{name}, in 1e{exponent}" if exponent else name
    x = float(min(p[0, 0] for p in drawn.values())), float(max(p[-1, 0] for p in drawn.values()))
    chart = Chart(x, span([points[:, 1] for points in drawn.values()]), title=text(title), x_label="step")
    for (label, points), colour in zip(drawn.items(), COLOURS, strict=False):
        chart.line(points, colour, label=text(label) if len(curves) > 1 else "")
    return picture(chart.svg(), f"curve of {name} over the steps")


def _exponent(values: Sequence[np.ndarray]) -> int:
    """The power of ten in whose units numbers are drawn, so that those at the axis stay short; mostly 0."""
    largest = max(float(np.abs(v).max()) for v in values)
    return 0 if 0.05 <= largest < 1e4 or not largest else math.floor(math.log10(largest))


def thinned(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """At most _MOST_POINTS points (n, 2): means of neighbouring ones, without values that are not finite."""
    finite = np.isfinite(values)
    points = np.stack([steps[finite], values[finite]], axis=1)
    parts = np.array_split(points, min(len(points), _MOST_POINTS) or 1)
    return np.array([part.mean(axis=0) for part in parts if len(part)]).reshape(-1, 2)


def span(values: Sequence[np.ndarray]) -> Span:
    """The span of an axis for `values`, without outliers and with some air."""
    low, high = np.percentile(np.concatenate(values), [_OUTLIERS, 100 - _OUTLIERS])
    air = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return float(low - air), float(high + air)
