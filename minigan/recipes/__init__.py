"""Recipes: networks, losses and settings that are known to train, by name."""

from __future__ import annotations

from minigan.core.errors import UsageError, did_you_mean
from minigan.recipes.dcgan import DCGAN64, MNIST_DCGAN, MNIST_DCGAN_UPSAMPLE
from minigan.recipes.mnist_mlp import MNIST_MLP, MNIST_MLP_SIGMOID
from minigan.recipes.recipe import Recipe
from minigan.recipes.synthetic import POINT_RECIPES

__all__ = ["DEFAULT", "RECIPES", "Recipe", "get"]

_ALL = (MNIST_MLP, MNIST_MLP_SIGMOID, MNIST_DCGAN, MNIST_DCGAN_UPSAMPLE, DCGAN64, *POINT_RECIPES)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
"""Every recipe, by its name."""
DEFAULT = MNIST_MLP.name
"""The name of the recipe that `minigan train` takes if none is given."""


def get(name: str) -> Recipe:
    """The recipe called `name`; raises UsageError, with the nearest name, if there is none."""
    try:
        return RECIPES[name]
    except KeyError:
        raise UsageError(f"there is no recipe '{name}'; {did_you_mean(name, RECIPES)}") from None
