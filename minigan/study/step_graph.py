"""The section on one training step: the graphs of a very small GAN, with every value and every gradient.

Latents of 1 number, generator 1-2-2 and discriminator 2-2-1 with LeakyReLU, two examples, the non-saturating loss, and
plain gradient descent. The graphs are those that the forward passes recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, grad
from minigan.autodiff.graph import ancestors, backward_path
from minigan.autodiff.parameter import Parameter
from minigan.figures.graph_svg import GraphNode, graph_svg
from minigan.figures.html_parts import figure, picture
from minigan.gan import GAN, Pass, losses
from minigan.gan.inputs import UpdateInputs
from minigan.nn import Module
from minigan.optim import SGD
from minigan.study.section import Numbers, Section

SLOPE, LEARNING_RATE = 0.2, 0.5
LATENT = ((1.0,), (-0.5,))
REALS = ((1.5, 0.5), (1.0, 1.0))
WEIGHTS: dict[str, tuple[Any, ...]] = {
    "G.W1": ((0.8, -0.6),), "G.b1": (0.1, 0.2), "G.W2": ((0.5, -0.4), (0.3, 0.9)), "G.b2": (-0.2, 0.1),
    "D.W1": ((0.7, -0.5), (0.4, 0.6)), "D.b1": (0.0, 0.1), "D.W2": ((0.9,), (-0.8,)), "D.b2": (-0.1,),
}  # fmt: skip

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Graph:
    """A loss with everything that it was computed from; `nodes` are in the order of their computation."""

    title: str
    nodes: tuple[GraphNode, ...]

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
    return figure(f'<div class="wide">{picture(graph_svg(graph.nodes), alt)}</div>', caption)


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
    gan.update_discriminator(inputs)
    return discriminator_graph, _graph("G step", gan, inputs, gan.generator_pass(inputs, discriminator_pass))


def _graph(title: str, gan: GAN, inputs: UpdateInputs, forward: Pass) -> Graph:
    weights = gan.generator.parameters("G.") | gan.discriminator.parameters("D.")
    updated = [weight for name, weight in weights.items() if name[0] == title[0]]
    names = _names(inputs, forward) | {weight: name for name, weight in weights.items()}
    visited = [node for node, _ in backward_path(forward.objective, updated)]
    with_gradient = [*visited, *updated]
    gradients = dict(zip(with_gradient, grad(forward.objective, with_gradient), strict=True))
    nodes: dict[Any, GraphNode] = {}
    for tensor in ancestors(forward.objective):
        operation = _operation(tensor)
        name = names.get(tensor, f"{operation} {sum(node.title == operation for node in nodes.values()) + 1}")
        node_title = " = ".join(part for part in (names.get(tensor, ""), operation) if part)
        gradient = gradients[tensor].numpy() if tensor in gradients else None
        operands = tuple(nodes[parent].name for parent in tensor.parents if isinstance(parent, Tensor))
        nodes[tensor] = GraphNode(name, node_title, tensor.numpy(), gradient, operands, isinstance(tensor, Parameter))
    return Graph(title, tuple(nodes.values()))


def _names(inputs: UpdateInputs, forward: Pass) -> dict[Any, str]:
    """The Tensors that have a name of their own, with it."""
    names: dict[Any, str] = {inputs.latent: "z", inputs.real: "x", forward.fake: "G(z)", forward.objective: "loss"}
    names[forward.fake_logits] = "logits of G(z)"
    if forward.real_logits is not None:
        names[forward.real_logits] = "logits of x"
        (logits,) = forward.real_logits.parents
        names[logits] = "logits"
        names |= {x: "x and G(z)" for x in ancestors(logits) if x.rule is not None and x.rule.name == "concatenate"}
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


def _entry(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name
