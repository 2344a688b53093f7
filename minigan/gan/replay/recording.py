"""One training step, recorded: how it is made, when it serves, and what a replay does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Parameter, Variable
from minigan.core import backend
from minigan.gan.inputs import StepInputs, leaves, mapped
from minigan.gan.replay.arena import Arena, trim_heap
from minigan.gan.replay.attributes import Attributes
from minigan.gan.replay.memory import owner
from minigan.gan.replay.plan import Plan
from minigan.gan.replay.recorder import Recorder, View
from minigan_kernels.packed_weights import PackedWeights

Report = dict[str, Tensor]


class Game(Protocol):
    """What is replayed.

    play(inputs): the step, which changes only `memory()`, in place. variables(): the Parameters and Buffers among it.
    attributes(): all Python attributes that the step may depend on. played(inputs): counts the updates of
    a step that has been replayed.
    """

    def play(self, inputs: StepInputs) -> Report: ...
    def memory(self) -> list[Any]: ...
    def variables(self) -> list[Variable]: ...
    def attributes(self) -> Attributes: ...
    def played(self, inputs: StepInputs) -> None: ...


def record(game: Game, inputs: StepInputs, arena: Arena) -> tuple[Report, Recording | str]:
    """What `game.play(inputs)` returns and does, and its recording, or why there can be none, as a clause."""
    inputs = mapped(inputs, lambda leaf: Tensor(leaf.data.copy()))  # memory of our own, which replays overwrite
    recording = Recording(game, [leaf.data for leaf in leaves(inputs) if leaf is not None])
    recorder = Recorder([*recording.memory, *recording.kept, *recording.inputs])
    backend.recorder, before = recorder, backend.recorder
    try:
        report = game.play(inputs)
    finally:
        backend.recorder = before
    views = {name: recorder.known_view(value.data) for name, value in report.items()}
    reason = recorder.refused or recording.why_not_kept()
    if reason is None:
        try:
            recording.prepare(recorder, views, arena)
        except MemoryError:
            reason = "there is not enough memory for it"
    return report, recording if reason is None else reason


class Recording:
    """The calls of one step of `game`, and the memory that they use.

    proven: whether a replay has been seen to give what a plain run gives. served: when it was used last, as its owner
    counts.
    """

    def __init__(self, game: Game, inputs: list[Any]) -> None:
        self.proven, self.served = False, 0
        self.inputs = inputs
        self._variables = game.variables()
        self._places = [(variable, variable.data) for variable in self._variables]
        self._memos = [variable.packed_weights for variable in self._variables if isinstance(variable, Parameter)]
        self._before = _snapshots(self._memos)
        self.memory = _owners(game.memory())
        self.kept = _owners([array for memo in self._before for array, *_ in memo.values() if array is not None])

    def why_not_kept(self) -> str | None:
        """Why a step that has just been played leaves something else than replays of it would; None if it does not."""
        self._after = _snapshots(self._memos)
        kept = _owners([array for memo in self._after for array, fresh, *_ in memo.values() if fresh])
        if any(all(array is not old for old in self.kept) for array in kept):
            return "kernels keep what they make of the weights in other memory than before"
        return None

    def prepare(self, recorder: Recorder, report: dict[str, Any], arena: Arena) -> None:
        """Plan the memory of the calls that were noted."""
        plan = Plan(recorder.calls, [view for view in report.values() if isinstance(view, View)], arena)
        self._calls = plan.calls
        self._report = {name: plan.array(view) for name, view in report.items()}
        used = [i for i, memo in enumerate(self._after) if memo or self._before[i]]
        self._memos = [self._memos[i] for i in used]
        self._before, self._after = ([of[i] for i in used] for of in (self._before, self._after))
        self._buffers = [variable for variable in self._variables if not isinstance(variable, Parameter)]

    def is_stale(self) -> bool:
        """Whether the parameters or buffers have meanwhile been moved to other memory."""
        return any(variable.data is not data for variable, data in self._places)

    def is_ready(self) -> bool:
        """Whether what kernels keep of the parameters is as it was before the recorded step.

        If it is kept elsewhere it is copied to where that was.
        """
        for memo, before in zip(self._memos, self._before, strict=True):
            now = memo.snapshot()
            for name, (array, fresh, *_) in before.items():
                if not fresh:
                    continue  # the step makes it itself
                there, is_fresh = now[name][:2] if name in now else (None, False)
                if there is None or not is_fresh:
                    return False
                if there is not array:
                    np.copyto(array, there)
        return True

    def run(self, game: Game, inputs: StepInputs, given: Sequence[Tensor | None]) -> Report:
        """Replay the step on `inputs`, of which `given` are the leaves."""
        try:
            self._call(given)
        except BaseException:  # Ctrl-C: nobody may take what was made of the old numbers for that of the new ones
            self._say_changed()
            raise
        game.played(inputs)
        for buffer in self._buffers:
            buffer.changed()
        for memo, snapshot in zip(self._memos, self._after, strict=True):
            memo.restore(snapshot)
        return {name: Tensor(value.copy()) for name, value in self._report.items()}

    def prove(self, game: Game, inputs: StepInputs, arena: Arena) -> Report:
        """What `game.play(inputs)` returns and does; it becomes `proven` if a replay does the same.

        At no time there is more memory in use than for a plain run and a copy of what it changes.
        """
        trim_heap()
        before = [array.copy() for array in self.memory]
        try:
            self._call(leaves(inputs))
            replayed = [_digest(array) for array in (*self.memory, *self._report.values())]
        finally:
            for array, values in zip(self.memory, before, strict=True):
                array[...] = values
            for memo in self._memos:
                memo.mark_stale()
        del before
        arena.give_back()
        report = game.play(inputs)
        plain = [_digest(array) for array in (*self.memory, *(value.data for value in report.values()))]
        self.proven = replayed == plain and list(report) == list(self._report)
        trim_heap()
        return report

    def _call(self, given: Sequence[Tensor | None]) -> None:
        for place, leaf in zip(self.inputs, [leaf for leaf in given if leaf is not None], strict=True):
            place[...] = leaf.data
        for function, arguments in self._calls:
            function(*arguments)

    def _say_changed(self) -> None:
        for variable in self._variables:
            variable.changed()


def _owners(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays that own the memory of `arrays`, each once."""
    return list({id(memory): memory for memory in map(owner, arrays)}.values())


def _snapshots(memos: Sequence[PackedWeights]) -> list[dict[Any, tuple]]:
    return [memo.snapshot() for memo in memos]


def _digest(array: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).digest()
