"""The state of a run in one safetensors file: numbers only, nothing is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from minigan import files
from minigan.errors import CheckpointError

_KEY = "minigan"  # one key only: safetensors writes several in no fixed order, and equal states give equal bytes
_FORMAT = 1


def save(path: Path, state: dict[str, np.ndarray], recipe: str) -> None:
    """Write `state` and the recipe's name, atomically: a crash leaves the checkpoint that was there."""
    from safetensors.numpy import save as serialise

    note = json.dumps({"format": _FORMAT, "recipe": recipe}, sort_keys=True)
    with files.atomic_path(path) as temporary:
        # safetensors stores the memory as it lies: row-major order is asked for here.
        ordered = {name: np.asarray(value, order="C") for name, value in state.items()}
        temporary.write_bytes(serialise(ordered, metadata={_KEY: note}))


def load(path: Path, recipe: str) -> dict[str, np.ndarray]:
    """The state in `path`; raises CheckpointError if it is missing, damaged, or of another recipe."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; name the folder of a run that has one.")
    try:
        with safe_open(str(path), framework="numpy") as file:
            note = json.loads((file.metadata() or {})[_KEY])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is damaged or not minigan's ({error}); restore it from a copy, or train again."
        ) from None
    if note.get("format") != _FORMAT:
        raise CheckpointError(f"the checkpoint {path} is of format {note.get('format')}; this minigan reads {_FORMAT}.")
    if note.get("recipe") != recipe:
        raise CheckpointError(
            f"the checkpoint {path} is of the recipe '{note.get('recipe')}', but '{recipe}' was asked for; "
            "name a run of that recipe."
        )
    return state
