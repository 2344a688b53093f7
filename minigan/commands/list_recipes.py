"""List the recipes and their settings."""

from __future__ import annotations

import argparse

from minigan.commands import options
from minigan.data import in_words
from minigan.recipes import DEFAULT, RECIPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan recipes`."""
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the recipes."""
    if arguments.json:
        options.print_json(
            {
                recipe.name: {
                    "summary": recipe.summary,
                    "steps": recipe.steps,
                    "image_shape": recipe.wanted_shape(recipe.settings),
                    "settings": recipe.settings,
                }
                for recipe in RECIPES.values()
            }
        )
        return 0
    for recipe in RECIPES.values():
        default = " (default)" if recipe.name == DEFAULT else ""
        shape = in_words(recipe.wanted_shape(recipe.settings))
        print(f"{recipe.name}{default}: {recipe.summary}; pictures {shape}; {recipe.steps:,} steps")
        for key, value in recipe.settings.items():
            text = ",".join(map(str, value)) if isinstance(value, list) else value
            print(f"    --set {key}={text}")
    return 0
