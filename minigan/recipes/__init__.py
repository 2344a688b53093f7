"""The recipes by name."""

from __future__ import annotations

from minigan.errors import UsageError, did_you_mean
from minigan.recipes.mnist_mlp import MNIST_MLP, MNIST_MLP_SIGMOID
from minigan.recipes.recipe import Recipe

RECIPES = {recipe.name: recipe for recipe in (MNIST_MLP, MNIST_MLP_SIGMOID)}
DEFAULT = MNIST_MLP.name


def get(name: str) -> Recipe:
    """The recipe called `name`; raises UsageError, naming the nearest, if there is none."""
    try:
        return RECIPES[name]
    except KeyError:
        raise UsageError(f"there is no recipe '{name}'; {did_you_mean(name, RECIPES)}") from None
