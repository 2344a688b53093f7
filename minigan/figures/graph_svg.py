"""A graph of operations as SVG text: a box for each array with its numbers, and arrows from inputs to results."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minigan.figures.svg import FAINT, FAKE, INK, REAL

_LINE_HEIGHT, _PADDING, _GAP, _LAYER_GAP = 15, 8, 14, 30  # pixels: of text, in boxes, between boxes, between layers
_CHARACTER_WIDTH, _CELL_WIDTH = 6.6, 70
_WEIGHT_FILL = "#e9edf1"
_MINUS = "\N{MINUS SIGN}"

Pair = tuple[float, float]  # of pixels: (x, y) or (width, height)


@dataclass(frozen=True)
class GraphNode:
    """An array of the graph: a leaf, or the result of an operation.

    name: unique in the graph. title: the words in its box. value: of at most two axes. gradient: of the same shape,
    None where no gradient flows. inputs: the names of the nodes that the operation takes, in order. is_weight: whether
    the box is grey.
    """

    name: str
    title: str
    value: np.ndarray
    gradient: np.ndarray | None
    inputs: tuple[str, ...] = ()
    is_weight: bool = False


def graph_svg(nodes: Sequence[GraphNode]) -> str:
    """The graph as SVG, inputs above results; values dark, gradients in colour below them.

    nodes: each after its inputs. Arrows have the colour of gradients where a gradient flows back along them. Every
    number stands in the text rounded, and exactly in the attribute data-value.
    """
    sizes = {node.name: _box_size(node) for node in nodes}
    corners, width, height = _layout(nodes, sizes)
    with_gradient = {node.name for node in nodes if node.gradient is not None}
    arrows, boxes = [], []
    for node in nodes:
        x, y = corners[node.name]
        for name in node.inputs:
            flows = name in with_gradient and node.name in with_gradient
            arrows.append(_arrow(corners[name], sizes[name], (x, y), sizes[node.name], flows))
        boxes.append(f'<g transform="translate({x:g} {y:g})">{_box(node, sizes[node.name])}</g>')
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" font-size="11" style="max-width: none">'
        f"{''.join(arrows)}{''.join(boxes)}</svg>"
    )


def _box_size(node: GraphNode) -> Pair:
    rows, columns = np.atleast_2d(node.value).shape
    blocks = 1 if node.gradient is None else 2
    width = max(columns * _CELL_WIDTH + 2 * _PADDING + 12, len(node.title) * _CHARACTER_WIDTH + 2 * _PADDING)
    return width, _LINE_HEIGHT * (1 + rows * blocks) + _PADDING


def _layout(nodes: Sequence[GraphNode], sizes: Mapping[str, Pair]) -> tuple[dict[str, Pair], float, float]:
    """The left top corner of each box, and the width and height of the whole drawing.

    A result lies one layer below the lowest of its inputs, a leaf just above the node that takes it. Within a layer the
    boxes are ordered as the nodes that take them.
    """
    layer: dict[str, int] = {}
    for node in nodes:
        layer[node.name] = 1 + max((layer[name] for name in node.inputs), default=-1)
    consumer: dict[str, tuple[str, int]] = {}  # the last node that takes it, and as which of its inputs
    for node in nodes:
        for position, name in enumerate(node.inputs):
            consumer[name] = (node.name, position)
    for node in nodes:
        if not node.inputs and node.name in consumer:
            layer[node.name] = layer[consumer[node.name][0]] - 1
    rank: dict[str, float] = {}
    rows = [[name for name in layer if layer[name] == level] for level in range(max(layer.values()) + 1)]
    for row in reversed(rows):
        row.sort(key=lambda name: (rank.get(consumer[name][0], 0), consumer[name][1]) if name in consumer else (0, 0))
        rank |= {name: place for place, name in enumerate(row)}
    corners, widest, bottom = {}, 0.0, 0.0
    for row in rows:
        left = 0.0
        for name in row:
            corners[name] = (left + 1, bottom + 1)
            left += sizes[name][0] + _GAP
        widest = max(widest, left - _GAP)
        bottom += max(sizes[name][1] for name in row) + _LAYER_GAP
    return corners, widest + 2, bottom - _LAYER_GAP + 2


def _arrow(start: Pair, start_size: Pair, end: Pair, end_size: Pair, flows: bool) -> str:
    """From the bottom of one box, first straight down, to the top of another; coloured where a gradient flows back."""
    x0, y0 = start[0] + start_size[0] / 2, start[1] + start_size[1]
    x1, y1 = end[0] + min(end_size[0] - 8, max(8, x0 - end[0])), end[1]
    colour, width = (FAKE, 2) if flows else (FAINT, 1)
    return (
        f'<path d="M{x0:.0f} {y0:.0f}V{y1 - _LAYER_GAP:.0f}L{x1:.0f} {y1:.0f}m-4 -6l4 6l4 -6" fill="none" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def _box(node: GraphNode, size: Pair) -> str:
    width, height = size
    fill = _WEIGHT_FILL if node.is_weight else "#fff"
    edge = FAINT if node.gradient is None else FAKE
    title = html.escape(node.title)
    parts = [
        f'<rect width="{width:g}" height="{height:g}" rx="4" fill="{fill}" stroke="{edge}"/>',
        f'<text x="{_PADDING}" y="{_LINE_HEIGHT - 2}" fill="{REAL}" font-weight="600">{title}</text>',
        _rows(node.value, 1, INK, ""),
    ]
    if node.gradient is not None:
        parts.append(_rows(node.gradient, 1 + len(np.atleast_2d(node.gradient)), FAKE, "\N{PARTIAL DIFFERENTIAL}"))
    return "".join(parts)


def _rows(values: np.ndarray, first_line: int, colour: str, sign: str) -> str:
    """The numbers as lines of text from `first_line` on, each line after `sign`."""
    lines = []
    for line, row in enumerate(np.atleast_2d(values), first_line):
        y = _LINE_HEIGHT * (line + 1) - 1
        cells = "".join(
            f'<text x="{_PADDING + 12 + _CELL_WIDTH * (column + 1) - 6}" y="{y}" text-anchor="end" '
            f'data-value="{float(value)!r}">{_rounded(value)}</text>'
            for column, value in enumerate(row)
        )
        lines.append((f'<text x="{_PADDING}" y="{y}">{sign}</text>' if sign else "") + cells)
    return f'<g fill="{colour}">{"".join(lines)}</g>'


def _rounded(value: float) -> str:
    """`value` with three significant digits, and a proper minus sign."""
    return f"{value:.3g}".replace("-", _MINUS)
