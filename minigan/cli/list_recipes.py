"""List the recipes and their settings."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

from minigan import recipes
from minigan.cli import options
from minigan.cli.exit_codes import SUCCESS
from minigan.recipes import DEFAULT, RECIPES, Recipe, values
from minigan.recipes.settings import COMMON, MEANINGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `minigan recipes`."""
    parser.add_argument(
        "recipe", metavar="RECIPE", nargs="?",
        help="explain all settings of this recipe, or of the Python file of yours that defines one (default: list all)",
    )  # fmt: skip
    options.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the recipes, or one of them with all its settings."""
    name = arguments.recipe
    own_recipe = options.load_recipe_file(name if name and name.endswith(".py") else None)
    if name:
        recipe = own_recipe or recipes.get(name)
        if arguments.json:
            options.print_json(_explained(recipe))
        else:
            _print_explained(recipe)
    elif arguments.json:
        options.print_json({recipe.name: _content(recipe) for recipe in RECIPES.values()})
    else:
        _print_all()
    return SUCCESS


def _print_all() -> None:
    for recipe in RECIPES.values():
        default = " (default)" if recipe.name == DEFAULT else ""
        print(f"{recipe.name}{default}: {_in_words(recipe)}")
        own = {key: value for key, value in recipe.settings.items() if COMMON.get(key) != value}
        _print_settings(own, recipe.domain.setting_meanings)
        if recipe.fixed:
            print(f"    (it decides {', '.join(recipe.fixed)} itself)")
    print("every recipe also takes these settings, with these values unless others are listed above:")
    width = max(len(f"{key}={value}") for key, value in COMMON.items())
    for key, value in COMMON.items():
        print(f"    --set {f'{key}={value}':<{width}}  {MEANINGS[key]}".rstrip())
    print(f"minigan recipes NAME explains all settings of a recipe, such as minigan recipes {DEFAULT}.")


def _in_words(recipe: Recipe) -> str:
    return f"{recipe.summary}; {recipe.domain.in_words(recipe.settings)}; {recipe.steps:,} steps"


def _content(recipe: Recipe) -> dict[str, Any]:
    shape = {recipe.domain.shape_key: recipe.domain.wanted_shape(recipe.settings)}
    return {"summary": recipe.summary, "steps": recipe.steps, **shape, "settings": recipe.settings}


def _explained(recipe: Recipe) -> dict[str, Any]:
    explained = {
        key: {"default": value, "kind": values.kind_of(key, value), "meaning": recipe.meaning(key)}
        for key, value in recipe.settings.items()
    }
    return {"name": recipe.name, **_content(recipe), "settings": explained}


def _print_explained(recipe: Recipe) -> None:
    options.print_line(f"{recipe.name}: {_in_words(recipe)}")
    rows = [(f"{key}={values.as_text(value)}", recipe.meaning(key)) for key, value in recipe.settings.items()]
    width = max(len(text) for text, _ in rows)
    columns = max(40, shutil.get_terminal_size((120, 24)).columns - width - 12)
    decided = f" (it decides {', '.join(recipe.fixed)} itself)" if recipe.fixed else ""
    print(f"its settings, with their defaults{decided}:")
    for text, meaning in rows:
        first, *more = textwrap.wrap(meaning, columns) or [""]
        options.print_line(f"    --set {text:<{width}}  {first}".rstrip())
        for line in more:
            options.print_line(f"{'':{width + 12}}{line}")
    train = recipe.name if recipe.file is None else recipe.file.path
    example = next((text for text, _ in rows if text.startswith("rate=")), rows[0][0])
    options.print_line(f"such as: minigan train {train} --set {example}")


def _print_settings(settings: Mapping[str, Any], meanings: Mapping[str, str]) -> None:
    for key, value in settings.items():
        meaning = f"  {meanings[key]}" if key in meanings else ""
        print(f"    --set {key}={values.as_text(value)}{meaning}")
