"""Save and load the numbers of a network, a GAN or an optimiser in one file, with a checksum; nothing is unpickled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from minigan.core import files, safetensors_file
from minigan.core.errors import CheckpointError, FileError, UsageError, clause
from minigan.core.state_check import require_matching_state
from minigan.gan import GAN
from minigan.gan.ema import EMA
from minigan.nn import Module
from minigan.optim import Optimizer
from minigan.training import checkpoint
from minigan.training.own_runs import require_storable

_FORMAT = 1
_WORDS = {"GAN": "a GAN", "module": "a module", "optimizer": "an optimiser", "average": "an average (EMA)"}
_KINDS: tuple[tuple[str, type], ...] = (("GAN", GAN), ("module", Module), ("optimizer", Optimizer), ("average", EMA))


class Stateful(Protocol):
    """An object whose numbers can be saved: a Module, a GAN, an Optimizer, an EMA."""

    def state(self) -> dict[str, np.ndarray]: ...

    def load_state(self, state: Any) -> None: ...


T = TypeVar("T", bound=Stateful)


def save(path: str | Path, thing: Stateful) -> Path:
    """Write the numbers of `thing`, a Module, a GAN, an Optimizer or an EMA, to `path`, and return it.

    The file is a safetensors file with a checksum, and is replaced atomically. It holds numbers, and no code: `load`
    puts them into an object that is built in the same way. Raises UsageError for another object.
    """
    path, kind, state = Path(path), _kind(thing), thing.state()
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file, such as {path / 'weights.safetensors'}.")
    require_storable(state)
    arrays = {name: np.asarray(value, order="C") for name, value in state.items()}
    note = {"saved": _FORMAT, "kind": kind, "class": type(thing).__name__}
    note["sha256"] = checkpoint.checksum(note, arrays)
    safetensors_file.save(path, arrays, note)
    return path


def load(path: str | Path, into: T) -> T:
    """Put the numbers that `save` wrote to `path` into the object `into`, and return it.

    Raises CheckpointError, and changes nothing, if the file is missing, damaged, of another kind of object, or of one
    with other names or shapes; UsageError for an object that is no Module, GAN, Optimizer or EMA.
    """
    path, kind = Path(path), _kind(into)
    note, arrays = _read(path)
    if note["kind"] not in _WORDS:
        raise CheckpointError(f"{path} holds numbers of an unknown kind; update minigan.")
    if note["kind"] != kind:
        raise CheckpointError(
            f"{path} holds the numbers of {_WORDS[note['kind']]}, not of {_WORDS[kind]}; load it into such a one."
        )
    try:
        require_matching_state(into.state(), arrays)
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit this {type(into).__name__}: {error}; build it as it was.") from None
    into.load_state(arrays)
    return into


def _kind(thing: object) -> str:
    for name, kind in _KINDS:
        if isinstance(thing, kind):
            return name
    hint = "; make an object of it" if isinstance(thing, type) else ""
    raise UsageError(
        f"{thing.__name__ if isinstance(thing, type) else f'a {type(thing).__name__}'} cannot be saved or loaded, "
        f"expected a Module, a GAN or an Optimizer{hint}."
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The note and the arrays of a file that `save` wrote; raises CheckpointError if it is none, or is damaged."""
    if os.path.isdir(path):
        raise CheckpointError(f"{path} is a folder; load_run loads the GAN of a run, load a file that save wrote.")
    try:
        with files.open_regular(path) as file:
            note, stored = safetensors_file.read_header(file)
            if isinstance(note, dict) and "recipe" in note:
                raise CheckpointError(f"{path} is a checkpoint of a run; load_run loads its GAN.")
            if not isinstance(note, dict) or note.keys() != {"saved", "kind", "class", "sha256"}:
                raise ValueError("its metadata are not those that minigan writes")
            if note["saved"] != _FORMAT:
                raise CheckpointError(
                    f"{path} has a format that this version of minigan does not know; update minigan."
                )
            arrays = {name: array.read(file) for name, array in stored.items()}
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}; name one that save wrote.") from None
    except (OSError, ValueError, FileError) as error:
        raise CheckpointError(f"{path} is damaged or not minigan's ({clause(error)}); save it again.") from None
    if note.pop("sha256") != checkpoint.checksum(note, arrays):
        raise CheckpointError(f"{path} is damaged (its numbers do not have the recorded checksum); save it again.")
    return note, arrays
