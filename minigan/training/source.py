"""The data that a run is trained on: where its configuration says, and once more where it went on."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from minigan import recipes
from minigan.core.errors import CheckpointError, DataError, UsageError
from minigan.data import Notice, load, mnist, resized
from minigan.recipes import PictureRecipe, PointRecipe
from minigan.training.config import RunConfig, load_config, recorded_data
from minigan.training.form import Data
from minigan.training.run_folder import RunFolder


def load_data(config: RunConfig, *, progress: bool = True, notice: Notice = warnings.warn) -> Data:
    """The data that `config` names; `progress` and `notice` are those of `minigan.data.load`.

    Raises UsageError where data are named that the recipe cannot take, and as `minigan.data.load` does.
    """
    recipe = recipes.get(config.recipe)
    if isinstance(recipe, PointRecipe):
        if config.data_dir or config.download:
            raise UsageError(
                f"the recipe '{recipe.name}' draws its points from a known distribution and takes no data; leave "
                f"--{'data-dir' if config.data_dir else 'download'} out."
            )
        return recipe.points()
    assert isinstance(recipe, PictureRecipe)
    # The shape of digits does not suit every recipe; of one that they suit they may be resized.
    takes_digits = config.data_dir is None and recipe.image_shape == mnist.IMAGE_SHAPE
    found = load(
        Path(config.data_dir) if config.data_dir else None,
        config.download,
        image_shape=mnist.IMAGE_SHAPE if takes_digits else recipe.wanted_shape(config.settings),
        strict=config.strict,
        progress=progress,
        notice=notice,
    )
    return resized(found, recipe.fitted_shape(config.settings, found.image_shape))


def load_again(config: RunConfig, folder: RunFolder, *, progress: bool = True, notice: Notice = warnings.warn) -> Data:
    """The data of the run in `folder`, where `config` says that they are now.

    Raises DataError where the folder that the run recorded is gone, CheckpointError where the data are others, and as
    `load_data` does.
    """
    where = config.data_dir
    if where and where == load_config(folder.config).data_dir and not os.path.exists(where):
        raise DataError(
            f"{where}, which holds the data of {folder.path}, does not exist any more; name the folder that holds them "
            "now with --data-dir"
        )
    data = load_data(config, progress=progress, notice=notice)
    require_same_data(data, folder)
    return data


def require_same_data(data: Data, folder: RunFolder) -> None:
    """Raise CheckpointError unless `data` are what the run in `folder` was trained on; labels do not matter."""
    recorded = recorded_data(folder.config)
    if not data.matches(recorded):
        earlier = "" if "pixels_sha256" in recorded else " (an earlier version of minigan read fewer kinds of pictures)"
        begun = load_config(folder.config)
        is_embedded = not begun.data_dir and not begun.download
        remedy = "leave --data-dir out" if is_embedded else "name the folder that holds it with --data-dir"
        raise CheckpointError(f"the data in {data.source} is not what {folder.path} was trained on{earlier}; {remedy}.")
