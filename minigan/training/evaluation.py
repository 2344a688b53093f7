"""The evaluation of a run's samples: what its domain measures, recorded in the run folder."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core import backend, files, progress
from minigan.domains import Domain, Evaluation, EvaluationRequest
from minigan.figures.image_grid import save_png
from minigan.training.config import versions
from minigan.training.run_folder import RunFolder
from minigan.training.trained_run import TrainedRun, draw_samples

SEED = 1  # of the samples, as `minigan evaluate` and `minigan sample` draw them


def evaluation_request(
    run: TrainedRun,
    folder: RunFolder,
    load: Callable[[], Any],
    *,
    count: int | None = None,
    seed: int = SEED,
    quiet: bool = False,
    against: Path | None = None,
    features: str | None = None,
) -> EvaluationRequest:
    """What the domain of `run` needs to evaluate its samples.

    load(): the data that it was trained on. quiet: without a bar of progress. The others: see EvaluationRequest.
    """
    return EvaluationRequest(
        sample=_LastSamples(run),
        gan=run.gan,
        settings=run.config.settings,
        load=functools.cache(load),
        count=count,
        seed=seed,
        data_dir=run.config.data_dir,
        run=str(folder.path),
        computed_by={**versions(), "backend": backend.current().name, "kernels": backend.current().kernels},
        progress=lambda title: _progress(title, quiet),
        rows=folder.rows,
        against=against,
        features=features,
    )


def evaluate(domain: Domain[Any], request: EvaluationRequest) -> Evaluation:
    """What `domain` evaluates, and below it how the samples compare with real data, which is checked first."""
    compared = domain.compare(request)
    evaluation = domain.evaluate(request)
    if compared is None:
        return evaluation
    return dataclasses.replace(
        evaluation,
        facts={**evaluation.facts, **compared.facts},
        lines=[*evaluation.lines, *compared.lines],
        pictures={**evaluation.pictures, **compared.pictures},
    )


def facts_as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`facts` with None for each number that is not finite, which JSON does not have."""
    return {name: _finite(value) for name, value in facts.items()}


def record(evaluation: Evaluation, step: int, folder: RunFolder) -> None:
    """Write scores.json and the pictures of an evaluation at `step` into the run folder, each file atomically.

    An earlier scores.json is replaced. Raises OSError if the folder cannot be written.
    """
    for name, picture in evaluation.pictures.items():
        save_png(folder.path / f"{name}.png", picture)
    content = {"step": step, **facts_as_json(evaluation.facts)}
    files.write_text(folder.scores, json.dumps(content, indent=2, allow_nan=False) + "\n")


class _LastSamples:
    """The samples of a run by their count, seed and condition; the last ones are kept."""

    def __init__(self, run: TrainedRun) -> None:
        self._run = run
        self._arguments: tuple[int, int, bytes | None] | None = None

    def __call__(self, count: int, seed: int, condition: np.ndarray | None = None) -> np.ndarray:
        arguments = (count, seed, None if condition is None else np.asarray(condition).tobytes())
        if arguments != self._arguments:
            self._samples, self._arguments = draw_samples(self._run, count, seed, condition), arguments
        return self._samples


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return facts_as_json(value)
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _progress(title: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A context with a progress bar; its value is a function that is called with (steps done, steps in all)."""
    with progress.bar(quiet, desc=title, unit="step") as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
