"""Which checkpoints a run keeps beside the last one, and which of them is meant by a step or by "best"."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from minigan.core import files
from minigan.core.errors import CheckpointError, UsageError
from minigan.training import checkpoint
from minigan.training.config import RunConfig
from minigan.training.run_folder import RunFolder

BEST = "best"


def save(folder: RunFolder, state: Mapping[str, np.ndarray], config: RunConfig, score: float | None) -> None:
    """Make `state` the last checkpoint, and keep of the earlier ones what is due.

    Those are the `config.keep_checkpoints` last, this one included, and that of the best score. Only those of steps
    that `config.checkpoint_every` divides are kept, so that a run which was interrupted keeps the same ones.
    """
    step, scores = int(state["step"]), _scores(folder)
    kept = _due(scores | {step: score}, step, config)
    with suppress(CheckpointError):  # removed or damaged while the run went on: then there is nothing to keep of it
        last = checkpoint.read_metadata(folder.checkpoint).step
        if last in kept:
            files.link(folder.checkpoint, folder.earlier_path(last))
    checkpoint.save(folder.checkpoint, state, config.recipe, score)
    _remove_all_but(kept, folder)


def remove_superfluous(folder: RunFolder, config: RunConfig) -> None:
    """Remove what a `save` that was cut short left, or what the configuration no longer asks for."""
    last = checkpoint.read_metadata(folder.checkpoint).step
    _remove_all_but(_due(_scores(folder), last, config), folder)


def choose(folder: RunFolder, wanted: str | None) -> Path:
    """The checkpoint of the step that `wanted` names, the one of the best score ("best"), or the last (None).

    Raises UsageError, naming those there are, if there is no such one.
    """
    if wanted is None:
        return folder.checkpoint
    if wanted == BEST:
        scored = {step: score for step, score in _scores(folder).items() if score is not None}
        if not scored:
            raise UsageError(
                f"no checkpoint of {folder.path} has a score, by which recipes of points are judged as they train; "
                f"name a step: {_in_words(folder)}."
            )
        return _path_of(folder, max(scored, key=lambda step: (scored[step], -step)))
    steps = {str(step): step for step in _scores(folder)}
    step = steps.get(wanted.lstrip("0") or wanted[:1])  # zeros in front, as in the names of files
    if step is None:
        raise UsageError(f"there is no checkpoint '{wanted}' in {folder.path}; there are: {_in_words(folder)}.")
    return _path_of(folder, step)


def earlier_in_words(folder: RunFolder) -> str:
    """The steps of the earlier checkpoints, such as "20 or 40"; nothing if there are none."""
    return " or ".join(map(str, folder.earlier_paths()))


def _path_of(folder: RunFolder, step: int) -> Path:
    with suppress(CheckpointError):
        if checkpoint.read_metadata(folder.checkpoint).step == step:
            return folder.checkpoint
    return folder.earlier_path(step)


def _in_words(folder: RunFolder) -> str:
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


def _due(scores: Mapping[int, float | None], last: int, config: RunConfig) -> set[int]:
    """The steps before `last` whose checkpoints are to be kept."""
    regular = {step: score for step, score in scores.items() if step <= last and not step % config.checkpoint_every}
    earlier = sorted(step for step in regular if step < last)
    kept = set(earlier[max(0, len(earlier) - config.keep_checkpoints + 1) :])
    scored = {step: score for step, score in regular.items() if score is not None}
    if scored:
        kept.add(max(scored, key=lambda step: (scored[step], -step)))
    return kept - {last}


def _remove_all_but(kept: set[int], folder: RunFolder) -> None:
    for step, path in folder.earlier_paths().items():
        if step not in kept:
            path.unlink()
