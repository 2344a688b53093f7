"""What a report says about a run: read from its folder, and from its GAN if that is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigan.domains import View
from minigan.gan import GAN
from minigan.gan.batches import Batch, as_batch, parts
from minigan.training import metrics_csv
from minigan.training.config import read_content
from minigan.training.metrics_file import Row
from minigan.training.recorded_scores import read_scores
from minigan.training.run_folder import RunFolder, open_run
from minigan.training.runs import Run
from minigan.training.trained_run import TrainedRun


@dataclass(frozen=True)
class Networks:
    """The GAN of a run, and what the parts of a report that compute with it need.

    view: how samples are shown. batch(): real examples of a training step. condition(count): the conditions (count,
    ...) of samples, None for a GAN without. Both may raise if the data of the run are not there any more.
    """

    gan: GAN
    view: View
    batch: Callable[[], Batch]
    condition: Callable[[int], np.ndarray | None]


@dataclass(frozen=True)
class RunFacts:
    """A run as its folder has it.

    content: of its config.json. rows: its metrics. seconds: the wall time of recorded steps, by step. scores: the last
    evaluation, None if there is none. networks: None for a run of the user's own code.
    """

    folder: RunFolder
    content: Mapping[str, Any]
    rows: list[Row]
    seconds: Mapping[int, float]
    scores: Mapping[str, Any] | None
    networks: Networks | None = field(repr=False, default=None)

    @property
    def name(self) -> str:
        """The recipe, or the function that trained the user's own networks."""
        return str(self.content.get("recipe") or self.content["made_by"])

    @property
    def step(self) -> int:
        """The step of the GAN, or the last one that was recorded."""
        if self.networks is not None:
            return self.networks.gan.step
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def loss(self) -> str:
        """The name of the GAN's loss, "" if unknown."""
        return getattr(self.networks.gan.loss, "name", "") if self.networks else ""


def read_facts(folder: RunFolder | str | Path, networks: Networks | None = None) -> RunFacts:
    """The facts in `folder`. Raises CheckpointError if it holds no run, or its metrics are damaged."""
    folder = folder if isinstance(folder, RunFolder) else open_run(Path(folder))
    seconds = metrics_csv.seconds_by_step(folder.table)
    return RunFacts(folder, read_content(folder.config), folder.rows(), seconds, read_scores(folder), networks)


def networks_of_own(run: Run, batch: Any) -> Networks:
    """The networks of a run of `GAN.fit`, which `minigan.load_run(folder, gan)` has loaded.

    batch: real examples as `GAN.train_step` takes them, x (n, ...) or (x, y); its conditions are those of samples.
    Raises what `train_step` raises for a batch that is none.
    """
    converted = as_batch(batch, run.gan.generator_optimizer.parameters[0].dtype)
    given = parts(converted)[1]
    return Networks(
        run.gan,
        run.view,
        lambda: converted,
        lambda count: None if given is None else np.resize(given.numpy(), (count, *given.shape[1:])),
    )


def networks_of(run: TrainedRun, load: Callable[[], Any]) -> Networks:
    """The networks of a run of a recipe. load(): its data; called only if real examples are needed."""

    def condition(count: int) -> np.ndarray | None:
        return run.domain.sample_condition(count, 1, run.config.settings, load)

    return Networks(run.gan, run.domain, lambda: run.domain.batches(load(), run.config)(run.gan.step), condition)
