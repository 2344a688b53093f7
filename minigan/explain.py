"""The backward walk of one training step: from each loss, operation by operation, to every weight that learns from it.

The walk reads the graph that the forward pass left (`Tensor.parents`, `Tensor.rule`) and asks `grad` for the cotangent
of every result on the way; nothing of the engine is done twice. `FORMULAS` says in words of NumPy what each operation
sends back to its inputs.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad
from minigan.autodiff.graph import backward_path
from minigan.autodiff.parameter import Parameter
from minigan.checking.finite_differences import differentiate
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.gan import GAN, Pass
from minigan.gan.inputs import UpdateInputs, leaves
from minigan.nn import SpectralNorm
from minigan.nn.module import preserve_state

PLAYERS = ("discriminator", "generator")
_GATE = "h = where(z > 0, g, slope * g)"
_FIRST_STEP = 0.01  # of the length of the weights
_NESTED = 1  # levels of operations that are written out where the walk does not go


@dataclass(frozen=True)
class Formula:
    """What an operation sends back: for each of its inputs, by name, a formula; `where` defines what these share.

    g is the cotangent of the result y, z is y before a LeakyReLU that the operation includes. `sum` and `mean` without
    an axis run over all axes but the last, n is the count of numbers in x, and an input that was broadcast gets the
    sum over its copies. The last input's formula serves for further ones.
    """

    back: Mapping[str, str]
    where: str = ""


FORMULAS: dict[str, Formula] = {
    "add": Formula({"a": "g", "b": "g"}),
    "subtract": Formula({"a": "g", "b": "-g"}),
    "multiply": Formula({"a": "g * b", "b": "g * a"}),
    "divide": Formula({"a": "g / b", "b": "-g * y / b"}),
    "negative": Formula({"x": "-g"}),
    "power": Formula({"x": "exponent * g * x**(exponent - 1)"}),
    "exp": Formula({"x": "g * y"}),
    "log": Formula({"x": "g / x"}),
    "sqrt": Formula({"x": "g / (2 * y)"}),
    "sign": Formula({"x": "0"}),
    "absolute": Formula({"x": "g * sign(x)"}),
    "share_of_largest": Formula({"x": "0"}),
    "share_of_maximum": Formula({"a": "0", "b": "0"}),
    "maximum": Formula({"a": "g * share_of_maximum(a, b)", "b": "g * share_of_maximum(b, a)"}),
    "sin": Formula({"x": "g * cos(x)"}),
    "cos": Formula({"x": "-g * sin(x)"}),
    "tanh": Formula({"x": "g * (1 - y**2)"}),
    "sigmoid": Formula({"x": "g * y * (1 - y)"}),
    "softplus": Formula({"x": "g * sigmoid(x)"}),
    "slope_gate": Formula({"x": "0", "v": "where(x > 0, g, slope * g)"}),
    "leaky_relu": Formula({"x": "where(x > 0, g, slope * g)"}),
    "matmul": Formula({"a": "g @ b.T", "b": "a.T @ g"}),
    "matmul a.T b": Formula({"a": "b @ g.T", "b": "a @ g"}),
    "matmul a b.T": Formula({"a": "g @ b", "b": "g.T @ a"}),
    "matmul a.T b.T": Formula({"a": "b.T @ g.T", "b": "g.T @ a.T"}),
    "dense": Formula({"x": "h @ w.T", "w": "x.T @ h", "b": "sum(h)"}, _GATE),
    "batch_norm": Formula(
        {"x": "gamma / s * (h - mean(h) - u * mean(h * u))", "gamma": "sum(h * u)", "beta": "sum(h)"},
        f"{_GATE}; u = (x - mean(x)) / s; s = sqrt(mean((x - mean(x))**2) + eps)",
    ),
    "softmax": Formula({"x": "y * (g - sum(g * y, axis))"}),
    "logsumexp": Formula({"x": "repeat(g, x) * softmax(x, axis)"}),
    "mean_softplus": Formula({"x": "sign * g * sigmoid(sign * x) / n"}),
    "sum": Formula({"x": "repeat(g, x)"}),
    "broadcast_to": Formula({"x": "g"}),
    "reshape": Formula({"x": "reshape(g, x.shape)"}),
    "transpose": Formula({"x": "transpose(g, inverse(axes))"}),
    "concatenate": Formula({"part": "own_part(g)"}),
    "index": Formula({"x": "zeros_but(g, key)"}),
    "place": Formula({"x": "g[key]"}),
    "pad": Formula({"x": "without_border(g)"}),
    "same": Formula({"x": "g"}),
    "copied": Formula({"x": "g"}),
    "constant_like": Formula({"x": "0"}),
    "conv2d": Formula({"x": "conv2d_input_grad(g, w)", "w": "conv2d_weight_grad(x, g)"}),
    "conv2d + bias": Formula(
        {"x": "conv2d_input_grad(h, w)", "w": "conv2d_weight_grad(x, h)", "b": "sum(h)"}, _GATE
    ),
    "conv_transpose2d": Formula({"x": "conv2d(g, w)", "w": "conv2d_weight_grad(g, x)"}),
    "conv_transpose2d + bias": Formula({"x": "conv2d(h, w)", "w": "conv2d_weight_grad(h, x)", "b": "sum(h)"}, _GATE),
    "conv2d_weight_grad": Formula({"x": "conv2d_input_grad(c, g)", "c": "conv2d(x, g)"}),
    "from_windows": Formula({"x": "to_windows(g)", "chosen": "0"}),
    "to_windows": Formula({"x": "from_windows(g)", "chosen": "0"}),
    "largest_tap": Formula({"x": "0"}),
}  # fmt: skip


@dataclass(frozen=True)
class Input:
    """What an operation was given, by its name in the formulas; `back` is what it gets, None if nothing is asked for.

    `source` says what it is: a weight, a result of an operation visited later on, or an expression without any weight.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    back: str | None


@dataclass(frozen=True)
class Arrival:
    """A weight whose gradient is complete, and its Euclidean norm.

    error: that of its slope along a line, relatively, if it was measured; `at_kink`, if the slopes from left and right
    differ, so that there is nothing to compare.
    """

    weight: str
    shape: tuple[int, ...]
    norm: float
    error: float | None = None
    at_kink: bool = False


@dataclass(frozen=True)
class Visit:
    """An operation on the way back: its result, the norm of the cotangent that flows there, and where that goes on.

    `where` are the definitions that the formulas share, `settings` the numbers in these, and which elements an index
    takes.
    """

    result: str
    operation: str
    shape: tuple[int, ...]
    norm: float
    inputs: tuple[Input, ...]
    where: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True)
class Walk:
    """From one loss, of value `loss`, back to every weight of `player`, in the order of the backward pass."""

    player: str
    loss: float
    visits: tuple[Visit, ...]

    @property
    def arrivals(self) -> list[Arrival]:
        """Every weight, in the order in which their gradients are complete."""
        return [arrival for visit in self.visits for arrival in visit.arrivals]


def formula_of(y: Any) -> tuple[str, Formula]:
    """The name of the operation that made y, and its formula; what each input is sent has this use's numbers in it."""
    operation = _operation(y.rule.name, y.static)
    formula = FORMULAS[operation]
    if y.static.get("slope") == 1 and _GATE in formula.where:
        back = {name: re.sub(r"\bh\b", "g", text) for name, text in formula.back.items()}
        formula = Formula(back, formula.where.removeprefix(_GATE).removeprefix("; "))
    return operation, dataclasses.replace(
        formula, back={name: _filled(text, _numbers(y)) for name, text in formula.back.items()}
    )


def _numbers(y: Any) -> dict[str, float]:
    return {name: value for name, value in y.static.items() if type(value) in (int, float)}


def _filled(text: str, numbers: Mapping[str, float]) -> str:
    for name, value in numbers.items():
        text = re.sub(rf"(?<!\.)\b{name}\b", f"{value:g}", text)
    return re.sub(r"(?<![\w.])1 \* ", "", text.replace("-1 * ", "-"))


def _operation(rule: str, static: Mapping[str, Any]) -> str:
    """The name under which an operation is known outside of the engine."""
    if rule == "matmul":
        a, b = ("a.T" if static["transpose_a"] else "a"), ("b.T" if static["transpose_b"] else "b")
        return rule if (a, b) == ("a", "b") else f"{rule} {a} {b}"
    if rule == "fused":
        return f"{'conv_transpose2d' if static['transposed'] else 'conv2d'} + bias"
    return {"input_grad": "conv_transpose2d", "weight_grad": "conv2d_weight_grad"}.get(rule, rule)


def walk_step(gan: GAN, real: Tensor, *, players: Sequence[str] = PLAYERS, check: bool = False) -> list[Walk]:
    """The walk back from what each of `players` minimises in one training step, as `GAN.train_step` takes it on `real`.

    The discriminator learns in between, unless the rules say otherwise; of several updates in a step its last is
    walked. The generator stays as it is. With `check` the slope of each objective along each weight is measured from
    its values alone, for comparison.
    """
    if check and any(isinstance(part, SpectralNorm) for part in gan.discriminator.modules()):
        raise UsageError(
            "the slopes of a discriminator with spectral norm were asked for, but its derivatives hold the singular "
            "vectors constant, which every value moves on; leave out either the check or spectral_norm."
        )
    *earlier, last = gan.draw(real).updates
    for update in earlier:
        _learn(gan, gan.discriminator_pass(update), update)
    walks = []
    if "discriminator" in players:
        walks.append(_walk(gan, "discriminator", last, lambda: gan.discriminator_pass(last), check))
    with preserve_state(gan.generator):  # whose pass the generator's walk makes once more
        judged = gan.discriminator_pass(last)
    if not gan.rules.simultaneous:
        _learn(gan, judged, last)
    if "generator" in players:
        walks.append(_walk(gan, "generator", last, lambda: gan.generator_pass(last), check))
    return walks


def _learn(gan: GAN, judged: Pass, inputs: UpdateInputs) -> None:
    """The discriminator's update."""
    optimizer = gan.discriminator_optimizer
    optimizer.step(grad(judged.objective, optimizer.parameters), inputs.update_scalars)


def _walk(gan: GAN, player: str, inputs: UpdateInputs, make: Callable[[], Pass], check: bool) -> Walk:
    """The walk back through the pass that `make` makes on `inputs`; it leaves the networks as they were."""
    weights = _weights(gan, player)
    with preserve_state(gan.generator, gan.discriminator):
        made = make()
        names: Names = {w: name for p in PLAYERS for name, w in _weights(gan, p).items()} | _names(inputs, made)
        walk = walk_back(player, made.objective, weights, names)
        gradients = dict(zip(weights, grad(made.objective, list(weights.values())), strict=True))
    if not check:
        return walk

    def value_again() -> float:
        with preserve_state(gan.generator, gan.discriminator):  # so that dropout draws the same again
            return make().objective.item()

    def checked(arrival: Arrival) -> Arrival:
        error = slope_error(value_again, weights[arrival.weight], gradients[arrival.weight].numpy())
        return dataclasses.replace(arrival, error=error, at_kink=error is None)

    visits = [dataclasses.replace(visit, arrivals=tuple(map(checked, visit.arrivals))) for visit in walk.visits]
    return dataclasses.replace(walk, visits=tuple(visits))


Names = dict[Tensor, str]


def _weights(gan: GAN, player: str) -> dict[str, Parameter]:
    """The player's weights by short names, such as D.4.weight for that of the discriminator's layer 4."""
    return {f"{player[0].upper()}.{name}": weight for name, weight in getattr(gan, player).parameters().items()}


def _names(inputs: UpdateInputs, made: Pass) -> Names:
    """What a reader should recognise: what was drawn, by the names in UpdateInputs, and what the pass made of it."""
    drawn = {leaf: part.name for part in dataclasses.fields(inputs) for leaf in leaves(getattr(inputs, part.name))}
    results = {
        made.fake: "fake", made.real_logits: "D(real)", made.fake_logits: "D(fake)", made.penalty: "penalty"
    }  # fmt: skip
    return {tensor: name for tensor, name in (drawn | results).items() if isinstance(tensor, Tensor)}


def slope_error(value: Callable[[], float], weight: Parameter, gradient: np.ndarray) -> float | None:
    """By how much, relatively, `gradient` (of the shape of `weight`) is off along a line, from values alone.

    None at a kink, such as a bias of 0 that is all that a LeakyReLU sees. A slope too small for the values to tell
    counts as one that they can just tell.

    The line goes half along the gradient, half in a random direction: along a random one alone the slope in a large
    weight is nearly 0, along the gradient alone an error across it would hardly show.
    """
    start = weight.numpy()
    draw = random.generator(0, "direction of a check").standard_normal(weight.shape)
    direction = draw / np.linalg.norm(draw) + gradient / (np.linalg.norm(gradient) or 1.0)

    def along(t: float) -> float:
        weight.assign(start + t * direction)
        return value()

    claimed, eps = float((gradient * direction).sum()), float(np.finfo(start.dtype).eps)
    size = float(np.linalg.norm(start)) or math.sqrt(start.size)
    middle = along(0.0)
    told = math.sqrt(eps) * abs(middle) / size  # a slope that values of this size can just tell from 0
    try:
        found = differentiate(
            along, middle, _FIRST_STEP * size, eps * abs(middle),
            is_acceptable=lambda e: e.error_bar <= math.sqrt(eps) * abs(e.value) + told,
        )  # fmt: skip
    finally:
        weight.assign(start)
    if found.has_kink:
        return None
    return abs(claimed - found.central.value) / max(abs(claimed), abs(found.central.value), told)


def walk_back(player: str, loss: Tensor, weights: Mapping[str, Parameter], names: Mapping[Tensor, str]) -> Walk:
    """The walk from the scalar `loss` to `weights`; `names` of these and of all else that a reader should recognise."""
    path = backward_path(loss, weights.values())
    wanted = [node for node, _ in path]
    cotangents = dict(zip([*wanted, *weights.values()], grad(loss, [*wanted, *weights.values()]), strict=True))
    inner = [node for node in reversed(wanted) if node is not loss and node not in names]
    named = dict(names) | {loss: "loss"} | {node: f"t{number}" for number, node in enumerate(inner, 1)}
    last = {x: node for node, leads in path for x, leading in zip(node.parents, leads, strict=True) if leading}
    visits = [
        _visit(node, leads, cotangents, named, [(n, w) for n, w in weights.items() if last.get(w) is node])
        for node, leads in path
    ]
    return Walk(player, loss.item(), tuple(visits))


def _visit(
    node: Any, leads: Sequence[bool], cotangents: Mapping[Any, Tensor], named: Mapping[Any, str],
    arriving: Sequence[tuple[str, Parameter]],
) -> Visit:  # fmt: skip
    operation, formula = formula_of(node)
    arguments = list(formula.back)
    arguments += [arguments[-1]] * (len(node.parents) - len(arguments))
    inputs = [
        Input(argument, _source(x, named), getattr(x, "shape", ()), formula.back[argument] if leading else None)
        for argument, x, leading in zip(arguments, node.parents, leads, strict=False)
    ]
    arrivals = [Arrival(name, weight.shape, _norm(cotangents[weight])) for name, weight in arriving]
    where = tuple(formula.where.split("; ")) if formula.where else ()
    settings = [(name, f"{value:g}") for name, value in _numbers(node).items() if name in formula.where]
    if "key" in node.static:
        settings.append(("key", _key(node.static["key"])))
    norm = _norm(cotangents[node])
    return Visit(named[node], operation, node.shape, norm, tuple(inputs), where, tuple(settings), tuple(arrivals))


def _key(key: Any) -> str:
    """What an index takes, as one writes it."""
    if isinstance(key, tuple):
        return ", ".join(map(_key, key))
    if isinstance(key, slice):
        ends = ["" if end is None else str(end) for end in (key.start, key.stop)]
        return ":".join(ends if key.step is None else [*ends, str(key.step)])
    return "..." if key is Ellipsis else str(key) if key is None or isinstance(key, int) else "an array"


def _source(x: Any, named: Mapping[Any, str], depth: int = _NESTED) -> str:
    if not isinstance(x, Tensor):
        return f"{x:g}"
    if x in named:
        return named[x]
    if x.rule is None:
        return "constant"
    operation = _operation(x.rule.name, x.static).partition(" ")[0]
    inner = ", ".join(_source(part, named, depth - 1) for part in x.parents) if depth else "..."
    return f"{operation}({inner})"


def _norm(x: Tensor) -> float:
    return float(np.linalg.norm(x.numpy()))
