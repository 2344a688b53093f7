"""Cases of every recipe with narrow networks: each player's objective, as a function of its weights and inputs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from minigan.autodiff import Tensor, primitive, recording, vjp
from minigan.autodiff.parameter import Parameter
from minigan.gan import GAN, Pass
from minigan.gan.inputs import UpdateInputs
from minigan.gan.penalties import PENALTIES
from minigan.gan.unrolling import substituted
from minigan.nn.init import he_normal
from minigan.nn.module import preserve_state
from minigan.ops import absolute, mean
from minigan.optim.schedules import Constant, Linear
from minigan.recipes import RECIPES, Recipe
from minigan.recipes.settings import COMMON, Settings
from minigan.selftest import objectives
from minigan.selftest.case import Case, CheckedFunction
from minigan.selftest.sampler import Sampler

_BATCH = 4
_MOST_SIDE, _SMALL_SIDE = 32, 16  # pixels; of a picture; larger ones are checked small
_PLAYERS = ("discriminator", "generator")
_RULES: dict[str, tuple[Settings, tuple[str, ...]]] = {
    "packing": ({"packing": 2}, _PLAYERS),
    "smoothing-and-noise": ({"label_smoothing": 0.1, "instance_noise": 0.3}, _PLAYERS),
    "relative": ({"loss": "relativistic-average"}, _PLAYERS),
    "unrolling": ({"unroll_steps": 2, "packing": 2}, ("generator",)),
    "penalty-now-and-then": ({"penalty": "r1", "penalty_every": 3, "penalty_weight": 0.5}, ("discriminator",)),
    **{f"penalty-{name}": ({"penalty": name}, ("discriminator",)) for name in PENALTIES},
}
"""Further settings for one small recipe, and the players whose objectives they change."""


def _distance(fake: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
    return mean(absolute(fake - real))


_TERMS: dict[str, tuple[dict[str, Any], Settings]] = {
    "distance": ({"generator_term_weight": 3.0}, {}),
    "scheduled": ({"generator_term_weight": Linear(2.0, 0.0, 10), "adversarial_weight": Constant(0.3)}, {}),
    "alone": ({"adversarial_weight": 0.0}, {}),
    "unrolled": ({"adversarial_weight": 0.5}, {"unroll_steps": 2}),
}
"""Arguments of a GAN whose generator also minimises a distance to the data, and further settings of one recipe."""


def cases(seed: int = 0, dtype: str = "float64") -> Iterator[Case]:
    """A case of order 1 for each player of each recipe, and of one recipe under each of _RULES and _TERMS.

    The gradients that a training step passes to the player's optimiser, and those with respect to the examples and the
    latent vectors, are compared with finite differences of the player's objective in minigan.selftest.objectives.
    """
    for name, recipe in RECIPES.items():
        for player in _PLAYERS:
            case = f"recipes/{name}/{player}"
            yield Case(case, 1, functools.partial(_function, case, recipe, {}, player, seed, dtype))
    for name, (changes, players) in _RULES.items():
        for player in players:
            case = f"rules/{name}/{player}"
            yield Case(case, 1, functools.partial(_function, case, RECIPES["ring-plain"], changes, player, seed, dtype))
    for name, (weights, changes) in _TERMS.items():
        case, further = f"terms/{name}/generator", {"generator_term": _distance, **weights}
        recipe = replace(RECIPES["ring-plain"], objective=lambda *_, further=further: further)
        yield Case(case, 1, functools.partial(_function, case, recipe, changes, "generator", seed, dtype))


def narrowed(recipe: Recipe) -> dict[str, Any]:
    """Settings of the recipe with few channels and small pictures; derivatives have the same formulas at any size."""
    narrow: dict[str, Any] = {"latent_size": min(5, recipe.settings["latent_size"])}
    for key, value in recipe.settings.items():
        if key.endswith("_widths"):
            narrow[key] = [3 + place % 3 for place in range(len(value))]
        elif key.endswith("_dense") and value:
            narrow[key] = 6
        elif key == "image_size" and max(recipe.domain.shape) > _MOST_SIDE:
            narrow[key] = _SMALL_SIDE
    return narrow


def enlarge(gan: GAN, sampler: Sampler) -> None:
    """Give `gan` weights as large as in a trained network; with initial weights many sums lie near a kink."""
    for network in (gan.generator, gan.discriminator):
        for parameter in network.parameters().values():
            values = he_normal(sampler.rng, parameter.shape) if parameter.ndim > 1 else sampler.signed(parameter.size)
            parameter.assign(values)


def _function(name: str, recipe: Recipe, changes: Settings, player: str, seed: int, dtype: str) -> CheckedFunction:
    sampler = Sampler(seed, name, dtype)
    changes = narrowed(recipe) | changes
    gan = recipe.build(seed=seed, dtype=dtype, **changes)
    enlarge(gan, sampler)
    inputs = gan.draw(examples(recipe, sampler, _BATCH * gan.rules.n_critic)).updates[0]
    own_loss = {"loss": None} if "loss" in recipe.fixed else {}
    settings = COMMON | own_loss | recipe.resolve(changes)
    is_d = player == "discriminator"
    fields: tuple[str, ...] = ("real", "latent") if is_d else ("latent",)
    expected = objectives.discriminator_objective if is_d else objectives.generator_objective
    forward = gan.discriminator_pass if is_d else functools.partial(_generator_pass, gan)
    weights = getattr(gan, player).parameters()
    objective = _objective(gan, inputs, fields, weights.values(), functools.partial(expected, gan, settings), forward)

    def f(*tensors: Tensor) -> Tensor:
        return objective(*tensors, *weights.values())

    arrays = [getattr(inputs, field).numpy() for field in fields]
    return CheckedFunction(f, arrays, weights, [gan.generator, gan.discriminator], fields)


def _generator_pass(gan: GAN, inputs: UpdateInputs) -> Pass:
    """The generator's pass as in a training step, with the samples of a discriminator's pass."""
    with preserve_state(gan.discriminator):  # so that its dropout draws the same masks in both passes
        d_pass = gan.discriminator_pass(inputs)
    return gan.generator_pass(inputs, d_pass)


def _objective(
    gan: GAN, inputs: UpdateInputs, fields: Sequence[str], weights: Iterable[Parameter],
    expected: Callable[[UpdateInputs], Tensor], forward: Callable[[UpdateInputs], Pass],
) -> Callable[..., Tensor]:  # fmt: skip
    """An operation on `fields` of `inputs` and on `weights`, for `gradcheck`.

    Its value is the `expected` objective, and its derivative is the gradient of the objective of the `forward` pass of
    a training step.
    """
    networks, weights = (gan.generator, gan.discriminator), list(weights)

    def with_fields(tensors: Iterable[Tensor]) -> UpdateInputs:
        return replace(inputs, **dict(zip(fields, tensors, strict=False)))

    def training_objective(*tensors: Tensor) -> Tensor:
        new = dict(zip(weights, tensors[len(fields) :], strict=True))
        with preserve_state(*networks), substituted(gan.generator, new), substituted(gan.discriminator, new):
            return forward(with_fields(tensors)).objective

    def training_gradients(g: Tensor, y: Tensor, *tensors: Tensor, needs_grad: Any) -> list[Tensor]:
        with recording(True):
            value = training_objective(*tensors)
        of_weights = vjp(value, tensors[len(fields) :], g)  # in a call of its own, as for the optimiser
        return [*vjp(value, tensors[: len(fields)], g), *of_weights]

    @primitive(joint=training_gradients, composite=training_objective)
    def objective(B: Any, *arrays: Any) -> Any:
        with preserve_state(*networks):
            return expected(with_fields(map(Tensor, arrays))).data

    return objective


def examples(recipe: Recipe, sampler: Sampler, count: int = _BATCH) -> Any:
    """`count` random examples of the shape and value range of the recipe's data, with conditions if it has any."""
    settings = recipe.resolve(narrowed(recipe))
    x = recipe.domain.noise(count, settings, sampler.rng, sampler.dtype)
    y = recipe.domain.noise_condition(count, settings, sampler.rng, sampler.dtype)
    return x if y is None else (x, y)
