"""Everything needed to repeat a run, as `config.json` holds it."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minigan_kernels
from minigan import __version__, recipes
from minigan.core import files, strict_json
from minigan.core.backend import BACKENDS, FLOATS
from minigan.core.errors import CheckpointError, FileError, UsageError, did_you_mean
from minigan.training.valid_changes import require_valid

_LIMIT = 2**63
_MOST_THREADS = 4096  # more cores than any machine has
_MOST_BYTES = 1 << 20  # of a configuration file; a usual one has 2,000
_FACTS = ("versions", "data", "computed_on")  # entries of config.json that are not fields of RunConfig


@dataclass(frozen=True)
class RunConfig:
    """A run: the recipe with its settings, the data, the number of steps, and the device and type to compute with.

    recipe: its name. settings: settings other than the recipe's defaults; all settings after construction. steps:
    training steps in all. seed: of every random draw. dtype: "float32" or "float64". backend, kernels, threads: see
    minigan.core.backend (threads None: its default). data_dir: a folder of images or IDX files; None for the embedded
    digits. download: whether to use all of MNIST. strict: whether an image that cannot be read is an error.
    sample_every, checkpoint_every, log_every: steps between pictures of samples, checkpoints, rows of metrics.
    keep_checkpoints: how many of the last checkpoints to keep. evaluate_every: steps between evaluations of many
    samples, whose score says which checkpoint is the best; None for none. export_every: steps between files of the
    generator's weights, each with a picture of samples; None: none are written.

    recipe_file: the path and the SHA-256 of the file that defines the recipe, if it is one of the user's, and until
    which step it was another one ("earlier"). init_from: the run, the step and the SHA-256 of the checkpoint that the
    first weights came from (see minigan.training.initial_weights). changes: the settings that change on the way (see
    minigan.training.changes).

    Raises UsageError, with the name of the field, for a value that is not allowed.
    """

    recipe: str = recipes.DEFAULT
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = recipes.get(recipes.DEFAULT).steps
    seed: int = 0
    dtype: str = "float32"
    backend: str = "auto"
    kernels: str = "auto"
    threads: int | None = None
    data_dir: str | None = None
    download: bool = False
    strict: bool = False
    sample_every: int = 500
    checkpoint_every: int = 1000
    log_every: int = 10
    keep_checkpoints: int = 2
    evaluate_every: int | None = None
    export_every: int | None = None
    recipe_file: dict[str, Any] | None = None
    init_from: dict[str, Any] | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        _require_type("recipe", self.recipe, str)
        recipe = recipes.get(self.recipe)
        _require_type("settings", self.settings, dict)
        object.__setattr__(self, "settings", recipe.resolve(self.settings))
        for name in ("steps", "sample_every", "checkpoint_every", "log_every", "keep_checkpoints"):
            _require_whole_number(name, getattr(self, name), 1)
        _require_whole_number("seed", self.seed, 0)
        for name in ("threads", "evaluate_every", "export_every"):
            if getattr(self, name) is not None:
                _require_whole_number(name, getattr(self, name), 1)
        if self.threads is not None and self.threads > _MOST_THREADS:
            raise UsageError(f"--threads is {self.threads:,}, expected at most {_MOST_THREADS:,}; take fewer.")
        for name in ("dtype", "backend", "kernels"):
            _require_type(name, getattr(self, name), str)
        _require_type("data-dir", "" if self.data_dir is None else self.data_dir, str)
        if "\0" in (self.data_dir or ""):
            raise UsageError("--data-dir must be the name of a folder, and no name holds a zero byte.")
        for name in ("download", "strict"):
            _require_type(name, getattr(self, name), bool)
        if recipe.file and self.recipe_file is None:
            object.__setattr__(self, "recipe_file", dataclasses.asdict(recipe.file))
        _require_words("recipe_file", self.recipe_file, ("path", "sha256"))
        if not isinstance((self.recipe_file or {}).get("earlier", []), list):
            raise UsageError("recipe_file must have a list of earlier files, if any.")
        _require_words("init_from", self.init_from, ("run", "sha256"))
        require_valid(self.changes, self.settings, recipe)
        if self.dtype not in FLOATS:
            raise UsageError(f"there is no --dtype '{self.dtype}'; {did_you_mean(self.dtype, FLOATS)}")
        if self.backend not in BACKENDS:
            raise UsageError(f"there is no --backend '{self.backend}'; {did_you_mean(self.backend, BACKENDS)}")

    def save(self, path: Path, **facts: Any) -> None:
        """Write the configuration, the versions of the software and further `facts` to `path`, atomically."""
        content = dataclasses.asdict(self) | {"versions": versions()} | facts
        files.write_text(path, json.dumps(content, indent=2) + "\n")


def load_config(path: Path) -> RunConfig:
    """The configuration in `path`; raises CheckpointError if the file is missing, damaged, or no configuration."""
    content = _read(path)
    names = [f.name for f in dataclasses.fields(RunConfig)]
    for name in content.keys() - {*names, *_FACTS}:
        raise CheckpointError(f"{path} has an unknown entry '{name}'; {did_you_mean(name, names)}")
    _require_recipe_file(path, content)
    try:
        config = RunConfig(**{name: content[name] for name in names if name in content})
    except UsageError as error:
        raise CheckpointError(f"{path} does not describe a run: {error}") from None
    data = content.get("data")
    if not isinstance(data, dict):
        return config
    settings = recipes.get(config.recipe).domain.recorded_settings(config.settings, data)
    return dataclasses.replace(config, settings=settings)


def _require_recipe_file(path: Path, content: dict[str, Any]) -> None:
    """Raise CheckpointError if the recipe is one of the user's, whose file has not been named, and thus not run."""
    file, name = content.get("recipe_file"), content["recipe"]
    if not isinstance(file, dict) or not isinstance(name, str):
        return
    try:
        recipe = recipes.get(name)
    except UsageError:
        recipe = None
    if recipe is None or recipe.file is None:
        raise CheckpointError(
            f"{path} is of the recipe '{name}', which the file {file.get('path')} defines, and minigan runs no file "
            f"that you have not named; add --recipe {file.get('path')} (in a program: minigan.recipes.load_file)."
        )


def recorded_data(path: Path) -> dict[str, Any]:
    """The entry "data" of the configuration in `path`, with "sha256"; raises CheckpointError if there is none."""
    data = _read(path).get("data")
    if not isinstance(data, dict) or "sha256" not in data:
        raise CheckpointError(f"{path} does not say what the run was trained on; restore the file.")
    return data


def recorded_shape(path: Path, config: RunConfig) -> tuple[int, ...]:
    """The shape of an example of the run that `path` describes, which `load_config` read as `config`.

    Raises CheckpointError if the file does not record it.
    """
    data = _read(path).get("data")
    domain = recipes.get(config.recipe).domain
    try:
        return domain.recorded_shape(config.settings, data if isinstance(data, dict) else {})
    except ValueError as error:
        raise CheckpointError(f"{path} does not say {error}; restore the file.") from None


def versions() -> dict[str, str]:
    """The versions of the packages that the numbers of a run depend on."""
    by_package = {"python": platform.python_version(), "minigan": __version__, "numpy": np.__version__}
    for package in (*minigan_kernels.packages(), "cupy"):
        if (module := sys.modules.get(package)) is not None:
            by_package[package] = module.__version__
    return by_package


def _read(path: Path) -> dict[str, Any]:
    """The configuration in `path` of a run of a recipe."""
    content = read_content(path)
    if "recipe" not in content:
        raise CheckpointError(
            f"{path.parent} is a run of {content['made_by']}, whose networks are code of your own, which no command "
            "knows; in Python, minigan.load_run(folder, gan) loads it, and resume=True goes on with it."
        )
    return content


def read_content(path: Path) -> dict[str, Any]:
    """The configuration in `path` of a run of any kind, with "recipe" or "made_by"; else raises CheckpointError."""
    try:
        content = strict_json.parse(files.read_text(path, _MOST_BYTES))
    except FileNotFoundError:
        raise CheckpointError(f"there is no {path}; name the config.json of a run.") from None
    except FileError as error:
        raise CheckpointError(f"no configuration can be read: {error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read ({error}); name the config.json of a run.") from None
    if not isinstance(content, dict) or not ("recipe" in content or isinstance(content.get("made_by"), str)):
        raise CheckpointError(f"{path} is not the configuration of a run; name the config.json of a run.")
    return content


def _require_whole_number(name: str, value: Any, least: int) -> None:
    option = name.replace("_", "-")
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"--{option} must be a whole number of at least {least}, not {value!r}.")
    if value >= _LIMIT:
        raise UsageError(f"--{option} must be below 2**63, not {value}.")


def _require_words(name: str, value: Any, words: tuple[str, ...]) -> None:
    """Raise UsageError unless `value` is None or a table with text under each of `words`."""
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(value.get(word), str) for word in words):
        raise UsageError(f"{name} must be a table with {' and '.join(words)}, not {value!r}.")


def _require_type(name: str, value: Any, type_: type) -> None:
    if not isinstance(value, type_):
        raise UsageError(f"--{name} must be a {_TYPE_NAMES[type_]}, not {value!r}.")


_TYPE_NAMES = {str: "word", bool: "yes or no", dict: "table of settings"}
