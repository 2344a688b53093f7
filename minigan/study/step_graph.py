"""One training step of the smallest GAN there is, drawn as a graph with every value and every gradient on it.

Latent of 1 number, generator 1-2-2 and discriminator 2-2-1 with LeakyReLU, two examples, the non-saturating loss, and
plain gradient descent. The graph is the one that the forward pass left: nothing is drawn by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, grad
from minigan.autodiff.graph import ancestors, backward_path
from minigan.autodiff.parameter import Parameter
from minigan.figures.svg import FAINT, FAKE, INK, REAL
from minigan.gan import GAN, Pass, losses
from minigan.gan.inputs import UpdateInputs
from minigan.nn import Module
from minigan.optim import SGD
from minigan.study.section import Numbers, Section, figure, picture, text

SLOPE, RATE = 0.2, 0.5
LATENT = ((1.0,), (-0.5,))
REALS = ((1.5, 0.5), (1.0, 1.0))
WEIGHTS: dict[str, tuple[Any, ...]] = {
    "G.W1": ((0.8, -0.6),), "G.b1": (0.1, 0.2), "G.W2": ((0.5, -0.4), (0.3, 0.9)), "G.b2": (-0.2, 0.1),
    "D.W1": ((0.7, -0.5), (0.4, 0.6)), "D.b1": (0.0, 0.1), "D.W2": ((0.9,), (-0.8,)), "D.b2": (-0.1,),
}  # fmt: skip

_LINE, _PAD, _GAP, _FALL = 15, 8, 14, 30  # pixels: of a line of text, within boxes, between boxes, between layers
_CHARACTER, _CELL = 6.6, 70
_PALE = "#e9edf1"
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Node:
    """A Tensor of the graph: what it is, its value, and its gradient, None where the backward pass never comes."""

    name: str
    title: str
    tensor: Tensor
    value: np.ndarray
    gradient: np.ndarray | None
    is_weight: bool


@dataclass(frozen=True)
class Graph:
    """A loss with all that it was computed from; `nodes` in the order in which they were made."""

    title: str
    nodes: tuple[Node, ...]

    def figures(self) -> Iterator[tuple[str, float]]:
        """Every number on it, by name."""
        for node in self.nodes:
            for index, value in np.ndenumerate(node.value):
                yield f"{self.title}: {_entry(node.name, index)}", float(value)
            if node.gradient is not None:
                for index, value in np.ndenumerate(node.gradient):
                    yield f"{self.title}: d loss / d {_entry(node.name, index)}", float(value)


def section() -> Section:
    """Both steps as pictures, and what to see in them."""
    discriminator, generator = graphs()
    shown = Numbers()
    shown.figures |= dict([*discriminator.figures(), *generator.figures()])
    values = shown.figures
    old, slope = values["D step: D.b2[0]"], values["D step: d loss / d D.b2[0]"]
    new, before = values["G step: D.b2[0]"], values["D step: logits[2, 0]"]
    after = values["G step: logits of G(z)[0, 0]"]
    body = f"""
<p>The smallest GAN that has everything: z is one number, the generator G has two hidden units and makes points of
the plane, the discriminator D has two hidden units and gives one logit l, with D = &sigma;(l). Two real points x, two
values of z, LeakyReLU of slope {SLOPE}, the non-saturating loss. Read downwards for the forward pass. Each box is a
result of an operation, or a weight (grey): its value, one row for each example, and in orange under it, marked ∂, the
derivative of the loss by each of its numbers. Where a line is orange, a gradient comes back along it, upwards.</p>
{_figure(discriminator, "The discriminator's step. From the concatenation up nothing is orange: G gets no gradient.")}
<p>The discriminator learns from two rows of real points and two of fakes. Its loss is &minus;log D(x) &minus; log(1
&minus; D(G(z))), as softplus of the logits, and the gradient by each logit can be read off at once:
&minus;(1 &minus; D) / 2 for a real point, D / 2 for a fake (the 2 is the batch). From there it is pulled back to the
four weights of D, and ends there. <b>In this step nothing flows into G.</b> Not because something stops it: the
gradient is asked for D's weights only, and of all paths upwards only those are walked that lead to them. Where a
framework collects the gradients of everything instead, G(z) must be <em>detached</em> by hand for the same effect.</p>
<p>Then D's weights go {RATE:g} times against their gradients. The last bias, {shown("D step: D.b2[0]", old, 1)}, has
gradient {shown("D step: d loss / d D.b2[0]", slope)} and becomes {shown("G step: D.b2[0]", new)}. So the second picture
has other numbers in D, and the same in G: the logit of the first fake was {shown("D step: logits[2, 0]", before)} and
is {shown("G step: logits of G(z)[0, 0]", after)} now; D finds it more fake than before.</p>
{_figure(generator, "The generator's step. Orange runs through all of D, but around its weights.")}
<p>The generator's loss is &minus;log D(G(z)), and its gradient by a logit is &minus;(1 &minus; D) / 2. It must pass
through D to reach G: through D's layers, each with a gradient, into G(z), and on to the four weights of G. <b>D's
weights get none</b>, although D's layers use them: they are not asked for, and no time goes into them. (A framework
would have added them to D's gradients, to be cleared before D's next step; what happens if they are not is told in
<a href="#one-wrong-line">another section</a>.) The gradient in the box G(z) is all that G ever learns of the data: for
each sample, the direction in which D's verdict improves.</p>
"""
    return Section("one-step", "One training step, every number on it", body, shown.figures)


def _figure(graph: Graph, caption: str) -> str:
    alt = f"{graph.title}: the graph of operations with values and gradients, as explained in the text"
    return figure(f'<div class="wide">{picture(drawing(graph), alt)}</div>', caption)


class _Network(Module):
    """Dense, LeakyReLU, dense: three operations, where `Sequential` would make two, for each has its box."""

    def __init__(self, player: str) -> None:
        self.W1, self.b1, self.W2, self.b2 = (
            Parameter(np.array(WEIGHTS[f"{player}.{name}"])) for name in ("W1", "b1", "W2", "b2")
        )

    def forward(self, x: Tensor) -> Tensor:
        return ops.dense(ops.leaky_relu(ops.dense(x, self.W1, self.b1), SLOPE), self.W2, self.b2)


def graphs() -> tuple[Graph, Graph]:
    """The discriminator's step, and then the generator's against the discriminator that has learned."""
    generator, discriminator = _Network("G"), _Network("D")
    optimizers = (SGD(network.parameters(), RATE) for network in (generator, discriminator))
    gan = GAN(generator, discriminator, losses.get("non-saturating"), *optimizers, latent_size=1)
    inputs = replace(gan.draw(Tensor(REALS)).updates[0], latent=Tensor(LATENT))

    judged = gan.discriminator_pass(inputs)
    of_discriminator = _graph("D step", gan, inputs, judged)
    learning = gan.discriminator_optimizer
    learning.step(grad(judged.objective, learning.parameters), inputs.update_scalars)
    return of_discriminator, _graph("G step", gan, inputs, gan.generator_pass(inputs, judged))


def _graph(title: str, gan: GAN, inputs: UpdateInputs, made: Pass) -> Graph:
    weights = gan.generator.parameters("G.") | gan.discriminator.parameters("D.")
    learning = [weight for name, weight in weights.items() if name[0] == title[0]]
    named = _names(inputs, made) | {weight: name for name, weight in weights.items()}
    visited = [node for node, _ in backward_path(made.objective, learning)]
    flowing = [*visited, *learning]
    gradients = dict(zip(flowing, grad(made.objective, flowing), strict=True))
    nodes: list[Node] = []
    for tensor in ancestors(made.objective):
        operation = _in_words(tensor)
        name = named.get(tensor, f"{operation} {sum(node.title == operation for node in nodes) + 1}")
        shown = " = ".join(part for part in (named.get(tensor, ""), operation) if part)
        gradient = gradients[tensor].numpy() if tensor in gradients else None
        nodes.append(Node(name, shown, tensor, tensor.numpy(), gradient, isinstance(tensor, Parameter)))
    return Graph(title, tuple(nodes))


def _names(inputs: UpdateInputs, made: Pass) -> dict[Any, str]:
    names: dict[Any, str] = {inputs.latent: "z", inputs.real: "x", made.fake: "G(z)", made.objective: "loss"}
    names[made.fake_logits] = "logits of G(z)"
    if made.real_logits is not None:
        names[made.real_logits] = "logits of x"
        (logits,) = made.real_logits.parents
        names[logits] = "logits"
        names |= {x: "x and G(z)" for x in ancestors(logits) if x.rule is not None and x.rule.name == "concatenate"}
    return names


def _in_words(tensor: Any) -> str:
    """What made the Tensor; nothing for a leaf."""
    if tensor.rule is None:
        return ""
    if tensor.rule.name == "mean_softplus":
        return f"mean softplus({'-' if tensor.static['sign'] < 0 else ''}l)".replace("-", _MINUS)
    if tensor.rule.name == "index":
        return f"rows from {tensor.static['key'].start or 0}"
    return tensor.rule.name


def _entry(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name


# The picture.


def significant(value: float) -> str:
    """`value` with three significant digits, and a proper minus sign."""
    return f"{value:.3g}".replace("-", _MINUS)


def drawing(graph: Graph) -> str:
    """The graph as SVG: what is computed first stands on top; values dark, gradients in colour below them."""
    boxes = {node.tensor: _size(node) for node in graph.nodes}
    places, width, height = _places(graph, boxes)
    flowing = {node.tensor for node in graph.nodes if node.gradient is not None}
    edges, drawn = [], []
    for node in graph.nodes:
        x, y = places[node.tensor]
        for parent in (p for p in node.tensor.parents if isinstance(p, Tensor)):
            flows = parent in flowing and node.tensor in flowing
            edges.append(_edge(places[parent], boxes[parent], (x, y), boxes[node.tensor], flows))
        drawn.append(f'<g transform="translate({x:g} {y:g})">{_box(node, boxes[node.tensor])}</g>')
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" font-size="11" style="max-width: none">'
        f"{''.join(edges)}{''.join(drawn)}</svg>"
    )


Pair = tuple[float, float]


def _size(node: Node) -> Pair:
    rows, columns = np.atleast_2d(node.value).shape
    blocks = 1 if node.gradient is None else 2
    wide = max(columns * _CELL + 2 * _PAD + 12, len(node.title) * _CHARACTER + 2 * _PAD)
    return wide, _LINE * (1 + rows * blocks) + _PAD


def _places(graph: Graph, boxes: Mapping[Any, Pair]) -> tuple[dict[Any, Pair], float, float]:
    """Where the corner of each box is, and the size of the whole.

    A result lies one layer below the lowest of its inputs, a leaf just above what takes it. In a layer the boxes stand
    in the order of those that take them.
    """
    layer: dict[Any, int] = {}
    for node in graph.nodes:
        layer[node.tensor] = 1 + max((layer[p] for p in node.tensor.parents if isinstance(p, Tensor)), default=-1)
    taken_by: dict[Any, tuple[Any, int]] = {}
    for node in graph.nodes:
        for number, parent in enumerate(node.tensor.parents):
            if isinstance(parent, Tensor):
                taken_by[parent] = (node.tensor, number)
    for node in graph.nodes:
        if not node.tensor.parents and node.tensor in taken_by:
            layer[node.tensor] = layer[taken_by[node.tensor][0]] - 1
    rank: dict[Any, float] = {}
    places, widest, bottom = {}, 0.0, 0.0
    depth = max(layer.values())
    rows = [[t for t in layer if layer[t] == level] for level in range(depth + 1)]
    for row in reversed(rows):
        row.sort(key=lambda t: (rank.get(taken_by[t][0], 0), taken_by[t][1]) if t in taken_by else (0, 0))
        rank |= {t: place for place, t in enumerate(row)}
    for row in rows:
        left = 0.0
        for tensor in row:
            places[tensor] = (left + 1, bottom + 1)
            left += boxes[tensor][0] + _GAP
        widest = max(widest, left - _GAP)
        bottom += max(boxes[tensor][1] for tensor in row) + _FALL
    return places, widest + 2, bottom - _FALL + 2


def _edge(start: Pair, start_box: Pair, end: Pair, end_box: Pair, flows: bool) -> str:
    """A line from one box to the top of another, coloured where a gradient comes back; first straight down."""
    x0, y0 = start[0] + start_box[0] / 2, start[1] + start_box[1]
    x1, y1 = end[0] + min(end_box[0] - 8, max(8, x0 - end[0])), end[1]
    colour, width = (FAKE, 2) if flows else (FAINT, 1)
    return (
        f'<path d="M{x0:.0f} {y0:.0f}V{y1 - _FALL:.0f}L{x1:.0f} {y1:.0f}m-4 -6l4 6l4 -6" fill="none" stroke="{colour}" '
        f'stroke-width="{width}"/>'
    )


def _box(node: Node, box: Pair) -> str:
    wide, high = box
    fill = _PALE if node.is_weight else "#fff"
    edge = FAINT if node.gradient is None else FAKE
    parts = [
        f'<rect width="{wide:g}" height="{high:g}" rx="4" fill="{fill}" stroke="{edge}"/>',
        f'<text x="{_PAD}" y="{_LINE - 2}" fill="{REAL}" font-weight="600">{text(node.title)}</text>',
        _rows(node.value, 1, INK, ""),
    ]
    if node.gradient is not None:
        parts.append(_rows(node.gradient, 1 + len(np.atleast_2d(node.gradient)), FAKE, "\N{PARTIAL DIFFERENTIAL}"))
    return "".join(parts)


def _rows(values: np.ndarray, first: int, colour: str, sign: str) -> str:
    lines = []
    for place, row in enumerate(np.atleast_2d(values), first):
        y = _LINE * (place + 1) - 1
        cells = "".join(
            f'<text x="{_PAD + 12 + _CELL * (column + 1) - 6}" y="{y}" text-anchor="end" '
            f'data-value="{float(value)!r}">{significant(value)}</text>'
            for column, value in enumerate(row)
        )
        lines.append((f'<text x="{_PAD}" y="{y}">{sign}</text>' if sign else "") + cells)
    return f'<g fill="{colour}">{"".join(lines)}</g>'
