"""A run in a folder as an object: its GAN, its history, and samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core.errors import CheckpointError, UsageError
from minigan.domains import View, view_from
from minigan.figures.history import History
from minigan.gan import GAN
from minigan.training import checkpoint as checkpoint_file
from minigan.training import fit, kept_checkpoints, own_runs, trained_run
from minigan.training.config import read_content
from minigan.training.run_folder import RunFolder, open_run
from minigan.training.settings import require_whole_number


@dataclass(frozen=True)
class Run:
    """A run: its GAN as a checkpoint has it.

    view: how samples are shown. history: what was recorded. config: the content of its config.json.
    """

    gan: GAN
    view: View
    history: History
    config: dict[str, Any] = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an example of the data."""
        return self.view.shape

    def sample(self, count: int, seed: int = 1, condition: Any = None) -> np.ndarray:
        """`count` samples, (count, *shape): a pure function of `seed`.

        condition: in a conditional GAN, that of each sample, (count, ...), or one number for all. The samples have the
        form of the data: bytes from 0 to 255 for pictures of bytes, else numbers. Raises UsageError for a number that
        is not whole or out of range, or another number of conditions than of samples; NonFiniteError if a sample is not
        finite.
        """
        require_whole_number("the number of samples", count, 1)
        require_whole_number("seed", seed, 0)
        if condition is not None and np.ndim(condition) == 0:
            condition = np.full(count, condition)
        if condition is not None and len(condition) != count:
            raise UsageError(
                f"there are {len(condition):,} conditions for {count:,} samples; give one for each, or one number for "
                "all."
            )
        return trained_run.samples_of_seed(self.gan, self.view, count, seed, condition)


def load_run(folder: str | Path, gan: GAN | None = None, *, checkpoint: int | str | None = None) -> Run:
    """The run in `folder`.

    gan: for a run of `GAN.fit`, whose networks are the user's code, a GAN that is built in the same way; its numbers
    become those of the checkpoint. For a run of a recipe leave it out. checkpoint: the step of one that was kept, or
    "best"; None: the last.

    Raises CheckpointError if there is no run, or its checkpoint is damaged or does not fit; UsageError if `gan` is
    missing or superfluous, or there is no such checkpoint.
    """
    place = open_run(Path(folder))
    selection, config = None if checkpoint is None else str(checkpoint), read_content(place.config)
    made_by = config.get("made_by")
    if (gan is None) != (made_by is None):
        raise UsageError(_who_builds(place, made_by))
    if gan is None:
        trained = trained_run.load_run(place.path, selection)
        return Run(trained.gan, trained.domain, _history(place, trained.gan), config)
    config = own_runs.read_config(place.config, fit.MADE_BY)
    source = kept_checkpoints.choose(place, selection)
    arrays = own_runs.load_state(source, gan.state(), config["steps"], fit.MADE_BY)
    try:
        view = view_from(config.get("samples", {}))
    except ValueError as error:
        raise CheckpointError(f"{place.config} does not say {error}; restore the file.") from None
    gan.load_state(checkpoint_file.without_diagnosis(arrays))
    return Run(gan, view, _history(place, gan), config)


def _history(folder: RunFolder, gan: GAN) -> History:
    return History(folder.rows(), getattr(gan.loss, "name", ""))


def _who_builds(folder: RunFolder, made_by: str | None) -> str:
    if made_by is None:
        return f"{folder.path} is a run of a recipe, which builds its GAN; leave gan out."
    if made_by != fit.MADE_BY:
        return f"{folder.path} is a run of {made_by}, whose parts are your own code; go on with it (resume=True)."
    return (
        f"{folder.path} is a run of {made_by}, whose networks are your own code; build the GAN as it was, and give it: "
        f"load_run({str(folder.path)!r}, gan)."
    )
