"""Run a training step, record it, replay it: the same numbers without the engine's Python (after tinygrad's TinyJit).

A step is a function of inputs and of memory that it changes in place. Its first runs are plain ones. Then it is
recorded: every kernel and array function that it calls, with the arrays that they take. A replay copies the inputs to
where the recorded ones lay and makes the same calls again, on memory that is planned once. Inputs of another form (of
other shapes, with a penalty or without) are recorded anew. The first replay of each recording is held against a plain
run, bit for bit.

What cannot be recorded runs as ever, and `Replay.refused` says why: what reads numbers on the host, or computes with
arrays that no operation of minigan has made.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any, Protocol

import numpy as np

from minigan import backend
from minigan.autodiff import Tensor
from minigan.inputs import StepInputs, form, leaves, mapped
from minigan.parameter import Parameter, Variable
from minigan.replay.plan import Plan
from minigan.replay.recorder import Recorder, View
from minigan_kernels.memo import Memo

_PLAIN_RUNS = 2  # before the first recording: kernels compile, and memos find out what is worth keeping
_MOST_RECORDINGS = 8
_MOST_FAILURES = 3

Report = dict[str, Tensor]


class Game(Protocol):
    """What is replayed: `play(inputs)`, which changes only `memory()`; `replayed(inputs)` counts these changes.

    `settings()`: what else decides what it does.
    """

    def play(self, inputs: StepInputs) -> Report: ...
    def memory(self) -> list[Any]: ...
    def variables(self) -> list[Variable]: ...
    def replayed(self, inputs: StepInputs) -> None: ...
    def settings(self) -> tuple[Any, ...]: ...


class Replay:
    """The recordings of one game's step, by the form of its inputs.

    refused: why the step cannot be replayed, as a clause; None so far. steps: how many have been replayed.
    """

    def __init__(self) -> None:
        self.refused: str | None = None
        self.steps = 0
        self._runs = self._failures = 0
        self._recordings: dict[Any, _Recording] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Replay:
        return Replay()  # a recording holds the memory of one game

    def __call__(self, game: Game, inputs: StepInputs) -> Report:
        """What `game.play(inputs)` returns and does."""
        self._runs += 1
        if self.refused is not None or self._runs <= _PLAIN_RUNS or backend.current().xp is not np:
            return game.play(inputs)
        given = leaves(inputs)
        if any(not isinstance(leaf, (Tensor, NoneType)) for leaf in given):
            self.refused = "the penalty draws numbers of its own in it"
            return game.play(inputs)
        key = form(given), game.settings(), backend.generation()
        recording = self._recordings.get(key)
        if recording is None:
            return self._record(key, game, inputs)
        if not recording.fits():
            self._discard(key)
            return game.play(inputs)
        if recording.proven:
            self.steps += 1
            return recording.run(game, inputs, given)
        report = recording.prove(game, inputs)
        if not recording.proven:
            self._discard(key)
        return report

    def _record(self, key: Any, game: Game, inputs: StepInputs) -> Report:
        recording = _Recording(game)
        report = recording.record(game, inputs)
        if recording.refused is not None:
            self.refused = recording.refused
            self._recordings.clear()
        elif recording.usable:
            while len(self._recordings) >= _MOST_RECORDINGS:
                del self._recordings[next(iter(self._recordings))]
            self._recordings[key] = recording
        return report

    def _discard(self, key: Any) -> None:
        del self._recordings[key]
        self._failures += 1
        if self._failures > _MOST_FAILURES:
            self.refused = "it does not do the same for inputs of the same form"


class _Recording:
    """One recorded step; `proven` when a replay has been seen to give what a plain run gives."""

    def __init__(self, game: Game) -> None:
        self.refused: str | None = None
        self.usable = self.proven = False
        self._memory, self._variables = game.memory(), game.variables()
        self._memos = [variable.memo for variable in self._variables if isinstance(variable, Parameter)]
        self._before = _snapshots(self._memos)

    def record(self, game: Game, inputs: StepInputs) -> Report:
        """What `game.play(inputs)` returns and does, noted."""
        inputs = mapped(inputs, lambda leaf: Tensor(leaf.data.copy()))  # memory of our own, which replays overwrite
        self._inputs = [leaf.data for leaf in leaves(inputs) if leaf is not None]
        self._memory += [array for memo in self._before for array, *_ in memo.values() if array is not None]
        recorder = Recorder([*self._memory, *self._inputs])
        backend.recorder, before = recorder, backend.recorder
        try:
            report = game.play(inputs)
        finally:
            backend.recorder = before
        self._after = _snapshots(self._memos)
        self.refused = recorder.refused
        if self.refused is None and self._keeps_memory():
            self._prepare(recorder, report)
        return report

    def _keeps_memory(self) -> bool:
        """Whether what kernels keep of the parameters lies where it lay before; else the next step is recorded."""
        kept = [array for memo in self._after for array, fresh, *_ in memo.values() if fresh]
        return all(any(array is old for old in self._memory) for array in kept)

    def _prepare(self, recorder: Recorder, report: Report) -> None:
        views = [recorder.view(value.data) for value in report.values()]
        plan = Plan(recorder.steps, [view for view in views if isinstance(view, View)])
        self._calls = plan.calls
        self._report = {name: plan.array(view) for name, view in zip(report, views, strict=True)}
        used = [i for i, memo in enumerate(self._after) if memo or self._before[i]]
        self._memos = [self._memos[i] for i in used]
        self._before, self._after = ([of[i] for i in used] for of in (self._before, self._after))
        self._buffers = [variable for variable in self._variables if not isinstance(variable, Parameter)]
        self.usable = True

    def fits(self) -> bool:
        """Whether what kernels keep of the parameters is what it was before the recorded step."""
        return all(map(_same, self._before, _snapshots(self._memos)))

    def run(self, game: Game, inputs: StepInputs, given: Sequence[Tensor | None]) -> Report:
        """Replay the step on `inputs`, of which `given` are the leaves."""
        self._call(given)
        game.replayed(inputs)
        for buffer in self._buffers:
            buffer.changed()
        for memo, snapshot in zip(self._memos, self._after, strict=True):
            memo.restore(snapshot)
        return {name: Tensor(value.copy()) for name, value in self._report.items()}

    def prove(self, game: Game, inputs: StepInputs) -> Report:
        """What `game.play(inputs)` returns and does; it becomes `proven` if a replay does the same."""
        before = [array.copy() for array in self._memory]
        self._call(leaves(inputs))
        replayed = [array.copy() for array in (*self._memory, *self._report.values())]
        for array, values in zip(self._memory, before, strict=True):
            array[...] = values
        report = game.play(inputs)
        plain = [*self._memory, *(value.data for value in report.values())]
        self.proven = all(a.tobytes() == b.tobytes() for a, b in zip(replayed, plain, strict=True))
        return report

    def _call(self, given: Sequence[Tensor | None]) -> None:
        for place, leaf in zip(self._inputs, [leaf for leaf in given if leaf is not None], strict=True):
            place[...] = leaf.data
        for function, arguments in self._calls:
            function(*arguments)


def _snapshots(memos: Sequence[Memo]) -> list[dict[Any, tuple]]:
    return [memo.snapshot() for memo in memos]


def _same(one: dict[Any, tuple], other: dict[Any, tuple]) -> bool:
    """Whether two snapshots of a memo hold the same arrays, as fresh."""
    return one.keys() == other.keys() and all(
        one[name][0] is other[name][0] and one[name][1] == other[name][1] for name in one
    )
