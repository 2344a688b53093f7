"""Runs: their configuration, folder, checkpoints and diagnosis, and the loop that trains them."""

from minigan.figures.history import History, Outcome
from minigan.training.callbacks import EarlyStopping, Stop
from minigan.training.config import RunConfig, load_config
from minigan.training.loop import Loop
from minigan.training.run_folder import RunFolder, first_free_path, open_run
from minigan.training.runs import Run, load_run
from minigan.training.saved_state import load, save
from minigan.training.trackers import TensorBoard, Tracker
from minigan.training.trainer import Trainer

__all__ = [
    "EarlyStopping", "History", "Loop", "Outcome", "Run", "RunConfig", "RunFolder", "Stop", "TensorBoard", "Tracker",
    "Trainer", "first_free_path", "load", "load_config", "load_run", "open_run", "save",
]  # fmt: skip
