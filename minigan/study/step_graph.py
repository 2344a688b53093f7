"""The section on one training step: the graphs of a very small GAN, with every value and every gradient.

Latents of 1 number, generator 1-2-2 and discriminator 2-2-1 with LeakyReLU, two examples, the non-saturating loss, and
plain gradient descent. The graphs are those that the forward passes recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, grad
from minigan.autodiff.parameter import Parameter
from minigan.explain import path_back
from minigan.figures.svg import FAINT, FAKE, INK, REAL
from minigan.gan import GAN, Pass, losses
from minigan.gan.inputs import UpdateInputs
from minigan.nn import Module
from minigan.optim import SGD
from minigan.study.section import Numbers, Section, figure, picture, text

SLOPE, LEARNING_RATE = 0.2, 0.5
LATENT = ((1.0,), (-0.5,))
REALS = ((1.5, 0.5), (1.0, 1.0))
WEIGHTS: dict[str, tuple[Any, ...]] = {
    "G.W1": ((0.8, -0.6),), "G.b1": (0.1, 0.2), "G.W2": ((0.5, -0.4), (0.3, 0.9)), "G.b2": (-0.2, 0.1),
    "D.W1": ((0.7, -0.5), (0.4, 0.6)), "D.b1": (0.0, 0.1), "D.W2": ((0.9,), (-0.8,)), "D.b2": (-0.1,),
}  # fmt: skip

_LINE, _PADDING, _GAP, _LAYER_GAP = 15, 8, 14, 30  # pixels: a line of text, inside of boxes, between boxes, and layers
_CHARACTER, _CELL = 6.6, 70  # pixels: the width of a letter of a title, and of a number
_WEIGHT_FILL = "#e9edf1"
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Node:
    """A Tensor of the graph with its value and its gradient; None if the backward pass does not visit it."""

    name: str
    title: str
    tensor: Tensor
    value: np.ndarray
    gradient: np.ndarray | None
    is_weight: bool


@dataclass(frozen=True)
class Graph:
    """A loss with everything that it was computed from; `nodes` are in the order of their computation."""

    title: str
    nodes: tuple[Node, ...]

    def figures(self) -> Iterator[tuple[str, float]]:
        """The name and the value of every number in the graph."""
        for node in self.nodes:
            for index, value in np.ndenumerate(node.value):
                yield f"{self.title}: {_entry(node.name, index)}", float(value)
            if node.gradient is not None:
                for index, value in np.ndenumerate(node.gradient):
                    yield f"{self.title}: d loss / d {_entry(node.name, index)}", float(value)


def section() -> Section:
    """Both updates as pictures, with their explanation."""
    discriminator, generator = graphs()
    shown = Numbers()
    shown.figures |= dict([*discriminator.figures(), *generator.figures()])
    values = shown.figures
    old, slope = values["D step: D.b2[0]"], values["D step: d loss / d D.b2[0]"]
    new, before = values["G step: D.b2[0]"], values["D step: logits[2, 0]"]
    after = values["G step: logits of G(z)[0, 0]"]
    body = f"""
<p>A very small GAN that has every part: z is one number, the generator G has two hidden units and generates points of
the plane, the discriminator D has two hidden units and returns one logit l, with D = &sigma;(l). There are two real
points x and two values of z; the activation is LeakyReLU with slope {SLOPE}, the loss non-saturating. The forward pass
runs downwards. Each box is the result of an operation, or a weight (grey): its value, one row for each example, and in
orange below it, marked ∂, the derivative of the loss by each of its numbers. Along orange lines a gradient flows back,
upwards.</p>
{_figure(discriminator, "The discriminator's update. Above the concatenation nothing is orange: G gets no gradient.")}
<p>The discriminator learns from two rows of real points and two of fakes. Its loss is &minus;log D(x) &minus; log(1
&minus; D(G(z))), as softplus of the logits, so the gradient by each logit is &minus;(1 &minus; D) / 2 for a real point
and D / 2 for a fake (2 is the batch size). From there it is propagated back to the four weights of D. <b>In this update
nothing flows into G.</b> No operation stops it: the gradient is requested for D's weights only, and the backward pass
visits only paths that lead to them. In a framework that computes the gradients of everything, G(z) must be
<em>detached</em> for the same effect.</p>
<p>Then each weight of D changes by &minus;{LEARNING_RATE:g} times its gradient. The last bias,
{shown("D step: D.b2[0]", old, 1)}, has gradient {shown("D step: d loss / d D.b2[0]", slope)} and becomes
{shown("G step: D.b2[0]", new)}. So in the second picture the numbers of D have changed and those of G have not: the
logit of the first fake was {shown("D step: logits[2, 0]", before)} and is now
{shown("G step: logits of G(z)[0, 0]", after)}; D gives it a lower probability of being real than before.</p>
{_figure(generator, "The generator's update. Orange lines run through all layers of D, but not to its weights.")}
<p>The generator's loss is &minus;log D(G(z)), and its gradient by a logit is &minus;(1 &minus; D) / 2. To reach G it
must pass through D: through D's layers, each with a gradient, into G(z), and on to the four weights of G. <b>D's
weights get no gradient</b>, although D's layers use them: it is not requested, so no time is spent on it. (Many
frameworks would add it to D's stored gradients, which must then be cleared before D's next update;
<a href="#one-wrong-line">another section</a> shows what happens if they are not.) The gradient in the box G(z) is all
that G ever learns about the data: for each sample, the direction in which D(G(z)) rises.</p>
"""
    return Section("one-step", "One training step, every number on it", body, shown.figures)


def _figure(graph: Graph, caption: str) -> str:
    alt = f"{graph.title}: the graph of operations with values and gradients, as explained in the text"
    return figure(f'<div class="wide">{picture(drawing(graph), alt)}</div>', caption)


class _Network(Module):
    """Dense, LeakyReLU, dense, as three operations with a box each; `Sequential` would fuse the first two."""

    def __init__(self, player: str) -> None:
        self.W1, self.b1, self.W2, self.b2 = (
            Parameter(np.array(WEIGHTS[f"{player}.{name}"])) for name in ("W1", "b1", "W2", "b2")
        )

    def forward(self, x: Tensor) -> Tensor:
        return ops.dense(ops.leaky_relu(ops.dense(x, self.W1, self.b1), SLOPE), self.W2, self.b2)


def graphs() -> tuple[Graph, Graph]:
    """The discriminator's update, and then the generator's, with the updated discriminator."""
    generator, discriminator = _Network("G"), _Network("D")
    optimizers = (SGD(network.parameters(), LEARNING_RATE) for network in (generator, discriminator))
    gan = GAN(generator, discriminator, losses.get("non-saturating"), *optimizers, latent_size=1)
    inputs = replace(gan.draw(Tensor(REALS)).updates[0], latent=Tensor(LATENT))

    discriminator_pass = gan.discriminator_pass(inputs)
    discriminator_graph = _graph("D step", gan, inputs, discriminator_pass)
    optimizer = gan.discriminator_optimizer
    optimizer.step(grad(discriminator_pass.objective, optimizer.parameters), inputs.numbers)
    return discriminator_graph, _graph("G step", gan, inputs, gan.generator_pass(inputs, discriminator_pass))


def _graph(title: str, gan: GAN, inputs: UpdateInputs, forward: Pass) -> Graph:
    weights = gan.generator.parameters("G.") | gan.discriminator.parameters("D.")
    updated = [weight for name, weight in weights.items() if name[0] == title[0]]
    names = _names(inputs, forward) | {weight: name for name, weight in weights.items()}
    visited = [node for node, _ in path_back(forward.objective, set(updated))]
    with_gradient = [*visited, *updated]
    gradients = dict(zip(with_gradient, grad(forward.objective, with_gradient), strict=True))
    nodes: list[Node] = []
    for tensor in _ancestors(forward.objective):
        operation = _operation(tensor)
        name = names.get(tensor, f"{operation} {sum(node.title == operation for node in nodes) + 1}")
        node_title = " = ".join(part for part in (names.get(tensor, ""), operation) if part)
        gradient = gradients[tensor].numpy() if tensor in gradients else None
        nodes.append(Node(name, node_title, tensor, tensor.numpy(), gradient, isinstance(tensor, Parameter)))
    return Graph(title, tuple(nodes))


def _names(inputs: UpdateInputs, forward: Pass) -> dict[Any, str]:
    """The Tensors that have a name of their own, with it."""
    names: dict[Any, str] = {inputs.latent: "z", inputs.real: "x", forward.fake: "G(z)", forward.objective: "loss"}
    names[forward.fake_logits] = "logits of G(z)"
    if forward.real_logits is not None:
        names[forward.real_logits] = "logits of x"
        (logits,) = forward.real_logits.parents
        names[logits] = "logits"
        names |= {x: "x and G(z)" for x in _ancestors(logits) if x.rule is not None and x.rule.name == "concatenate"}
    return names


def _operation(tensor: Any) -> str:
    """The operation that computed the Tensor; an empty string for a leaf."""
    if tensor.rule is None:
        return ""
    if tensor.rule.name == "mean_softplus":
        return f"mean softplus({'-' if tensor.static['sign'] < 0 else ''}l)".replace("-", _MINUS)
    if tensor.rule.name == "index":
        return f"rows from {tensor.static['key'].start or 0}"
    return tensor.rule.name


def _ancestors(loss: Tensor) -> list[Any]:
    """The loss and everything that it was computed from, in the order of computation."""
    seen, waiting = {loss}, [loss]
    while waiting:
        new = [x for x in waiting.pop().parents if isinstance(x, Tensor) and x not in seen]
        seen.update(new)
        waiting += new
    return sorted(seen, key=lambda tensor: tensor.number)


def _entry(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name


# The picture.


def significant(value: float) -> str:
    """`value` with three significant digits and a typographic minus sign."""
    return f"{value:.3g}".replace("-", _MINUS)


def drawing(graph: Graph) -> str:
    """The graph as SVG: the first results on top; values in dark text, gradients in orange below them."""
    boxes = {node.tensor: _size(node) for node in graph.nodes}
    places, width, height = _places(graph, boxes)
    with_gradient = {node.tensor for node in graph.nodes if node.gradient is not None}
    edges, drawn = [], []
    for node in graph.nodes:
        x, y = places[node.tensor]
        for parent in (p for p in node.tensor.parents if isinstance(p, Tensor)):
            flows = parent in with_gradient and node.tensor in with_gradient
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
    wide = max(columns * _CELL + 2 * _PADDING + 12, len(node.title) * _CHARACTER + 2 * _PADDING)
    return wide, _LINE * (1 + rows * blocks) + _PADDING


def _places(graph: Graph, boxes: Mapping[Any, Pair]) -> tuple[dict[Any, Pair], float, float]:
    """The corner of each box, and the width and the height of the picture.

    A result lies one layer below the lowest of its inputs, a leaf one layer above the operation that uses it. The boxes
    of a layer stand in the order of the operations that use them.
    """
    layer: dict[Any, int] = {}
    for node in graph.nodes:
        layer[node.tensor] = 1 + max((layer[p] for p in node.tensor.parents if isinstance(p, Tensor)), default=-1)
    used_by: dict[Any, tuple[Any, int]] = {}
    for node in graph.nodes:
        for number, parent in enumerate(node.tensor.parents):
            if isinstance(parent, Tensor):
                used_by[parent] = (node.tensor, number)
    for node in graph.nodes:
        if not node.tensor.parents and node.tensor in used_by:
            layer[node.tensor] = layer[used_by[node.tensor][0]] - 1
    rank: dict[Any, float] = {}
    places, widest, bottom = {}, 0.0, 0.0
    depth = max(layer.values())
    rows = [[t for t in layer if layer[t] == level] for level in range(depth + 1)]
    for row in reversed(rows):
        row.sort(key=lambda t: (rank.get(used_by[t][0], 0), used_by[t][1]) if t in used_by else (0, 0))
        rank |= {t: place for place, t in enumerate(row)}
    for row in rows:
        left = 0.0
        for tensor in row:
            places[tensor] = (left + 1, bottom + 1)
            left += boxes[tensor][0] + _GAP
        widest = max(widest, left - _GAP)
        bottom += max(boxes[tensor][1] for tensor in row) + _LAYER_GAP
    return places, widest + 2, bottom - _LAYER_GAP + 2


def _edge(start: Pair, start_box: Pair, end: Pair, end_box: Pair, flows: bool) -> str:
    """A line from one box down to the top of another, orange if a gradient flows back along it."""
    x0, y0 = start[0] + start_box[0] / 2, start[1] + start_box[1]
    x1, y1 = end[0] + min(end_box[0] - 8, max(8, x0 - end[0])), end[1]
    colour, width = (FAKE, 2) if flows else (FAINT, 1)
    return (
        f'<path d="M{x0:.0f} {y0:.0f}V{y1 - _LAYER_GAP:.0f}L{x1:.0f} {y1:.0f}m-4 -6l4 6l4 -6" fill="none" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def _box(node: Node, box: Pair) -> str:
    wide, high = box
    fill = _WEIGHT_FILL if node.is_weight else "#fff"
    edge = FAINT if node.gradient is None else FAKE
    parts = [
        f'<rect width="{wide:g}" height="{high:g}" rx="4" fill="{fill}" stroke="{edge}"/>',
        f'<text x="{_PADDING}" y="{_LINE - 2}" fill="{REAL}" font-weight="600">{text(node.title)}</text>',
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
            f'<text x="{_PADDING + 12 + _CELL * (column + 1) - 6}" y="{y}" text-anchor="end" '
            f'data-value="{float(value)!r}">{significant(value)}</text>'
            for column, value in enumerate(row)
        )
        lines.append((f'<text x="{_PADDING}" y="{y}">{sign}</text>' if sign else "") + cells)
    return f'<g fill="{colour}">{"".join(lines)}</g>'
