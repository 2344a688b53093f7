"""Runs: their configuration, folder, checkpoints and diagnosis, and the loop that trains them."""

from minigan.training.config import RunConfig, load_config
from minigan.training.run_folder import RunFolder, first_free_path, open_run
from minigan.training.trainer import Outcome, Trainer

__all__ = ["Outcome", "RunConfig", "RunFolder", "Trainer", "first_free_path", "load_config", "open_run"]
