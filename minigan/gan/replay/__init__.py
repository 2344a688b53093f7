"""Run a training step, record it, replay it: the same numbers without the engine's Python (after tinygrad's TinyJit).

A step is a function of inputs and of memory that it changes in place. Its first runs are plain ones. Then it is
recorded: every kernel and array function that it calls, with the arrays that they take. A replay copies the inputs to
where the recorded ones lay and makes the same calls again, on memory that is planned once. Inputs of another form (of
other shapes, with a penalty or without) are recorded apart, and so is a step whose Python attributes have changed. The
first replay of each recording is held against a plain run, bit for bit.

What cannot be recorded runs as ever, and `Replay.refused` says why: what reads numbers on the host, computes with
arrays that no operation of minigan has made, or changes Python attributes.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

import numpy as np

from minigan.core import backend
from minigan.gan.inputs import StepInputs, leaves, signature
from minigan.gan.replay.arena import Arena
from minigan.gan.replay.attributes import Attributes
from minigan.gan.replay.recording import Game, Recording, Report, record

_PLAIN_RUNS = 2  # before a recording: kernels compile, and memos find out what is worth keeping
_MOST_FAILURES = 3  # to record, or to give the bits of a plain run
_MOST_RECORDINGS = 8
_LONG = 1000  # steps without use, after which a recording gives way to another
_MOST_FORMS = 64  # of which plain runs, or failures, are counted
_MOST_KNOWN = 4  # attributes, such as those in training and in use
_MOST_CHANGES = 5  # of attributes, in as many steps


class Replay:
    """The recordings of one game's step.

    refused: why the last step could not be replayed, as a clause; None if it could, or may be recorded yet. steps: how
    many have been replayed.
    """

    def __init__(self) -> None:
        self.fallback_reason: str | None = None
        self.steps = 0
        self._recordings: dict[Any, Recording] = {}
        self._plain_runs: dict[Any, int] = {}
        self._failures: dict[Any, list[str]] = {}
        self._calls = self._changes = 0
        self._arena = Arena()
        self._known_attributes: list[Attributes] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Replay:
        return Replay()  # a recording holds the memory of one game

    def __call__(self, game: Game, inputs: StepInputs) -> Report:
        """What `game.run_step(inputs)` returns and does."""
        given = leaves(inputs)
        if backend.current().xp is not np:
            return self._plainly(game, inputs, "steps are replayed on NumPy arrays only")
        recording = self._recording(key := (signature(given), backend.generation(), self._attributes_of(game)))
        if recording is None:
            return self._unrecorded(key, game, inputs)
        if not recording.is_ready():
            return self._plainly(game, inputs, None)
        self.fallback_reason, recording.served = None, self._calls
        if recording.proven:
            self.steps += 1
            return recording.run(game, inputs, given)
        report = recording.prove(game, inputs, self._arena)
        if not recording.proven:
            del self._recordings[key]
            self._failed(key, "it does not do the same for inputs of the same form")
        return report

    def _plainly(self, game: Game, inputs: StepInputs, reason: str | None) -> Report:
        self.fallback_reason = reason
        return game.run_step(inputs)

    def _attributes_of(self, game: Game) -> Attributes:
        """Those of the game as they are now: the same object for as long as they are the same."""
        for place, known in enumerate(self._known_attributes):
            if known.are_unchanged():
                if place:
                    self._known_attributes.insert(0, self._known_attributes.pop(place))  # it is asked first next time
                self._changes = 0
                return known
        self._changes += 1
        self._known_attributes = [game.attributes(), *self._known_attributes[: _MOST_KNOWN - 1]]
        self._forget_others()
        return self._known_attributes[0]

    def _forget_others(self) -> None:
        """Forget what belongs to attributes that are not known any more, and so the networks that they hold."""
        tables: tuple[dict[Any, Any], ...] = (self._recordings, self._plain_runs, self._failures)
        for table in tables:
            for key in [key for key in table if key[-1] not in self._known_attributes]:
                del table[key]

    def _recording(self, key: Any) -> Recording | None:
        """The recording for these inputs and attributes, if there is one that still serves."""
        self._calls += 1
        recording = self._recordings.get(key)
        if recording is not None and recording.is_stale():
            del self._recordings[key]
            self._plain_runs.pop(key, None)
            return None
        return recording

    def _unrecorded(self, key: Any, game: Game, inputs: StepInputs) -> Report:
        """A plain run, which is recorded if it is time for that."""
        reason = self._why_not(key)
        runs = _counted(self._plain_runs, key, 0) + 1
        self._plain_runs[key] = runs
        if reason is not None or not _PLAIN_RUNS < runs <= _PLAIN_RUNS + _MOST_FAILURES:
            return self._plainly(game, inputs, reason)
        report, recording = record(game, inputs, self._arena)
        if not key[2].are_unchanged():
            self._failed(key, "it changes Python attributes, which a replay would not")
        elif isinstance(recording, Recording):
            recording.served = self._calls
            self._recordings[key] = recording
        else:
            self._failed(key, recording)
        return report

    def _why_not(self, key: Any) -> str | None:
        """Why this is not to be recorded, if it is not."""
        if any(isinstance(leaf, type) and leaf is not NoneType for leaf in key[0]):
            return "its penalty does not say in an attribute 'draw' what it draws"
        if self._changes > _MOST_CHANGES:
            return "its Python attributes change from step to step"
        failures = self._failures.get(key[1:], [])
        if len(failures) >= _MOST_FAILURES:
            return failures[-1]
        return None if self._has_room() else f"its inputs have more than {_MOST_RECORDINGS} forms"

    def _has_room(self) -> bool:
        """Whether there is room for another recording; one that has not served for long is dropped for that."""
        if len(self._recordings) < _MOST_RECORDINGS:
            return True
        oldest = min(self._recordings, key=lambda key: self._recordings[key].served)
        if self._calls - self._recordings[oldest].served < _LONG:
            return False
        del self._recordings[oldest]
        self._plain_runs.pop(oldest, None)
        return True

    def _failed(self, key: Any, reason: str) -> None:
        self.fallback_reason = reason
        _counted(self._failures, key[1:], []).append(reason)


def _counted(counts: dict[Any, Any], key: Any, start: Any) -> Any:
    """The entry of `key`, `start` at first; of too many the oldest is forgotten."""
    if key not in counts:
        if len(counts) >= _MOST_FORMS:
            del counts[next(iter(counts))]
        counts[key] = start
    return counts[key]
