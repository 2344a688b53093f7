"""The data that a run is trained on, when it begins and when it is resumed."""

from __future__ import annotations

import os
import warnings

from minigan import recipes
from minigan.core.errors import CheckpointError, DataError
from minigan.core.notice import Notice
from minigan.domains import Data
from minigan.training.config import RunConfig, load_config, recorded_data
from minigan.training.run_folder import RunFolder


def load_data(config: RunConfig, *, progress: bool = True, notice: Notice = warnings.warn) -> Data:
    """The data that `config` names. The other arguments and the errors are those of `Domain.load`."""
    data: Data = recipes.get(config.recipe).domain.load(config, progress=progress, notice=notice)
    return data


def reload_data(config: RunConfig, folder: RunFolder, *, progress: bool = True, notice: Notice = warnings.warn) -> Data:
    """The data of the run in `folder`, read from where `config` names them.

    Raises DataError if the recorded folder of the data no longer exists, CheckpointError if the data differ from those
    of the run, and what `load_data` raises.
    """
    directory = config.data_dir
    if directory and directory == load_config(folder.config).data_dir and not os.path.exists(directory):
        raise DataError(
            f"{directory}, which holds the data of {folder.path}, does not exist any more; name the folder that holds "
            "them now with --data-dir"
        )
    data = load_data(config, progress=progress, notice=notice)
    require_same_data(data, folder)
    return data


def require_same_data(data: Data, folder: RunFolder) -> None:
    """Raise CheckpointError unless the run in `folder` was trained on `data` (see `Domain.is_same`)."""
    recorded = recorded_data(folder.config)
    recorded_config = load_config(folder.config)
    domain = recipes.get(recorded_config.recipe).domain
    if not domain.is_same(data, recorded):
        hint = domain.mismatch_hint(recorded)
        is_embedded = not recorded_config.data_dir and not recorded_config.download
        remedy = "leave --data-dir out" if is_embedded else "name the folder that holds it with --data-dir"
        raise CheckpointError(f"the data in {data.source} is not what {folder.path} was trained on{hint}; {remedy}.")
