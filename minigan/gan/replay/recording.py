"""The recording of one training step: when it can be used, and how it is replayed; see `calls` and `graph`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Parameter, Variable
from minigan.core import backend
from minigan.gan.inputs import StepInputs, leaves
from minigan.gan.replay.arena import Arena, trim_heap
from minigan.gan.replay.attributes import Attributes
from minigan.gan.replay.memory import owner
from minigan.gan.replay.saved import SavedArrays
from minigan_kernels.packed_weights import PackedWeights

Report = dict[str, Tensor]
Sources = Callable[[StepInputs, Sequence[Tensor | None]], list[Any]]
BoundCall = tuple[Callable[..., Any], tuple[Any, ...]]
CHANGES_ATTRIBUTES = "it changes Python attributes, which a replay would not"
NO_MEMORY = "there is not enough memory for it"


class Step(Protocol):
    """A step that can be recorded.

    run(inputs): the computation, which changes only the arrays `memory()`, in place. variables(): the Parameters and
    Buffers among these. attributes(): all Python attributes on which the step may depend. count_updates(inputs): the
    part of a step that a replay of its computation leaves out. uncounted(): a context that takes back, when it ends,
    the updates that were counted in it.
    """

    def run(self, inputs: StepInputs) -> Report: ...
    def memory(self) -> list[Any]: ...
    def variables(self) -> list[Variable]: ...
    def attributes(self) -> Attributes: ...
    def count_updates(self, inputs: StepInputs) -> None: ...
    def uncounted(self) -> AbstractContextManager[None]: ...


class Recording:
    """The calls of one run of `step`, and the memory that they use.

    inputs: the arrays into which a replay copies its inputs. sources: a function of a step's inputs and of their leaves
    that returns the arrays to copy there. verified: whether a replay has been compared with a plain run and gave the
    same bits. last_used: the number of the step that used it last, as counted by `Replay`.
    """

    def __init__(self, step: Step, inputs: list[Any], sources: Sources) -> None:
        self.verified, self.last_used = False, 0
        self.inputs, self._sources = inputs, sources
        self._variables = step.variables()
        self._data = [(variable, variable.data) for variable in self._variables]
        self._packed = [variable.packed_weights for variable in self._variables if isinstance(variable, Parameter)]
        self._packed_before = _snapshots(self._packed)
        self.memory = _owners(step.memory())
        self.packed = _owners(
            [array for snapshot in self._packed_before for array, *_ in snapshot.values() if array is not None]
        )

    def packed_weights_obstacle(self) -> str | None:
        """Why replays could not restore the packed weights that the step has just left; None if they can."""
        self._packed_after = _snapshots(self._packed)
        packed = _owners([array for snapshot in self._packed_after for array, valid, *_ in snapshot.values() if valid])
        if any(all(array is not old for old in self.packed) for array in packed):
            return "kernels keep packed weights in other memory than before"
        return None

    def restore_packed_weights(self) -> None:
        """Put the packed weights back into their state before the step, which has changed no numbers."""
        for packed, snapshot in zip(self._packed, self._packed_before, strict=True):
            packed.restore(snapshot)

    def prepare(self, calls: list[BoundCall], report: dict[str, Any], copy_report: Callable[[], Report]) -> None:
        """Take over what a replay does. calls: pairs (function, arguments) that repeat the step on `inputs`, in order.

        report: the arrays in which they leave the report's scalars, by name. copy_report: returns copies of these.
        """
        self._calls, self._report, self._copy_report = calls, report, copy_report
        used = [i for i, snapshot in enumerate(self._packed_after) if snapshot or self._packed_before[i]]
        self._packed = [self._packed[i] for i in used]
        self._packed_before, self._packed_after = (
            [snapshots[i] for i in used] for snapshots in (self._packed_before, self._packed_after)
        )
        self._buffers = [variable for variable in self._variables if not isinstance(variable, Parameter)]

    def is_stale(self) -> bool:
        """Whether a parameter or buffer has been moved to other memory since the recording."""
        return any(variable.data is not data for variable, data in self._data)

    def is_ready(self) -> bool:
        """Whether the packed weights are as they were before the recorded step.

        Packed weights that lie in other memory are copied to where they were.
        """
        for packed, before in zip(self._packed, self._packed_before, strict=True):
            now = packed.snapshot()
            for name, (array, valid, *_) in before.items():
                if not valid:
                    continue  # the step packs these weights itself
                current, is_valid = now[name][:2] if name in now else (None, False)
                if current is None or not is_valid:
                    return False
                if current is not array:
                    array[...] = current
        return True

    def run(self, step: Step, inputs: StepInputs, input_leaves: Sequence[Tensor | None]) -> Report:
        """Replay the step on `inputs`, whose leaves are `input_leaves`."""
        try:
            self._call(inputs, input_leaves)
        except BaseException:  # such as Ctrl-C: what was computed from the old numbers must count as outdated
            self._count_versions()
            raise
        step.count_updates(inputs)
        for buffer in self._buffers:
            buffer.increment_version()
        for packed, snapshot in zip(self._packed, self._packed_after, strict=True):
            packed.restore(snapshot)
        return self._copy_report()

    def verify(self, step: Step, inputs: StepInputs, arena: Arena) -> Report:
        """Run `step` on `inputs` and compare the bits with those of a replay; sets `verified`, returns the report.

        It uses no more memory than a plain run or a replay does; see `SavedArrays`.
        """
        trim_heap()
        before = SavedArrays(self.memory)
        try:
            self._call(inputs, leaves(inputs))
            replayed = [_digest(array) for array in (*self.memory, *self._report.values())]
        finally:
            for packed in self._packed:
                packed.mark_stale()
            before.restore()
        arena.release()
        report = step.run(inputs)
        plain = [_digest(array) for array in (*self.memory, *(value.data for value in report.values()))]
        self.verified = replayed == plain and list(report) == list(self._report)
        trim_heap()
        return report

    def _call(self, inputs: StepInputs, input_leaves: Sequence[Tensor | None]) -> None:
        for array, source in zip(self.inputs, self._sources(inputs, input_leaves), strict=True):
            array[...] = source
        for function, arguments in self._calls:
            function(*arguments)

    def _count_versions(self) -> None:
        for variable in self._variables:
            variable.increment_version()


def _owners(arrays: Sequence[Any]) -> list[Any]:
    """The arrays that own the memory of `arrays`, each once."""
    return list({id(memory): memory for memory in map(owner, arrays)}.values())


def _snapshots(packed: Sequence[PackedWeights]) -> list[dict[Any, tuple]]:
    return [weights.snapshot() for weights in packed]


def _digest(array: Any) -> bytes:
    on_host = array if isinstance(array, np.ndarray) else backend.of(array).to_numpy(array)
    return hashlib.sha256(np.ascontiguousarray(on_host).reshape(-1).view(np.uint8).data).digest()
