"""The backward pass of one training step in words: from each loss, operation by operation, to every weight.

It reads the graph that the forward pass has recorded (see `minigan.autodiff.graph`) and lets `grad` compute the
cotangent of every result in it. It defines no derivative of its own: each operation has formulas for the cotangents of
its inputs (see `minigan.autodiff.formula`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad
from minigan.autodiff.formula import formula_of, static_numbers
from minigan.autodiff.graph import backward_path
from minigan.autodiff.parameter import Parameter
from minigan.checking.finite_differences import differentiate
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.gan import GAN, Pass
from minigan.gan.batches import Batch
from minigan.gan.inputs import UpdateInputs, leaves
from minigan.nn import SpectralNorm
from minigan.nn.module import preserve_state

PLAYERS = ("discriminator", "generator")
_FIRST_STEP = 0.01  # of finite differences, relative to the length of the weight
_NESTED_LEVELS = 1  # how deep a constant expression is written out; "..." stands for what is nested deeper


@dataclass(frozen=True)
class Input:
    """An input of an operation, by its name in the formulas. `back`: the formula of its cotangent, if it gets one.

    source: the name of a weight, the name of a result that is visited later, or an expression without any weight.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    back: str | None


@dataclass(frozen=True)
class WeightGradient:
    """A weight whose gradient is complete, and the Euclidean norm of that gradient.

    error: its relative difference from finite differences along a line, None if they were not computed. at_kink:
    whether the one-sided slopes differ there, so that there is nothing to compare with.
    """

    weight: str
    shape: tuple[int, ...]
    norm: float
    error: float | None = None
    at_kink: bool = False


@dataclass(frozen=True)
class Visit:
    """One operation in the backward pass: its result, the norm of the result's cotangent, and its inputs.

    where: definitions that the formulas of the inputs share. settings: the numbers in these definitions, and the key of
    an index.
    arrivals: the weights whose gradients are complete after this operation.
    """

    result: str
    operation: str
    shape: tuple[int, ...]
    norm: float
    inputs: tuple[Input, ...]
    where: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    arrivals: tuple[WeightGradient, ...]


@dataclass(frozen=True)
class Walk:
    """The backward pass from the loss of `player`, of value `loss`, to all weights of that player, in its order."""

    player: str
    loss: float
    visits: tuple[Visit, ...]

    @property
    def arrivals(self) -> list[WeightGradient]:
        """All weights, in the order in which their gradients are complete."""
        return [arrival for visit in self.visits for arrival in visit.arrivals]


def walk_step(gan: GAN, batch: Batch, *, players: Sequence[str] = PLAYERS, check: bool = False) -> list[Walk]:
    """The walks from the objectives of `players` in one training step on `batch`, as `GAN.train_step` takes it.

    The discriminator is updated before the generator's pass, unless the updates are simultaneous; of several updates in
    a step the last one is explained. The generator is not updated. With `check` each gradient is compared with finite
    differences of its objective. Raises UsageError for `check` with spectral norm.
    """
    if check and any(isinstance(part, SpectralNorm) for part in gan.discriminator.modules()):
        raise UsageError(
            "finite differences cannot check a discriminator with spectral norm: its derivatives treat the singular "
            "vectors as constants, but every forward pass updates them; leave out either the check or spectral_norm."
        )
    *earlier, last = gan.draw(batch).updates
    for update in earlier:
        gan.update_discriminator(update)
    walks = []
    if "discriminator" in players:
        walks.append(_walk(gan, "discriminator", last, lambda: gan.discriminator_pass(last), check))
    with preserve_state(gan.generator):  # the generator's walk repeats this pass of the generator
        if gan.rules.simultaneous:
            gan.discriminator_pass(last)  # the discriminator's running statistics change as in the step
        else:
            gan.update_discriminator(last)
    if "generator" in players:
        walks.append(_walk(gan, "generator", last, lambda: gan.generator_pass(last), check))
    return walks


def _walk(gan: GAN, player: str, inputs: UpdateInputs, run_pass: Callable[[], Pass], check: bool) -> Walk:
    """The walk back through the pass that `run_pass` makes on `inputs`. The networks keep their state."""
    weights = _weights(gan, player)
    with preserve_state(gan.generator, gan.discriminator):
        results = run_pass()
        names: Names = {w: name for p in PLAYERS for name, w in _weights(gan, p).items()} | _names(inputs, results)
        walk = walk_back(player, results.objective, weights, names)
        gradients = dict(zip(weights, grad(results.objective, list(weights.values())), strict=True))
    if not check:
        return walk

    def objective() -> float:
        with preserve_state(gan.generator, gan.discriminator):  # so that dropout draws the same masks each time
            return run_pass().objective.item()

    def checked(arrival: WeightGradient) -> WeightGradient:
        error = slope_error(objective, weights[arrival.weight], gradients[arrival.weight].numpy())
        return dataclasses.replace(arrival, error=error, at_kink=error is None)

    visits = [dataclasses.replace(visit, arrivals=tuple(map(checked, visit.arrivals))) for visit in walk.visits]
    return dataclasses.replace(walk, visits=tuple(visits))


Names = dict[Tensor, str]


def _weights(gan: GAN, player: str) -> dict[str, Parameter]:
    """The weights of `player` by short names, such as D.4.weight in layer 4 of the discriminator."""
    return {f"{player[0].upper()}.{name}": weight for name, weight in getattr(gan, player).parameters().items()}


def _names(inputs: UpdateInputs, results: Pass) -> Names:
    """The names of the inputs of the pass, by their field in UpdateInputs, and of its results."""
    drawn = {leaf: part.name for part in dataclasses.fields(inputs) for leaf in leaves(getattr(inputs, part.name))}
    computed = {
        results.fake: "fake", results.real_logits: "D(real)", results.fake_logits: "D(fake)",
        results.penalty: "penalty", results.term: "generator term",
    }  # fmt: skip
    return {tensor: name for tensor, name in (drawn | computed).items() if isinstance(tensor, Tensor)}


def slope_error(value: Callable[[], float], weight: Parameter, gradient: np.ndarray) -> float | None:
    """The relative error of `gradient` along a line through `weight`, compared with finite differences of `value`.

    None at a kink, such as a bias of 0 that is the only input of a LeakyReLU. A slope smaller than the differences can
    resolve counts as the smallest one that they can.

    The direction is the sum of two unit vectors, the gradient's and a random one. In a weight with many elements, the
    slope along a random direction alone is nearly 0; along the gradient alone, an error orthogonal to it hardly shows.
    """
    start = weight.numpy()
    draw = random.generator(0, "direction of a check").standard_normal(weight.shape)
    direction = draw / np.linalg.norm(draw) + gradient / (np.linalg.norm(gradient) or 1.0)

    def along(t: float) -> float:
        weight.assign(start + t * direction)
        return value()

    expected, eps = float((gradient * direction).sum()), float(np.finfo(start.dtype).eps)
    size = float(np.linalg.norm(start)) or math.sqrt(start.size)
    middle = along(0.0)
    resolution = math.sqrt(eps) * abs(middle) / size  # the smallest slope that values of this size resolve
    try:
        measured = differentiate(
            along, middle, _FIRST_STEP * size, eps * abs(middle),
            is_acceptable=lambda e: e.error_bar <= math.sqrt(eps) * abs(e.value) + resolution,
        )  # fmt: skip
    finally:
        weight.assign(start)
    if measured.has_kink:
        return None
    slope = measured.central.value
    return abs(expected - slope) / max(abs(expected), abs(slope), resolution)


def walk_back(player: str, loss: Tensor, weights: Mapping[str, Parameter], names: Mapping[Tensor, str]) -> Walk:
    """The walk from the scalar `loss` to `weights`. `names`: the names of the weights and of other Tensors."""
    path = backward_path(loss, weights.values())
    results = [node for node, _ in path]
    targets = [*results, *weights.values()]
    cotangents = dict(zip(targets, grad(loss, targets), strict=True))
    unnamed = [node for node in reversed(results) if node is not loss and node not in names]
    all_names = dict(names) | {loss: "loss"} | {node: f"t{number}" for number, node in enumerate(unnamed, 1)}
    last_user = {x: node for node, flows in path for x, flows_on in zip(node.parents, flows, strict=True) if flows_on}
    visits = [
        _visit(node, flows, cotangents, all_names, [(n, w) for n, w in weights.items() if last_user.get(w) is node])
        for node, flows in path
    ]
    return Walk(player, loss.item(), tuple(visits))


def _visit(
    node: Any, flows: Sequence[bool], cotangents: Mapping[Any, Tensor], names: Mapping[Any, str],
    completed: Sequence[tuple[str, Parameter]],
) -> Visit:  # fmt: skip
    """The visit of `node`. flows: to which parents a cotangent flows. completed: weights with complete gradients."""
    formula = formula_of(node)
    arguments = list(formula.cotangents)
    arguments += [arguments[-1]] * (len(node.parents) - len(arguments))
    inputs = tuple(
        Input(argument, _source(x, names), getattr(x, "shape", ()), formula.cotangents[argument] if flows_on else None)
        for argument, x, flows_on in zip(arguments, node.parents, flows, strict=False)
    )
    arrivals = tuple(WeightGradient(name, weight.shape, _norm(cotangents[weight])) for name, weight in completed)
    where = tuple(formula.where.split("; ")) if formula.where else ()
    settings = [(name, f"{value:g}") for name, value in static_numbers(node).items() if name in formula.where]
    if "key" in node.static:
        settings.append(("key", _key_text(node.static["key"])))
    norm = _norm(cotangents[node])
    return Visit(names[node], formula.operation, node.shape, norm, inputs, where, tuple(settings), arrivals)


def _key_text(key: Any) -> str:
    """The key of an index as Python writes it between brackets."""
    if isinstance(key, tuple):
        return ", ".join(map(_key_text, key))
    if isinstance(key, slice):
        ends = ["" if end is None else str(end) for end in (key.start, key.stop)]
        return ":".join(ends if key.step is None else [*ends, str(key.step)])
    return "..." if key is Ellipsis else str(key) if key is None or isinstance(key, int) else "an array"


def _source(x: Any, names: Mapping[Any, str], depth: int = _NESTED_LEVELS) -> str:
    """The name of x if it has one, else the expression that computes it, `depth` operations deep."""
    if not isinstance(x, Tensor):
        return f"{x:g}"
    if x in names:
        return names[x]
    if x.rule is None:
        return "constant"
    operation = formula_of(x).operation.partition(" ")[0]
    inner = ", ".join(_source(part, names, depth - 1) for part in x.parents) if depth else "..."
    return f"{operation}({inner})"


def _norm(x: Tensor) -> float:
    return float(np.linalg.norm(x.numpy()))
