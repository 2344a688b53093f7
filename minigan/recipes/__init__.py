"""Recipes: networks, losses and settings that are known to train, by name; and recipes from the user's files."""

from __future__ import annotations

from pathlib import Path

from minigan.core.errors import UsageError, did_you_mean
from minigan.recipes import user_recipe
from minigan.recipes.colour import COLOUR_MNIST, COLOUR_MNIST_DCGAN
from minigan.recipes.conditional import MNIST_ACGAN, MNIST_CGAN
from minigan.recipes.cycle import CYCLE_DIGITS, STYLE_FACES
from minigan.recipes.dcgan import DCGAN, DCGAN64, MNIST_DCGAN, MNIST_DCGAN_UPSAMPLE
from minigan.recipes.faces import FACES, FACES_ARTICLE
from minigan.recipes.features import FEATURES
from minigan.recipes.inpainting import FACES_INPAINT, MNIST_INPAINT
from minigan.recipes.mnist_mlp import MNIST_MLP, MNIST_MLP_SIGMOID
from minigan.recipes.recipe import Recipe, RecipeFile
from minigan.recipes.relu import MNIST_RELU, MNIST_RELU_LARGE
from minigan.recipes.semi_supervised import MNIST_SGAN
from minigan.recipes.stacked import STACKED_MNIST
from minigan.recipes.super_resolution import FACES_SR, MNIST_SR
from minigan.recipes.synthetic import POINT_RECIPES
from minigan.recipes.translation import EDGES_TO_DIGITS
from minigan.recipes.wasserstein import MNIST_WGAN, MNIST_WGAN_GP

__all__ = ["DEFAULT", "RECIPES", "Recipe", "RecipeFile", "forget_files", "get", "load_file", "loaded_files"]

_ALL = (
    MNIST_MLP, MNIST_MLP_SIGMOID, MNIST_RELU, MNIST_RELU_LARGE, MNIST_DCGAN, MNIST_DCGAN_UPSAMPLE, MNIST_WGAN,
    MNIST_WGAN_GP, MNIST_CGAN, MNIST_ACGAN, MNIST_SGAN, FEATURES, COLOUR_MNIST, COLOUR_MNIST_DCGAN, STACKED_MNIST,
    FACES, FACES_ARTICLE, DCGAN, DCGAN64, MNIST_SR, FACES_SR, MNIST_INPAINT, FACES_INPAINT, EDGES_TO_DIGITS,
    CYCLE_DIGITS, STYLE_FACES, *POINT_RECIPES,
)  # fmt: skip
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
"""Every recipe of minigan, by its name."""
DEFAULT = MNIST_MLP.name
"""The name of the recipe that `minigan train` takes if none is given."""

_from_files: dict[str, Recipe] = {}


def get(name: str) -> Recipe:
    """The recipe called `name`, of minigan or of a file that has been loaded with `load_file`.

    Raises UsageError, with the nearest name, if there is none.
    """
    if name in RECIPES:
        return RECIPES[name]
    if name in _from_files:
        return _from_files[name]
    raise UsageError(f"there is no recipe '{name}'; {did_you_mean(name, RECIPES)}")


def load_file(path: str | Path) -> Recipe:
    """The recipe that a Python file of the user's defines; from now on `get` knows it by its name.

    The file is executed. It defines RECIPE = Recipe(...), or a function build(shape, steps, seed, dtype, ...) that
    returns a GAN and whose further arguments, with defaults, are the settings; with DOMAIN, the kind of data (digits if
    it is left out). Raises UsageError if it defines no recipe, or one with the name of a recipe of minigan, and
    MiniganError, with the line, if its code fails.
    """
    recipe = user_recipe.load(Path(path))
    if recipe.name in RECIPES:
        raise UsageError(f"the recipe in {path} has the name of one of minigan's, '{recipe.name}'; give it another.")
    _from_files[recipe.name] = recipe
    return recipe


def loaded_files() -> list[str]:
    """The paths of the files that `load_file` has loaded."""
    return [recipe.file.path for recipe in _from_files.values() if recipe.file]


def forget_files() -> None:
    """Let `get` know minigan's own recipes only."""
    _from_files.clear()
