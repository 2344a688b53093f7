"""Record a training step and replay it: the same numbers without the engine's Python (after tinygrad's TinyJit).

A step is a function of its inputs and of memory that it changes in place. It runs without recording at first. Then it
is recorded: on NumPy every kernel and array function that it calls, with their array arguments (`calls`); on CuPy all
its work on the GPU, as one CUDA graph (`graph`). A replay copies the inputs into the arrays of the recorded inputs.
Then it makes the same calls again, on memory that is planned once, or launches the graph. Inputs of another signature
(other shapes, with or without a penalty) have a recording of their own, and so has a step whose Python attributes have
changed. The first replay of each recording is compared, bit for bit, with a plain run.

A step that cannot be recorded runs plainly, and `Replay.fallback_reason` says why, such as that it reads numbers on the
host, computes with arrays that no operation of minigan has made, or changes Python attributes.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

import numpy as np

from minigan.core import backend
from minigan.gan.inputs import StepInputs, leaves, signature
from minigan.gan.replay import calls, graph
from minigan.gan.replay.arena import Arena
from minigan.gan.replay.attributes import Attributes
from minigan.gan.replay.recording import NO_MEMORY, Recording, Report, Step
from minigan_kernels.cuda.graphs import GraphMemory

_PLAIN_RUNS = 2  # before recording: kernels compile, and packed weights are kept from their second use on
_MAX_FAILURES = 3  # to record a step, or to get the bits of a plain run in the first replay
_MAX_RECORDINGS = 8
_UNUSED_STEPS = 1000  # a recording that was not used for so many steps may be replaced
_MAX_COUNTED_KEYS = 64  # keys for which plain runs or failures are counted
_MAX_KNOWN_ATTRIBUTES = 4  # sets of attributes, such as those of training and of eval mode
_MAX_CHANGES = 5  # successive steps with changed attributes, after which steps are not recorded


class Replay:
    """The recordings of a GAN's training step.

    fallback_reason: why the last step ran plainly and cannot be replayed, as a clause; None if it was replayed or may
    yet be recorded. steps: the number of steps that have been replayed.
    """

    def __init__(self) -> None:
        self.fallback_reason: str | None = None
        self.steps = 0
        self._recordings: dict[Any, Recording] = {}
        self._plain_runs: dict[Any, int] = {}
        self._failures: dict[Any, list[str]] = {}
        self._calls = self._changes = 0
        self._arena = Arena()
        self._graph_memory: GraphMemory | None = None
        self._known_attributes: list[Attributes] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Replay:
        return Replay()  # a recording refers to the memory of one GAN

    def __call__(self, step: Step, inputs: StepInputs) -> Report:
        """Run `step` on `inputs`, by a replay where there is a recording; returns what `step.run(inputs)` returns."""
        input_leaves = leaves(inputs)
        if not backend.current().can_replay:
            return self._run_plainly(step, inputs, "steps are replayed on NumPy and CuPy arrays only")
        leaf_types = signature(input_leaves)
        if inputs.uploads:  # from host and device come leaves of the same types, but copied together or alone
            leaf_types += tuple(upload.size for upload in inputs.uploads)
        key = leaf_types, backend.configuration(), self._current_attributes(step)
        recording = self._find_recording(key)
        if recording is None:
            return self._run_without_recording(key, step, inputs)
        if not recording.is_ready():
            return self._run_plainly(step, inputs, None)
        self.fallback_reason, recording.last_used = None, self._calls
        if recording.verified:
            self.steps += 1
            return recording.run(step, inputs, input_leaves)
        report = recording.verify(step, inputs, self._arena)
        if not recording.verified:
            del self._recordings[key]
            self._add_failure(key, "it does not do the same for inputs of the same shapes and types")
        return report

    def _run_plainly(self, step: Step, inputs: StepInputs, reason: str | None) -> Report:
        self.fallback_reason = reason
        return step.run(inputs)

    def _current_attributes(self, step: Step) -> Attributes:
        """The attributes on which the step depends; the same object for as long as they are unchanged."""
        for position, known in enumerate(self._known_attributes):
            if known.are_unchanged():
                if position:
                    self._known_attributes.insert(0, self._known_attributes.pop(position))  # compared first next time
                self._changes = 0
                return known
        self._changes += 1
        self._known_attributes = [step.attributes(), *self._known_attributes[: _MAX_KNOWN_ATTRIBUTES - 1]]
        self._drop_unknown_attributes()
        return self._known_attributes[0]

    def _drop_unknown_attributes(self) -> None:
        """Drop all entries for attributes that are no longer known: they would keep the networks of these in memory."""
        tables: tuple[dict[Any, Any], ...] = (self._recordings, self._plain_runs, self._failures)
        for table in tables:
            for key in [key for key in table if key[-1] not in self._known_attributes]:
                del table[key]

    def _find_recording(self, key: Any) -> Recording | None:
        """The recording for `key`, unless parameters or buffers have been moved since it was made."""
        self._calls += 1
        recording = self._recordings.get(key)
        if recording is not None and recording.is_stale():
            del self._recordings[key]
            self._plain_runs.pop(key, None)
            return None
        return recording

    def _run_without_recording(self, key: Any, step: Step, inputs: StepInputs) -> Report:
        """Run the step as usual; record it if enough plain runs have been made before."""
        reason = self._obstacle(key)
        runs = _entry(self._plain_runs, key, 0) + 1
        self._plain_runs[key] = runs
        if reason is not None or not _PLAIN_RUNS < runs <= _PLAIN_RUNS + _MAX_FAILURES:
            return self._run_plainly(step, inputs, reason)
        report, recording = self._record(step, inputs, key[2])
        if isinstance(recording, Recording):
            recording.last_used = self._calls
            self._recordings[key] = recording
        else:
            self._add_failure(key, recording)
        return report

    def _record(self, step: Step, inputs: StepInputs, attributes: Attributes) -> tuple[Report, Recording | str]:
        library = backend.current()
        if library.xp is np:
            return calls.record(step, inputs, attributes, self._arena)
        if self._graph_memory is None:
            self._graph_memory = GraphMemory()
        report, recording = graph.record(step, inputs, attributes, self._graph_memory)
        if recording == NO_MEMORY:  # plain steps need what this capture and earlier graphs have taken
            self._recordings.clear()
            self._graph_memory = None
        return report, recording

    def _obstacle(self, key: Any) -> str | None:
        """Why the step cannot be recorded for `key`, as a clause; None if recording can be tried."""
        if any(isinstance(leaf, type) and leaf is not NoneType for leaf in key[0]):
            return "its penalty has no attribute 'draw' that draws its random numbers"
        if self._changes > _MAX_CHANGES:
            return "its Python attributes change from step to step"
        failures = self._failures.get(key[1:], [])
        if len(failures) >= _MAX_FAILURES:
            return failures[-1]
        if not self._below_limit():
            return f"its inputs have more than {_MAX_RECORDINGS} combinations of shapes and types"
        return None

    def _below_limit(self) -> bool:
        """Whether another recording may be kept; drops one that has not been used for long if there are too many."""
        if len(self._recordings) < _MAX_RECORDINGS:
            return True
        oldest = min(self._recordings, key=lambda key: self._recordings[key].last_used)
        if self._calls - self._recordings[oldest].last_used < _UNUSED_STEPS:
            return False
        del self._recordings[oldest]
        self._plain_runs.pop(oldest, None)
        return True

    def _add_failure(self, key: Any, reason: str) -> None:
        self.fallback_reason = reason
        _entry(self._failures, key[1:], []).append(reason)


def _entry(table: dict[Any, Any], key: Any, initial: Any) -> Any:
    """The entry of `key`, which is `initial` if there is none; a full table drops its oldest entry."""
    if key not in table:
        if len(table) >= _MAX_COUNTED_KEYS:
            del table[next(iter(table))]
        table[key] = initial
    return table[key]
