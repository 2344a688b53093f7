"""Everything needed to repeat a run, as `config.json` holds it."""

from __future__ import annotations

import dataclasses
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigan import files, recipes
from minigan.backend import BACKENDS, FLOATS
from minigan.errors import CheckpointError, UsageError, did_you_mean

_MAX_SEED = 2**63


@dataclass(frozen=True)
class RunConfig:
    """A run: the recipe with its settings, the data, and how long and on what to compute.

    Raises UsageError, naming the field, for a value that makes no sense.
    """

    recipe: str = recipes.DEFAULT
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = 10_000
    seed: int = 0
    dtype: str = "float32"
    backend: str = "auto"
    kernels: str = "auto"
    threads: int | None = None
    data_dir: str | None = None
    download: bool = False
    sample_every: int = 500
    checkpoint_every: int = 1000
    log_every: int = 10

    def __post_init__(self) -> None:
        recipe = recipes.get(self.recipe)
        object.__setattr__(self, "settings", recipe.resolve(self.settings))
        for name in ("steps", "sample_every", "checkpoint_every", "log_every"):
            _require_whole(name, getattr(self, name), 1)
        _require_whole("seed", self.seed, 0)
        if self.seed >= _MAX_SEED:
            raise UsageError(f"--seed must be below 2**63, not {self.seed}.")
        if self.threads is not None:
            _require_whole("threads", self.threads, 1)
        if self.dtype not in FLOATS:
            raise UsageError(f"there is no --dtype '{self.dtype}'; {did_you_mean(self.dtype, FLOATS)}")
        if self.backend not in BACKENDS:
            raise UsageError(f"there is no --backend '{self.backend}'; {did_you_mean(self.backend, BACKENDS)}")

    def save(self, path: Path, **facts: Any) -> None:
        """Write the configuration, the versions it ran under, and `facts` for people to read, atomically."""
        content = dataclasses.asdict(self) | {"versions": versions()} | facts
        files.write_text(path, json.dumps(content, indent=2) + "\n")


def load_config(path: Path) -> RunConfig:
    """The configuration in `path`; raises CheckpointError if it is missing, damaged, or not one."""
    content = _read(path)
    names = {f.name for f in dataclasses.fields(RunConfig)}
    try:
        return RunConfig(**{name: value for name, value in content.items() if name in names})
    except (TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} holds a value of the wrong kind ({error}); restore the file.") from None


def recorded_image_shape(path: Path) -> tuple[int, int]:
    """The (height, width) of the pictures that the run configured in `path` was trained on."""
    try:
        height, width = _read(path)["data"]["image_shape"]
        return int(height), int(width)
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{path} does not say which pictures the run was trained on; restore the file.") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"there is no {path}; name the config.json of a run.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); name the config.json of a run.") from None
    if not isinstance(content, dict) or "recipe" not in content:
        raise CheckpointError(f"{path} is not the configuration of a run; name the config.json of a run.")
    return content


def versions() -> dict[str, str]:
    """The versions of what the numbers depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "numpy": np.__version__}
    for package in ("minigan", "numba", "cupy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _require_whole(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        option = name.replace("_", "-")
        raise UsageError(f"--{option} must be a whole number of at least {least}, not {value!r}.")
