"""The walks of `minigan explain` as one HTML page to be read offline, on which results are links."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from minigan.explain import Input, Visit, Walk, WeightGradient

_STYLE = """\
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-family: ui-monospace, monospace; font-size: 13px; }
td, th { padding: .25rem .6rem; text-align: left; vertical-align: top; border-top: 1px solid #8884; }
td.norm { min-width: 7rem; white-space: nowrap; }
.bar { background: #3987e5; height: 3px; }
tr.arrival td { background: #3987e522; border-top: 0; }
tr:target td { background: #eda10033; }
a { color: inherit; }"""


def page(title: str, legend: str, walks: Sequence[Walk], loss: str) -> str:
    """The page; `loss` is the name of the loss."""
    parts = [
        "<!doctype html>", '<html lang="en">', '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">', f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>", f"<h1>{escape(title)}</h1>", f"<p>{escape(legend)}</p>",
        "<p>The bar under a norm is its logarithm, from the smallest norm of the walk to the largest.</p>",
        *(line for walk in walks for line in _walk(walk, loss)), "</html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _walk(walk: Walk, loss: str) -> Iterator[str]:
    yield f"<h2>The loss of the {escape(walk.player)} ({escape(loss)}) is {walk.loss:.6g}</h2>"
    yield '<div class="wide"><table>'
    yield "<tr><th>|g|<th>operation<th>shapes<th>cotangents</tr>"
    known = {visit.result for visit in walk.visits}
    norms = [visit.norm for visit in walk.visits if visit.norm > 0]
    limits = (math.log(min(norms)), math.log(max(norms))) if norms else (0.0, 0.0)
    for visit in walk.visits:
        yield from _visit(walk.player, visit, known, limits)
    yield "</table></div>"
    if definitions := dict.fromkeys(definition for visit in walk.visits for definition in visit.where):
        yield f"<p>where {escape(', '.join(definitions))}</p>"


def _visit(player: str, visit: Visit, known: set[str], limits: tuple[float, float]) -> Iterator[str]:
    operands = [f"{escape(part.name)}: {_source(player, part, known)}" for part in visit.inputs]
    operands += [f"{escape(name)}: {escape(text)}" for name, text in visit.settings]
    shapes = f"{', '.join(str(part.shape) for part in visit.inputs)} &rarr; {visit.shape}"
    back = "<br>".join(f"to {escape(part.name)}: {escape(part.back)}" for part in visit.inputs if part.back is not None)
    operation = f"{escape(visit.result)} = {escape(visit.operation)}({', '.join(operands)})"
    yield (
        f'<tr id="{_anchor(player, visit.result)}"><td class="norm">{visit.norm:.3g}{_bar(visit.norm, limits)}'
        f"<td>{operation}<td>{shapes}<td>{back}</tr>"
    )
    for arrival in visit.arrivals:
        yield f'<tr class="arrival"><td><td colspan="3">&rArr; {escape(arrival_text(arrival))}</tr>'


def arrival_text(arrival: WeightGradient) -> str:
    """A weight whose gradient is complete, with its norm and what finite differences say, if they were computed."""
    checked = "" if arrival.error is None else f", finite differences agree to {arrival.error:.1g}"
    checked = ", at a kink: finite differences cannot tell" if arrival.at_kink else checked
    return f"{arrival.weight} {arrival.shape}: |gradient| {arrival.norm:.4g}{checked}"


def _source(player: str, part: Input, known: set[str]) -> str:
    text = escape(part.source)
    return f'<a href="#{_anchor(player, part.source)}">{text}</a>' if part.source in known else text


def _anchor(player: str, result: str) -> str:
    return escape(f"{player[0]}-{result}".replace(" ", "-"), quote=True)


def _bar(norm: float, limits: tuple[float, float]) -> str:
    low, high = limits
    share: Any = (math.log(norm) - low) / (high - low) if norm > 0 and high > low else 0.0
    return f'<div class="bar" style="width:{100 * share:.0f}%"></div>'
