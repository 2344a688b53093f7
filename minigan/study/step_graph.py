"""One training step of the smallest GAN there is, drawn as a graph with every value and every gradient on it.

Latent of 1 number, generator 1-2-2 and discriminator 2-2-1 with LeakyReLU, two examples, the non-saturating loss, and
plain gradient descent. The graph is the one that the forward pass left: nothing is drawn by hand.
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
from minigan.gan import GAN, Pass, losses
from minigan.gan.inputs import UpdateInputs
from minigan.nn import Module
from minigan.optim import SGD
from minigan.study.section import Numbers, Section, figure, picture

SLOPE, RATE = 0.2, 0.5
LATENT = ((1.0,), (-0.5,))
REALS = ((1.5, 0.5), (1.0, 1.0))
WEIGHTS: dict[str, tuple[Any, ...]] = {
    "G.W1": ((0.8, -0.6),), "G.b1": (0.1, 0.2), "G.W2": ((0.5, -0.4), (0.3, 0.9)), "G.b2": (-0.2, 0.1),
    "D.W1": ((0.7, -0.5), (0.4, 0.6)), "D.b1": (0.0, 0.1), "D.W2": ((0.9,), (-0.8,)), "D.b2": (-0.1,),
}  # fmt: skip

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Graph:
    """A loss with all that it was computed from; `nodes` in the order in which they were made."""

    title: str
    nodes: tuple[GraphNode, ...]

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
    return figure(f'<div class="wide">{picture(graph_svg(graph.nodes), alt)}</div>', caption)


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
    nodes: dict[Any, GraphNode] = {}
    for tensor in ancestors(made.objective):
        operation = _in_words(tensor)
        name = named.get(tensor, f"{operation} {sum(node.title == operation for node in nodes.values()) + 1}")
        shown = " = ".join(part for part in (named.get(tensor, ""), operation) if part)
        gradient = gradients[tensor].numpy() if tensor in gradients else None
        operands = tuple(nodes[parent].name for parent in tensor.parents if isinstance(parent, Tensor))
        nodes[tensor] = GraphNode(name, shown, tensor.numpy(), gradient, operands, isinstance(tensor, Parameter))
    return Graph(title, tuple(nodes.values()))


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
