"""The state of a run in one safetensors file: numbers only, nothing is ever unpickled.

The file is read here and not by safetensors itself, whose reader maps it into memory: what a file says of itself is
believed only after it has been checked, and no more is read than fits.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from minigan.core import files, strict_json
from minigan.core.errors import CheckpointError, FileError, clause
from minigan.core.state import require_fit

DIAGNOSIS_PREFIX = "diagnosis."
"""How the names of arrays begin that are no part of the GAN; which ones there are, and how large, is not fixed."""

_KEY = "minigan"  # one key only: safetensors writes several in no fixed order, and equal states give equal bytes
_FORMAT, _WITHOUT_CHECKSUM = 2, 1
_TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}
_MOST_HEADER = 1 << 24  # bytes; the largest recipe's takes 10,000
_MOST_EXTRA = 1 << 24
_MOST_AXES = 32


@dataclass(frozen=True)
class Metadata:
    """What a checkpoint says of itself: its recipe, its step, and how good its samples are, the larger the better, if
    that was measured."""

    recipe: str
    step: int
    score: float | None = None


def save(path: Path, state: Mapping[str, np.ndarray], recipe: str, score: float | None = None) -> None:
    """Write `state` and its Metadata, atomically: a crash leaves the checkpoint that was there."""
    from safetensors.numpy import save as serialise

    # safetensors stores the memory as it lies: row-major order is asked for here.
    arrays = {name: np.asarray(value, order="C") for name, value in state.items()}
    note = {"format": _FORMAT, **asdict(Metadata(recipe, int(state["step"]), score))}
    note["sha256"] = _digest(note, arrays)
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(serialise(arrays, metadata={_KEY: json.dumps(note, sort_keys=True)}))


def load(path: Path, recipe: str, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays in `path`: those of `like` by name, shape and type, and any whose names begin with `DIAGNOSIS_PREFIX`.

    Raises CheckpointError if it is missing, damaged, of another recipe, or does not fit; memory is taken only for
    what fits.
    """
    with _opened(path) as file:
        note, places = _read_header(file, path)
        if note.get("recipe") != recipe:
            raise CheckpointError(f"the checkpoint {path} is not of the recipe '{recipe}'; name a run of that recipe.")
        _require_fit(path, like, places)
        try:
            arrays = {name: _read_array(file, place) for name, place in places.items()}
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from None
    if note["format"] != _WITHOUT_CHECKSUM and note.pop("sha256") != _digest(note, arrays):
        raise _damaged(path, "its numbers do not have the checksum that it names")
    return arrays


def read_metadata(path: Path) -> Metadata:
    """What the checkpoint in `path` says of itself; raises CheckpointError if it is missing or damaged."""
    with _opened(path) as file:
        note, places = _read_header(file, path)
        if note["format"] == _FORMAT:
            return Metadata(note["recipe"], note["step"], note["score"])
        step = places.get("step")
        if step is None or step.shape != () or step.dtype != np.int64:
            raise _damaged(path, "it does not say of which step it is")
        try:
            return Metadata(note["recipe"], int(_read_array(file, step)))
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from None


@dataclass(frozen=True)
class _Place:
    """Where an array lies in the file, in bytes from its beginning, and what it is."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        size = self.dtype.itemsize
        for extent in self.shape:
            size *= extent
        return size


def _opened(path: Path) -> IO[bytes]:
    try:
        return files.open_regular(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}; name the folder of a run that has one.") from None
    except FileError as error:
        raise _damaged(path, clause(error)) from None


def _read_header(file: IO[bytes], path: Path) -> tuple[dict[str, Any], dict[str, _Place]]:
    """The note, and where each array lies: 8 bytes of length, so many of JSON, and the arrays without a gap."""
    try:
        total = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MOST_HEADER, total - 8):
            raise ValueError(f"its header would take {length:,} of {total:,} bytes")
        header = strict_json.parse(file.read(length).decode("utf-8"))
        note = strict_json.parse(header.pop("__metadata__")[_KEY])
        places = _places(header, 8 + length)
        if (end := 8 + length + sum(place.size for place in places.values())) != total:
            raise ValueError(f"it has {total:,} bytes, and its arrays end at {end:,}")
        if not isinstance(note, dict) or not isinstance(note.get("recipe"), str):
            raise ValueError("it does not say which recipe it is of")
        if note.get("format") not in (_FORMAT, _WITHOUT_CHECKSUM):
            raise CheckpointError(f"the checkpoint {path} is of a format that this minigan does not know; update it.")
        if note["format"] == _FORMAT:
            _check_note(note)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = "it lacks what minigan writes into its header" if isinstance(error, KeyError) else error
        raise _damaged(path, reason) from None
    return note, places


def _check_note(note: dict[str, Any]) -> None:
    if note.keys() != {"format", "recipe", "step", "score", "sha256"}:
        raise ValueError("its note is not what minigan writes")
    if type(note["step"]) is not int or type(note["score"]) not in (float, type(None)):
        raise ValueError("the step or the score in its note is no number")


def _places(header: dict[str, Any], start: int) -> dict[str, _Place]:
    """The arrays by name; raises ValueError unless they lie side by side from `start` on, in whatever order."""
    places, taken = {}, []
    for name, entry in header.items():
        if entry.keys() != {"dtype", "shape", "data_offsets"} or entry["dtype"] not in _TYPES:
            raise ValueError(f"its array '{name[:80]}' is of no type that minigan writes")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not all(isinstance(numbers, list) and all(map(_is_count, numbers)) for numbers in (shape, offsets)):
            raise ValueError(f"the place of its array '{name[:80]}' is not given by whole numbers")
        if len(shape) > _MOST_AXES:  # else their product might be a number without end
            raise ValueError(f"its array '{name[:80]}' has {len(shape):,} axes, expected at most {_MOST_AXES}")
        first, last = offsets
        places[name] = _Place(start + first, tuple(shape), np.dtype(_TYPES[entry["dtype"]]))
        taken.append((first, last, places[name].size, name))
    end = 0
    for first, last, size, name in sorted(taken):
        if first != end or last != first + size:
            raise ValueError(f"its array '{name[:80]}' does not lie where the one before it ends, or has another size")
        end = last
    return places


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _require_fit(path: Path, like: Mapping[str, np.ndarray], places: dict[str, _Place]) -> None:
    try:
        # Arrays of the right shape that take no memory.
        given = {name: np.broadcast_to(np.zeros((), place.dtype), place.shape) for name, place in places.items()}
        require_fit(like, {name: array for name, array in given.items() if not name.startswith(DIAGNOSIS_PREFIX)})
        if sum(place.size for name, place in places.items() if name.startswith(DIAGNOSIS_PREFIX)) > _MOST_EXTRA:
            raise ValueError(f"its arrays '{DIAGNOSIS_PREFIX}*' take more than {_MOST_EXTRA:,} bytes")
    except ValueError as error:
        raise CheckpointError(
            f"the checkpoint {path} does not fit its configuration: {error}; restore both from the same run."
        ) from None


def _read_array(file: IO[bytes], place: _Place) -> np.ndarray:
    file.seek(place.start)
    return np.frombuffer(bytearray(file.read(place.size)), place.dtype).reshape(place.shape)


def _digest(note: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Over the note and every array, each with its name, type and shape."""
    digest = hashlib.sha256(json.dumps(note, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.reshape(-1).data)
    return digest.hexdigest()


def _damaged(path: Path, reason: object) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint {path} is damaged or not minigan's ({reason}); restore it from a copy, or train again."
    )
