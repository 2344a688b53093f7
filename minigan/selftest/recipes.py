"""Every recipe, with narrow networks: what each player minimises, as a function of its weights and its input."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, primitive, recording, vjp
from minigan.autodiff.parameter import Parameter
from minigan.gan import GAN, Pass
from minigan.gan.inputs import UpdateInputs
from minigan.gan.penalties import PENALTIES
from minigan.gan.unrolling import substituted
from minigan.nn.init import he_normal
from minigan.nn.module import preserve_state
from minigan.recipes import RECIPES, Recipe
from minigan.recipes.settings import Settings
from minigan.selftest import objectives
from minigan.selftest.case import Case, CheckedFunction
from minigan.selftest.sampler import Sampler

_BATCH = 4
_PLAYERS = ("discriminator", "generator")
_RULES: dict[str, tuple[Settings, tuple[str, ...]]] = {
    "packing": ({"packing": 2}, _PLAYERS),
    "smoothing-and-noise": ({"label_smoothing": 0.1, "instance_noise": 0.3}, _PLAYERS),
    "relative": ({"loss": "relativistic-average"}, _PLAYERS),
    "unrolling": ({"unroll_steps": 2, "packing": 2}, ("generator",)),
    "penalty-now-and-then": ({"penalty": "r1", "penalty_every": 3, "penalty_weight": 0.5}, ("discriminator",)),
    **{f"penalty-{name}": ({"penalty": name}, ("discriminator",)) for name in PENALTIES},
}
"""Settings that one small recipe is checked with too, and the players whose objectives they change."""


def cases(seed: int = 0, dtype: str = "float64") -> Iterator[Case]:
    """A case of order 1 for each player of each recipe, and of one recipe under other rules.

    What is checked is the gradient that a training step gives the player's optimiser, and that of the examples and of
    the latent vectors, against the slopes of the player's objective as minigan.selftest.objectives states it.
    """
    for name, recipe in RECIPES.items():
        for player in _PLAYERS:
            case = f"recipes/{name}/{player}"
            yield Case(case, 1, functools.partial(_subject, case, recipe, {}, player, seed, dtype))
    for name, (changes, players) in _RULES.items():
        for player in players:
            case = f"rules/{name}/{player}"
            yield Case(case, 1, functools.partial(_subject, case, RECIPES["ring-plain"], changes, player, seed, dtype))


def narrowed(recipe: Recipe) -> dict[str, Any]:
    """The settings of the recipe with few channels: the derivatives are the same formulas at any width."""
    narrow: dict[str, Any] = {"latent_size": min(5, recipe.settings["latent_size"])}
    for key, value in recipe.settings.items():
        if key.endswith("_widths"):
            narrow[key] = [3 + place % 3 for place in range(len(value))]
        elif key.endswith("_dense") and value:
            narrow[key] = 6
    return narrow


def enlarge(gan: GAN, draw: Sampler) -> None:
    """Give it weights as large as in the midst of training: at first many sums lie near their kinks."""
    for network in (gan.generator, gan.discriminator):
        for parameter in network.parameters().values():
            values = he_normal(draw.rng, parameter.shape) if parameter.ndim > 1 else draw.signed(parameter.size)
            parameter.assign(values)


def _subject(name: str, recipe: Recipe, changes: Settings, player: str, seed: int, dtype: str) -> CheckedFunction:
    draw = Sampler(seed, name, dtype)
    changes = narrowed(recipe) | changes
    gan = recipe.build(seed=seed, dtype=dtype, **changes)
    enlarge(gan, draw)
    inputs = gan.draw(examples(recipe, draw, _BATCH * gan.rules.n_critic)).updates[0]
    given: tuple[str, ...] = ("real", "latent") if player == "discriminator" else ("latent",)
    stated = objectives.of_discriminator if player == "discriminator" else objectives.of_generator
    made = gan.discriminator_pass if player == "discriminator" else functools.partial(_answer, gan)
    weights = getattr(gan, player).parameters()
    objective = _objective(
        gan, inputs, given, weights.values(), functools.partial(stated, gan, recipe.resolve(changes)), made
    )

    def of_given(*tensors: Tensor) -> Tensor:
        return objective(*tensors, *weights.values())

    arrays = [getattr(inputs, field).numpy() for field in given]
    return CheckedFunction(of_given, arrays, weights, [gan.generator, gan.discriminator], given)


def _answer(gan: GAN, inputs: UpdateInputs) -> Pass:
    """The generator's pass as a training step makes it, for fakes that the discriminator's pass has made before."""
    with preserve_state(gan.discriminator):  # so that its dropout draws for both passes what it draws for the objective
        judged = gan.discriminator_pass(inputs)
    return gan.generator_pass(inputs, judged)


def _objective(
    gan: GAN, inputs: UpdateInputs, given: Sequence[str], weights: Iterable[Parameter],
    stated: Callable[[UpdateInputs], Tensor], made: Callable[[UpdateInputs], Pass],
) -> Callable[..., Tensor]:  # fmt: skip
    """An operation on the `given` fields of `inputs` and on `weights`: the objective as `stated`.

    Its derivative is the gradient of the pass that a training step has `made`, so that both can be held together.
    """
    networks, weights = (gan.generator, gan.discriminator), list(weights)

    def on(leaves: Iterable[Tensor]) -> UpdateInputs:
        return replace(inputs, **dict(zip(given, leaves, strict=False)))

    def of_pass(*leaves: Tensor) -> Tensor:
        own = dict(zip(weights, leaves[len(given) :], strict=True))
        with preserve_state(*networks), substituted(gan.generator, own), substituted(gan.discriminator, own):
            return made(on(leaves)).objective

    def as_in_training(g: Tensor, y: Tensor, *leaves: Tensor, wanted: Any) -> list[Tensor]:
        with recording(True):
            value = of_pass(*leaves)
        of_weights = vjp(value, leaves[len(given) :], g)  # of these alone, as the optimiser is given it
        return [*vjp(value, leaves[: len(given)], g), *of_weights]

    @primitive(joint=as_in_training, composite=of_pass)
    def objective(B: Any, *arrays: Any) -> Any:
        with preserve_state(*networks):
            return stated(on(map(Tensor, arrays))).data

    return objective


def examples(recipe: Recipe, draw: Sampler, count: int = _BATCH) -> np.ndarray:
    """`count` examples of what the recipe might learn from."""
    return recipe.domain.noise(count, recipe.settings, draw.rng, draw.dtype)
