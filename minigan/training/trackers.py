"""Callbacks that also record a run with TensorBoard, Weights & Biases or Trackio: its numbers and its pictures.

Each needs a package that minigan does not install by itself; it is imported when the tracker is made.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core.errors import UsageError, did_you_mean
from minigan.figures.image_grid import as_pillow

_PROJECT = "minigan"


class TensorBoard:
    """Writes the numbers and the pictures of samples as events for TensorBoard; needs `minigan[tensorboard]`.

    folder: where to write them; None: tensorboard/ in the run's folder. A resumed run goes on there, without what had
    been recorded after its checkpoint. Raises UsageError if tensorboardX is missing, and in the run if neither the
    tracker nor the run has a folder.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._package, self._folder = _imported("tensorboardX", "tensorboard"), folder

    def start(self, loop: Any) -> None:
        """Open the file of events."""
        if self._folder is None and loop.folder is None:
            raise UsageError(
                "TensorBoard has no folder to write into, as the run has none; name one, such as "
                "TensorBoard('runs/mine'), or give the run a folder with out=."
            )
        folder = Path(self._folder) if self._folder is not None else loop.folder.path / "tensorboard"
        self._writer = self._package.SummaryWriter(str(folder), purge_step=loop.step + 1 if loop.step else None)

    def step(self, loop: Any, step: int, metrics: dict[str, float]) -> None:
        """Write the numbers of a row."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def look(self, loop: Any, step: int, samples: np.ndarray) -> None:
        """Write the picture of samples."""
        self._writer.add_image("samples", loop.domain.draw(samples), step, dataformats="HWC")

    def end(self, loop: Any, outcome: Any) -> None:
        """Close the file."""
        if writer := getattr(self, "_writer", None):
            writer.close()


class Tracker:
    """Records the numbers and the pictures of samples with a service that has the interface of Weights & Biases.

    service: "wandb" or "trackio"; needs the extra `minigan[wandb]` or `minigan[trackio]`. project: to which the run
    belongs there; its name is that of the run's folder. options: further arguments of the service's `init`. Raises
    UsageError if there is no such service or its package is missing.
    """

    def __init__(self, service: str, project: str = _PROJECT, **options: Any) -> None:
        if service not in _SERVICES:
            raise UsageError(f"there is no tracker '{service}'; {did_you_mean(service, _SERVICES)}")
        self._package, self._options = _imported(service, service), {"project": project, **options}

    def start(self, loop: Any) -> None:
        """Begin a run of the service, with the settings of this one."""
        name = {"name": loop.folder.path.resolve().name} if loop.folder is not None else {}
        self._package.init(**{"config": dataclasses.asdict(loop.config), **name, **self._options})
        self._begun = True

    def step(self, loop: Any, step: int, metrics: dict[str, float]) -> None:
        """Record the numbers of a row."""
        self._package.log(dict(metrics), step=step)

    def look(self, loop: Any, step: int, samples: np.ndarray) -> None:
        """Record the picture of samples."""
        picture = as_pillow(loop.domain.draw(samples)).convert("RGB")
        self._package.log({"samples": self._package.Image(picture)}, step=step)

    def end(self, loop: Any, outcome: Any) -> None:
        """End the service's run."""
        if getattr(self, "_begun", False):
            self._package.finish()


_SERVICES = ("wandb", "trackio")
NAMES = ("tensorboard", *_SERVICES)
"""The trackers that `by_name` knows, as `minigan train --track` calls them."""


def by_name(name: str) -> TensorBoard | Tracker:
    """The tracker called `name`, one of NAMES; raises UsageError if there is none or its package is missing."""
    if name not in NAMES:
        raise UsageError(f"there is no tracker '{name}'; {did_you_mean(name, NAMES)}")
    return TensorBoard() if name == "tensorboard" else Tracker(name)


def _imported(package: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UsageError(
            f"the package {package} cannot be imported ({error}); install it with: pip install 'minigan[{extra}]'."
        ) from None
