"""Runs that no recipe describes, made by `fit` or `Loop`: their config.json, and going on with one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core import files
from minigan.core.errors import CheckpointError, UsageError
from minigan.training import checkpoint, consistency
from minigan.training.base_loop import device_facts
from minigan.training.config import read_content, versions
from minigan.training.run_folder import RunFolder
from minigan.training.settings import LoopSettings

_STORABLE = ("float32", "float64", "int64", "uint8")  # what minigan.core.safetensors_file reads
_FIXED = ("log_every", "batch_size", "value_range", "seed", "dtype")  # what a resumed run must have as before
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def save_config(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content`, the versions of the software and the device as a config.json, atomically."""
    full = {**content, "versions": versions(), "computed_on": device_facts()}
    files.write_text(path, json.dumps(full, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    """A number of NumPy, such as a latent_size that is a product of a shape, as one that JSON has."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def read_config(path: Path, made_by: str) -> dict[str, Any]:
    """The config.json in `path`; raises CheckpointError if it is damaged, or the run was not made by `made_by`."""
    content = read_content(path)
    found = content.get("made_by", f"the recipe '{content.get('recipe')}'")
    if found != made_by:
        raise CheckpointError(f"{path.parent} holds a run of {found}, not of {made_by}; name another folder.")
    if not all(type(content.get(name)) is int for name in ("steps", "first_step")):
        raise CheckpointError(f"{path} does not say how many steps the run has; restore the file.")
    return content


def require_same(config: LoopSettings, recorded: Mapping[str, Any], folder: RunFolder) -> None:
    """Raise UsageError if `config` has another value than the `recorded` configuration of `folder` where none may."""
    for name in _FIXED:
        value = getattr(config, name, None)
        if name in recorded and recorded[name] != (list(value) if isinstance(value, tuple) else value):
            raise UsageError(
                f"{name} is {value!r}, and the run in {folder.path} has {recorded[name]!r}, which cannot change; leave "
                "it so, or name another folder."
            )


def holds_run(folder: RunFolder | None, resume: bool) -> bool:
    """Whether there is a run in `folder` to go on with; raises UsageError if one cannot be trained there."""
    if folder is None:
        if resume:
            raise UsageError("resume=True needs a folder to go on with; name it, or leave resume out.")
        return False
    if os.path.isfile(folder.config):
        if resume:
            return True
        raise UsageError(f"{folder.path} already holds a run; go on with it (resume=True), or name another folder.")
    if os.path.lexists(folder.path) and not folder.is_free():
        raise UsageError(f"{folder.path} already exists and is not an empty folder; name another one.")
    files.require_writable(folder.path)
    return False


def load_state(source: Path, like: Mapping[str, np.ndarray], most_steps: int, made_by: str) -> dict[str, np.ndarray]:
    """The arrays of the checkpoint `source`, with those of the diagnosis.

    Raises CheckpointError if it is missing, damaged or does not fit the arrays `like`; UsageError if it has more than
    `most_steps` steps.
    """
    arrays = checkpoint.load(source, made_by, like, owner="what it is loaded into")
    try:
        consistency.require_finite(checkpoint.without_diagnosis(arrays))
    except ValueError as error:
        raise CheckpointError(
            f"the checkpoint {source} is inconsistent: {error}; restore it from a copy, or train again."
        ) from None
    if (step := int(arrays["step"])) > most_steps:
        raise UsageError(f"{source.parent} is at step {step:,} already; ask for at least as many steps.")
    return arrays


def require_storable(state: Mapping[str, Any]) -> None:
    """Raise UsageError, naming the array, if one cannot be stored in a checkpoint."""
    for name, array in state.items():
        if np.asarray(array).dtype.name not in _STORABLE:
            raise UsageError(
                f"the state has '{name}' of type {np.asarray(array).dtype}, expected arrays of {', '.join(_STORABLE)}; "
                "convert it."
            )


def in_words(thing: object) -> str:
    """`thing` as config.json records it: its repr, without addresses."""
    return _ADDRESS.sub("", repr(thing))
