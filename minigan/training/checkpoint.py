"""The state of a run in one file of arrays (minigan.core.safetensors_file), with a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from minigan.core import files, safetensors_file
from minigan.core.errors import CheckpointError, FileError, clause
from minigan.core.safetensors_file import StoredArray
from minigan.core.state_check import require_matching_state

DIAGNOSIS_PREFIX = "diagnosis."
"""The prefix of the names of arrays that belong to the diagnosis and not to the GAN; their number and shapes vary."""

_FORMAT, _FORMAT_WITHOUT_CHECKSUM = 2, 1
_MAX_DIAGNOSIS_BYTES = 1 << 24


@dataclass(frozen=True)
class Metadata:
    """The recipe and the step of a checkpoint, and the score of its samples.

    score: larger is better; None if it was not measured.
    """

    recipe: str
    step: int
    score: float | None = None


def save(path: Path, state: Mapping[str, np.ndarray], recipe: str, score: float | None = None) -> None:
    """Write `state` and its Metadata, atomically: a crash leaves the checkpoint that was there."""
    arrays = {name: np.asarray(value, order="C") for name, value in state.items()}
    note = {"format": _FORMAT, **asdict(Metadata(recipe, int(state["step"]), score))}
    note["sha256"] = checksum(note, arrays)
    safetensors_file.save(path, arrays, note)


def without_diagnosis(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of `state` that belong to the GAN."""
    return {name: array for name, array in state.items() if not name.startswith(DIAGNOSIS_PREFIX)}


def load(
    path: Path, recipe: str, like: Mapping[str, np.ndarray], *, owner: str = "its configuration"
) -> dict[str, np.ndarray]:
    """The arrays in `path`: those of `like` by name, shape and type, and any whose names have the DIAGNOSIS_PREFIX.

    owner: what `like` is of, in messages. Raises CheckpointError if the file is missing, damaged, of another recipe, or
    does not fit; memory is taken only for arrays that fit.
    """

    def check(note: Mapping[str, Any], stored: dict[str, StoredArray]) -> None:
        if note.get("recipe") != recipe:
            raise CheckpointError(f"the checkpoint {path} is not of the recipe '{recipe}'; name a run of that recipe.")
        _require_fit(path, like, stored, owner)

    return _load(path, check)


def load_any(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """All arrays in `path`, of any recipe.

    Raises CheckpointError if the file is missing, damaged, or has another `recorded_checksum` than `sha256`.
    """

    def check(note: Mapping[str, Any], stored: dict[str, StoredArray]) -> None:
        if note.get("sha256", "") != sha256:
            raise CheckpointError(
                f"the checkpoint {path} is not the one that this run began with; restore it, or name another run with "
                "--init-from."
            )

    return _load(path, check)


def recorded_checksum(path: Path) -> str:
    """The checksum that the checkpoint in `path` records; "" in the first format, which had none."""
    with _opened(path) as file:
        checksum: str = _read_header(file, path)[0].get("sha256", "")
        return checksum


def _load(path: Path, check: Callable[[Mapping[str, Any], dict[str, StoredArray]], None]) -> dict[str, np.ndarray]:
    """The arrays in `path`, once `check` has accepted its note and its header."""
    with _opened(path) as file:
        note, stored = _read_header(file, path)
        check(note, stored)
        try:
            arrays = {name: array.read(file) for name, array in stored.items()}
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from None
    if note["format"] != _FORMAT_WITHOUT_CHECKSUM and note.pop("sha256") != checksum(note, arrays):
        raise _damaged(path, "its numbers do not have the recorded checksum")
    return arrays


def read_metadata(path: Path) -> Metadata:
    """The metadata of the checkpoint in `path`; raises CheckpointError if it is missing or damaged."""
    with _opened(path) as file:
        note, stored = _read_header(file, path)
        if note["format"] == _FORMAT:
            return Metadata(note["recipe"], note["step"], note["score"])
        step = stored.get("step")
        if step is None or step.shape != () or step.dtype != np.int64:
            raise _damaged(path, "its step is not recorded")
        try:
            return Metadata(note["recipe"], int(step.read(file)))
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from None


def _opened(path: Path) -> IO[bytes]:
    try:
        return files.open_regular(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}; name the folder of a run that has one.") from None
    except FileError as error:
        raise _damaged(path, clause(error)) from None


def _read_header(file: IO[bytes], path: Path) -> tuple[dict[str, Any], dict[str, StoredArray]]:
    """The note and the stored arrays; raises CheckpointError for a damaged header or an unknown format."""
    try:
        note, stored = safetensors_file.read_header(file)
        if not isinstance(note, dict) or not isinstance(note.get("recipe"), str):
            raise ValueError("its recipe is not recorded")
        if note.get("format") not in (_FORMAT, _FORMAT_WITHOUT_CHECKSUM):
            raise CheckpointError(
                f"the checkpoint {path} has a format that this version of minigan does not know; update minigan."
            )
        if note["format"] == _FORMAT:
            _check_note(note)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None
    return note, stored


def _check_note(note: dict[str, Any]) -> None:
    if note.keys() != {"format", "recipe", "step", "score", "sha256"}:
        raise ValueError("its metadata are not those that minigan writes")
    if type(note["step"]) is not int or type(note["score"]) not in (float, type(None)):
        raise ValueError("the step or the score in its metadata is not a number")


def _require_fit(path: Path, like: Mapping[str, np.ndarray], stored: dict[str, StoredArray], owner: str) -> None:
    try:
        # Arrays of the right shape that take no memory.
        placeholders = {name: np.broadcast_to(np.zeros((), array.dtype), array.shape) for name, array in stored.items()}
        require_matching_state(like, without_diagnosis(placeholders))
        diagnosis_bytes = sum(array.nbytes for name, array in stored.items() if name.startswith(DIAGNOSIS_PREFIX))
        if diagnosis_bytes > _MAX_DIAGNOSIS_BYTES:
            raise ValueError(f"its arrays '{DIAGNOSIS_PREFIX}*' take more than {_MAX_DIAGNOSIS_BYTES:,} bytes")
    except ValueError as error:
        raise CheckpointError(
            f"the checkpoint {path} does not fit {owner}: {error}; restore both from the same run."
        ) from None


def checksum(note: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of the note and of every array with its name, type and shape."""
    digest = hashlib.sha256(json.dumps(note, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.reshape(-1).data)
    return digest.hexdigest()


def _damaged(path: Path, reason: object) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint {path} is damaged or not minigan's ({reason}); restore it from a copy, or train again."
    )
