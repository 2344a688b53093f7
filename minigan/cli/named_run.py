"""The trained run that a command names."""

from __future__ import annotations

import argparse

from minigan.cli import options
from minigan.training.trained_run import TrainedRun, load_run


def load(arguments: argparse.Namespace) -> TrainedRun:
    """The run in `arguments.path`, on the device that `arguments` choose; the file of its recipe is loaded first.

    `arguments` has the options of options.add_run_argument, add_recipe_file_argument, add_checkpoint_argument and
    add_device_arguments; notices are printed unless it has `quiet` set. Raises UsageError if the file is of another
    recipe, CheckpointError if the run is missing or damaged.
    """
    quiet = getattr(arguments, "quiet", False)
    own_recipe = options.load_recipe_file(arguments.recipe_file)
    options.choose_device(arguments.backend, arguments.kernels, arguments.threads, quiet)
    trained = load_run(arguments.path, arguments.checkpoint)
    options.notice_changed_recipe(trained.config, own_recipe, arguments.path, quiet)
    return trained
