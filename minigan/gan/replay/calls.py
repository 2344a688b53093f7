"""Records a training step on NumPy arrays as a list of calls, on memory that is planned once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minigan_kernels
from minigan.autodiff import Tensor
from minigan.core import backend
from minigan.gan.inputs import StepInputs, leaves, tree_map
from minigan.gan.replay.arena import Arena
from minigan.gan.replay.attributes import Attributes
from minigan.gan.replay.plan import Plan
from minigan.gan.replay.recorder import Recorder, View
from minigan.gan.replay.recording import CHANGES_ATTRIBUTES, NO_MEMORY, Recording, Report, Step


def record(step: Step, inputs: StepInputs, attributes: Attributes, arena: Arena) -> tuple[Report, Recording | str]:
    """Run `step`; returns its report, and the recording or, as a clause, the reason why it cannot be recorded."""
    inputs = tree_map(inputs, lambda leaf: Tensor(leaf.data.copy()))  # arrays of our own, which replays overwrite
    recording = Recording(step, _arrays(inputs, leaves(inputs)), _arrays)
    recorder = Recorder([*recording.memory, *recording.packed, *recording.inputs])
    with backend.recording_by(recorder):
        report = step.run(inputs)
    views = {name: recorder.known_view(value.data) for name, value in report.items()}
    reason = recorder.refusal or recording.packed_weights_obstacle()
    if not attributes.are_unchanged():
        reason = CHANGES_ATTRIBUTES
    if reason is not None:
        return report, reason
    try:
        plan = Plan(recorder.calls, [view for view in views.values() if isinstance(view, View)], arena)
    except MemoryError:
        return report, NO_MEMORY
    scalars = {name: plan.array(view) for name, view in views.items()}
    calls = minigan_kernels.join_calls(backend.current().kernels, plan.calls)
    recording.prepare(calls, scalars, lambda: {name: Tensor(scalar.copy()) for name, scalar in scalars.items()})
    return report, recording


def _arrays(inputs: StepInputs, input_leaves: Sequence[Tensor | None]) -> list[Any]:
    return [leaf.data for leaf in input_leaves if leaf is not None]
