"""Records a training step on CuPy arrays as one CUDA graph, which a replay launches.

The step is run plainly, and then once more while it is captured: a capture executes nothing, so the numbers are those
of the plain run. In that run the recorder only looks for what a capture could not contain. So the capture rarely fails;
if it does, no number has changed, and no attribute: a step that changes attributes is not captured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minigan.autodiff import Tensor
from minigan.core import backend
from minigan.core.errors import clause
from minigan.gan.inputs import StepInputs, leaves, tree_map
from minigan.gan.replay.attributes import Attributes
from minigan.gan.replay.memory import flatten_results, unknown_array
from minigan.gan.replay.recording import CHANGES_ATTRIBUTES, NO_MEMORY, Recording, Report, Sources, Step
from minigan_kernels.cuda.graphs import GraphMemory, address_of_block, same_view


def record(
    step: Step, inputs: StepInputs, attributes: Attributes, memory: GraphMemory
) -> tuple[Report, Recording | str]:
    """Run `step`; returns its report, and the recording or, as a clause, the reason why it cannot be recorded."""
    observer = _Observer()
    with backend.recording_by(observer):
        report = step.run(inputs)
    if observer.refusal is not None:
        return report, observer.refusal
    if not attributes.are_unchanged():
        return report, CHANGES_ATTRIBUTES
    try:
        return report, _capture(step, inputs, memory)
    except _NotCapturableError as error:
        return report, str(error)
    except MemoryError:
        return report, NO_MEMORY
    except Exception as error:  # CuPy has many kinds, such as NotImplementedError for cuBLAS
        return report, f"a CUDA graph cannot contain it ({clause(error)})"


def _capture(step: Step, inputs: StepInputs, memory: GraphMemory) -> Recording:
    own, arrays, sources = _own_arrays(inputs)
    recording = Recording(step, arrays, sources)
    known = _KnownArrays([*recording.memory, *recording.packed, *recording.inputs])
    try:
        with step.uncounted(), backend.recording_by(known):
            (report, scalars), graph = memory.capture(lambda: _run(step, own, known), known.forget)
        if obstacle := recording.packed_weights_obstacle():
            raise _NotCapturableError(obstacle)
    finally:
        recording.restore_packed_weights()

    def copy_report() -> Report:
        copied = scalars.copy()
        return {name: Tensor(copied[i]) for i, name in enumerate(report)}

    recording.prepare([(graph.launch, ())], {name: scalars[i] for i, name in enumerate(report)}, copy_report)
    return recording


def _run(step: Step, inputs: StepInputs, known: _KnownArrays) -> tuple[list[str], Any]:
    """Run `step` on `inputs`; returns the names in its report, and its scalars in one array, to be copied at once."""
    report = step.run(inputs)
    values = [value.data for value in report.values()]
    known.require(values)
    scalars = backend.current().xp.empty(len(values), values[0].dtype)
    for i, value in enumerate(values):
        scalars[i] = value
    return list(report), scalars


def _own_arrays(inputs: StepInputs) -> tuple[StepInputs, list[Any], Sources]:
    """`inputs` in arrays of their own, which replays overwrite; these arrays; and which arrays to copy there.

    Leaves that have come to the device in one copy are copied at once, too.
    """
    uploads = [(upload, upload.copy()) for upload in inputs.uploads]
    others: list[Any] = []
    positions: list[int] = []  # of the other leaves among all

    def own(leaf: Tensor, position: int) -> Tensor:
        for upload, copy in uploads:
            view = same_view(leaf.data, upload, copy)
            if view is not None:
                return Tensor(view)
        positions.append(position)
        others.append(leaf.data.copy())
        return Tensor(others[-1])

    numbers = iter([i for i, leaf in enumerate(leaves(inputs)) if leaf is not None])
    result = tree_map(inputs, lambda leaf: own(leaf, next(numbers)))

    def sources(inputs: StepInputs, input_leaves: Sequence[Tensor | None]) -> list[Any]:
        chosen = [input_leaves[position] for position in positions]
        return [*inputs.uploads, *[leaf.data for leaf in chosen if leaf is not None]]

    return result, [*(copy for _, copy in uploads), *others], sources


class _NotCapturableError(Exception):
    """The step cannot be replayed; the message says why, as a clause."""


class _Observer:
    """The value of `backend.recorder` during the plain run; `refusal`: why the step cannot be captured, or None."""

    refusal: str | None = None

    def forward(
        self, forward: Callable[..., Any], library: backend.Backend, arrays: Sequence[Any], static: dict[str, Any]
    ) -> Any:
        return forward(library, *arrays, **static)

    def kernel(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def refuse(self, reason: str) -> None:
        self.refusal = self.refusal or reason


class _KnownArrays:
    """The value of `backend.recorder` during the capture: refuses arrays whose numbers a replay would not reproduce.

    The memory of `persistent` arrays outlives the graph; any other must have been written by an operation or a kernel
    since it was allocated. An array from elsewhere might hold other numbers the next time, or be freed before.
    """

    def __init__(self, persistent: Iterable[Any]) -> None:
        self._array_type = backend.current().array_type
        self._within_forward = False
        self._known = {0, *(address_of_block(array) for array in persistent if isinstance(array, self._array_type))}

    def forward(
        self, forward: Callable[..., Any], library: backend.Backend, arrays: Sequence[Any], static: dict[str, Any]
    ) -> Any:
        self.require(arrays)
        self._within_forward = True
        try:
            returned = forward(library, *arrays, **static)
        finally:
            self._within_forward = False
        self._add(flatten_results(returned))
        return returned

    def kernel(self, operation: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._within_forward:  # it computes on the forward's arguments, and on what the forward made of them
            return function

        def checked(*arguments: Any, **options: Any) -> Any:
            self.require(arguments)
            returned = function(*arguments, **options)
            self._add(flatten_results(returned))
            return returned

        return checked

    def refuse(self, reason: str) -> None:
        raise _NotCapturableError(reason)

    def forget(self, address: int) -> None:
        """The block at `address` has just been allocated: it holds no numbers of the step."""
        self._known.discard(address)

    def require(self, arrays: Iterable[Any]) -> None:
        """Refuse the step unless all `arrays` are known."""
        for x in arrays:
            if isinstance(x, self._array_type) and address_of_block(x) not in self._known:
                self.refuse(unknown_array(x))

    def _add(self, arrays: Iterable[Any]) -> None:
        self._known.update(address_of_block(x) for x in arrays if isinstance(x, self._array_type))
