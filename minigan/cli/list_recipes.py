"""List the recipes and their settings."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.recipes import DEFAULT, RECIPES, Recipe
from minigan.recipes.settings import COMMON, MEANINGS


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
        data = recipe.domain.in_words(recipe.settings)
        print(f"{recipe.name}{default}: {recipe.summary}; {data}; {recipe.steps:,} steps")
        own = {key: value for key, value in recipe.settings.items() if COMMON.get(key) != value}
        _print_settings(own, recipe.domain.setting_meanings)
    print("every recipe also takes these settings, with these values unless others are listed above:")
    width = max(len(f"{key}={value}") for key, value in COMMON.items())
    for key, value in COMMON.items():
        print(f"    --set {f'{key}={value}':<{width}}  {MEANINGS[key]}".rstrip())
    return SUCCESS


def _content(recipe: Recipe) -> dict[str, Any]:
    shape = {recipe.domain.shape_key: recipe.domain.wanted_shape(recipe.settings)}
    return {"summary": recipe.summary, "steps": recipe.steps, **shape, "settings": recipe.settings}


def _print_settings(settings: Mapping[str, Any], meanings: Mapping[str, str]) -> None:
    for key, value in settings.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else value
        meaning = f"  {meanings[key]}" if key in meanings else ""
        print(f"    --set {key}={text}{meaning}")
