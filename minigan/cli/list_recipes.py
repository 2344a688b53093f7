"""List the recipes and their settings."""

from __future__ import annotations

import argparse
from typing import Any

from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.data import in_words
from minigan.recipes import DEFAULT, RECIPES, PictureRecipe, Recipe
from minigan.recipes.game import COMMON, MEANINGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan recipes`."""
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the recipes."""
    if arguments.json:
        options.print_json({recipe.name: _content(recipe) for recipe in RECIPES.values()})
        return SUCCESS
    for recipe in RECIPES.values():
        default = " (default)" if recipe.name == DEFAULT else ""
        print(f"{recipe.name}{default}: {recipe.summary}; {_data(recipe)}; {recipe.steps:,} steps")
        own = {key: value for key, value in recipe.settings.items() if COMMON.get(key) != value}
        _print_settings(own)
    print("all of them also take these, with these values where nothing else is said above:")
    width = max(len(f"{key}={value}") for key, value in COMMON.items())
    for key, value in COMMON.items():
        print(f"    --set {f'{key}={value}':<{width}}  {MEANINGS[key]}".rstrip())
    return SUCCESS


def _content(recipe: Recipe) -> dict[str, Any]:
    kind = "image_shape" if isinstance(recipe, PictureRecipe) else "shape"
    shape = recipe.wanted_shape(recipe.settings)
    return {"summary": recipe.summary, "steps": recipe.steps, kind: shape, "settings": recipe.settings}


def _data(recipe: Recipe) -> str:
    if isinstance(recipe, PictureRecipe):
        return f"pictures {in_words(recipe.wanted_shape(recipe.settings))}"
    return "points of the plane"


def _print_settings(settings: dict[str, Any]) -> None:
    for key, value in settings.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else value
        print(f"    --set {key}={text}{_OF_SHAPE.get(key, '')}")


_AS_THEY_ARE = "; 0: as said above, and digits and IDX files stay as they are"
_OF_SHAPE = {
    "image_size": f"  pixels of a side{_AS_THEY_ARE}",
    "channels": f"  1 (grey) or 3 (colour){_AS_THEY_ARE}",
}
