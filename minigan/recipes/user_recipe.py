"""A recipe from a Python file of the user's, such as `minigan train my_recipe.py` names.

The file defines RECIPE, a Recipe, or a function `build` that returns a GAN. It is executed, like any program, and only
because the user names it: a run's config.json records its path, which nothing ever executes by itself.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from minigan.core import files, user_file
from minigan.core.errors import FileError, UsageError
from minigan.domains import Domain, ImageDomain
from minigan.gan import GAN
from minigan.recipes.recipe import Recipe, RecipeFile
from minigan.recipes.settings import Settings

_MOST_BYTES = 1 << 22
_NAME = re.compile(r"\w[\w.-]{0,99}")
_OWN_ARGUMENTS = ("shape", "steps", "seed", "dtype")  # of `build`; its other arguments are settings
_STEPS = 10_000
_DIGITS = ImageDomain((28, 28, 1), value_range=(-1.0, 1.0), flat=False)


@dataclass(frozen=True)
class FunctionRecipe(Recipe):
    """A recipe whose GAN is what `function(shape=, steps=, seed=, dtype=, **settings)` returns.

    The function may leave out what it does not use. Its other arguments are the settings, with their defaults;
    "batch_size" is one in any case. A setting "n_critic" is needed if the GAN's rules have another number than 1.
    """

    function: Callable[..., GAN] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", {"batch_size": 64, **self.settings, "schedule_steps": 0})

    def is_scheduled(self, settings: Settings) -> bool:
        """True: the function gets the length of the run, and may do anything with it."""
        return True

    def _build(self, settings: Settings, shape: tuple[int, ...], steps: int, seed: int, dtype: str) -> GAN:
        given = {"shape": shape, "steps": steps, "seed": seed, "dtype": dtype, **settings}
        parameters = inspect.signature(self.function).parameters
        gan = self.function(**{name: given[name] for name in parameters})
        where = f"build() in {self.file.path}" if self.file else "build()"
        if not isinstance(gan, GAN):
            raise UsageError(f"{where} returned an object of type {type(gan).__name__}, expected a minigan.GAN.")
        for network in (gan.generator, gan.discriminator):
            for name, parameter in network.parameters().items():
                if parameter.dtype != dtype:
                    raise UsageError(
                        f"{where} returned networks with {parameter.dtype} numbers ({name}), expected {dtype}; give it "
                        "an argument dtype, and convert them before the optimisers are made: generator.astype(dtype)."
                    )
        if gan.rules.n_critic != settings.get("n_critic", 1):
            raise UsageError(
                f"{where} returned a GAN with n_critic {gan.rules.n_critic}, expected {settings.get('n_critic', 1)}; "
                "give build an argument n_critic with that default, and pass it to Rules."
            )
        return gan


def load(path: Path) -> Recipe:
    """The recipe that the Python file `path` defines, with its `file`.

    Raises UsageError if the file cannot be read or defines no recipe, and MiniganError, with the line, if its code
    fails.
    """
    try:
        digest = hashlib.sha256(files.read_bytes(path, _MOST_BYTES)).hexdigest()
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}; name the Python file that defines the recipe.") from None
    except FileError as error:
        raise UsageError(f"no recipe can be read: {error}") from None
    module = user_file.load_module(path)
    file = RecipeFile(str(path.resolve()), digest)
    found = vars(module).get("RECIPE")
    if isinstance(found, Recipe):
        recipe = found
    elif found is not None:
        raise UsageError(
            f"RECIPE in {path} is of type {type(found).__name__}, expected minigan.recipes.Recipe(name=..., ...)."
        )
    elif callable(vars(module).get("build")):
        recipe = _from_function(path, module)
    else:
        raise UsageError(
            f"{path} defines no recipe; let it define RECIPE = minigan.recipes.Recipe(...), or a function build(shape, "
            "steps, seed, dtype, ...) that returns a GAN."
        )
    if not isinstance(recipe.name, str) or not _NAME.fullmatch(recipe.name):
        raise UsageError(f"the recipe in {path} is called {recipe.name!r}, expected letters, digits, '-' and '_'.")
    return replace(recipe, file=file)


def _from_function(path: Path, module: ModuleType) -> FunctionRecipe:
    function, settings, steps = module.build, {}, _STEPS
    for name, parameter in inspect.signature(function).parameters.items():
        default = parameter.default
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(f"build() in {path} takes '{parameter}'; name each setting, with its default, instead.")
        if name in _OWN_ARGUMENTS:
            steps = default if name == "steps" and isinstance(default, int) else steps
        elif default is parameter.empty:
            raise UsageError(
                f"build() in {path} takes '{name}' without a default, and is called with {', '.join(_OWN_ARGUMENTS)} "
                f"only; give '{name}' a default, which makes it a setting: --set {name}=..."
            )
        else:
            settings[name] = _setting(path, name, default)
    domain = vars(module).get("DOMAIN", _DIGITS)
    if not isinstance(domain, Domain):
        raise UsageError(f"DOMAIN in {path} is of type {type(domain).__name__}, expected a minigan.domains.Domain.")
    summary = (module.__doc__ or function.__doc__ or f"the recipe of {path.name}").strip().partition("\n")[0]
    return FunctionRecipe(path.stem, summary.rstrip("."), _no_networks, settings, steps, domain, function=function)


def _setting(path: Path, name: str, default: Any) -> Any:
    """The default of a setting; raises UsageError unless `--set` can write it."""
    value = list(default) if isinstance(default, tuple) else default
    numbers = value if isinstance(value, list) else []
    if not isinstance(value, (int, float, str, list)) or not all(type(number) is int for number in numbers):
        raise UsageError(
            f"the default of '{name}' of build() in {path} is {default!r}, expected a number, a word, True, False or a "
            "list of whole numbers, which --set can change."
        )
    return value


def _no_networks(*_: Any) -> Any:
    raise AssertionError  # FunctionRecipe makes no use of it
