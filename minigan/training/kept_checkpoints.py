"""Which checkpoints a run keeps besides the last one, and finding one of them by its step or as the best."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from minigan.core import files
from minigan.core.errors import CheckpointError, UsageError
from minigan.training import checkpoint
from minigan.training.run_folder import RunFolder
from minigan.training.settings import RunSettings

BEST = "best"


def save(folder: RunFolder, state: Mapping[str, np.ndarray], config: RunSettings, score: float | None) -> None:
    """Save `state` as the last checkpoint, and remove the earlier ones that are no longer kept.

    A run keeps the last `config.keep_checkpoints`, this one included, and the one of the best score. Only those of
    steps that `config.checkpoint_every` divides are kept, so that an interrupted run keeps the same ones.
    """
    step, scores = int(state["step"]), _scores(folder)
    steps_to_keep = _steps_to_keep(scores | {step: score}, step, config)
    with suppress(CheckpointError):  # the last checkpoint was removed or damaged: nothing to keep
        last = checkpoint.read_metadata(folder.checkpoint).step
        if last in steps_to_keep:
            files.link(folder.checkpoint, folder.earlier_path(last))
    checkpoint.save(folder.checkpoint, state, config.recipe, score)
    _remove_all_but(steps_to_keep, folder)


def remove_superfluous(folder: RunFolder, config: RunSettings) -> None:
    """Remove the checkpoints that an interrupted `save` left, or that the configuration no longer keeps."""
    last = checkpoint.read_metadata(folder.checkpoint).step
    _remove_all_but(_steps_to_keep(_scores(folder), last, config), folder)


def choose(folder: RunFolder, selection: str | None) -> Path:
    """The checkpoint that `selection` names: a step, "best" for the one of the best score, or None for the last.

    Raises UsageError, which lists the existing checkpoints, if there is no such checkpoint.
    """
    if selection is None:
        return folder.checkpoint
    if selection == BEST:
        scored = {step: score for step, score in _scores(folder).items() if score is not None}
        if not scored:
            raise UsageError(
                f"no checkpoint of {folder.path} has a score, as points have, and pictures with --evaluate-every; "
                f"name a step: {_steps_as_text(folder)}."
            )
        return _path_of(folder, max(scored, key=lambda step: (scored[step], -step)))
    steps = {str(step): step for step in _scores(folder)}
    step = steps.get(selection.lstrip("0") or selection[:1])  # leading zeros, as in file names
    if step is None:
        raise UsageError(f"there is no checkpoint '{selection}' in {folder.path}; there are: {_steps_as_text(folder)}.")
    return _path_of(folder, step)


def earlier_in_words(folder: RunFolder) -> str:
    """The steps of the earlier checkpoints, such as "20 or 40"; "" if there are none."""
    return " or ".join(map(str, folder.earlier_paths()))


def _path_of(folder: RunFolder, step: int) -> Path:
    with suppress(CheckpointError):
        if checkpoint.read_metadata(folder.checkpoint).step == step:
            return folder.checkpoint
    return folder.earlier_path(step)


def _steps_as_text(folder: RunFolder) -> str:
    return ", ".join(map(str, sorted(_scores(folder)))) or "none that can be read"


def _scores(folder: RunFolder) -> dict[int, float | None]:
    """The score of each checkpoint that can be read, by step."""
    scores = {}
    for path in [*folder.earlier_paths().values(), folder.checkpoint]:
        with suppress(CheckpointError):
            note = checkpoint.read_metadata(path)
            if path in (folder.checkpoint, folder.earlier_path(note.step)):
                scores[note.step] = note.score
    return scores


def _steps_to_keep(scores: Mapping[int, float | None], last: int, config: RunSettings) -> set[int]:
    """The steps before `last` whose checkpoints to keep; `scores`: of all existing checkpoints, by step."""
    regular = {step: score for step, score in scores.items() if step <= last and not step % config.checkpoint_every}
    earlier = sorted(step for step in regular if step < last)
    steps = set(earlier[max(0, len(earlier) - config.keep_checkpoints + 1) :])
    scored = {step: score for step, score in regular.items() if score is not None}
    if scored:
        steps.add(max(scored, key=lambda step: (scored[step], -step)))
    return steps - {last}


def _remove_all_but(steps: set[int], folder: RunFolder) -> None:
    for step, path in folder.earlier_paths().items():
        if step not in steps:
            path.unlink()
