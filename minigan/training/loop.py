"""A training loop for a step of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.optim import Optimizer
from minigan.training import checkpoint, own_runs
from minigan.training.base_loop import BaseLoop, failure_as_notice, read_numbers, require_recorded
from minigan.training.metrics_file import Row
from minigan.training.run_folder import RunFolder
from minigan.training.settings import LoopSettings

MADE_BY = "training.Loop"
_RESERVED = checkpoint.DIAGNOSIS_PREFIX.rstrip(".")


class Loop(BaseLoop):
    """Calls `step` again and again, with the checkpoints, records and orderly end of a long training run.

    step(n): takes step number n, counted from 0, and returns scalars to record, by name, as numbers or Tensors; or
    nothing. parts: by name, the objects that change from step to step, each with state(), its arrays by name, and
    load_state(arrays): networks, optimisers, GANs, or the user's own. folder: of the run; None to write nothing.
    steps: in all. checkpoint_every, log_every: steps between checkpoints and between recorded rows; keep_checkpoints:
    how many of the last checkpoints to keep. callbacks: see `Callbacks`. resume: whether to go on from the last
    checkpoint in `folder`; where there is none, a new run begins. progress: whether to show a bar.

        loop = Loop(step, {"network": network, "optimizer": optimizer}, "runs/mine", steps=1000, resume=True)
        history = loop.run()

    A resumed run has the same bits as an uninterrupted one if a step depends on nothing but n and the state of `parts`.

    Raises UsageError, before any step, for arguments out of range, parts without these methods and a folder that is
    taken; CheckpointError if the run in `folder` is damaged or does not fit the parts.
    """

    def __init__(
        self,
        step: Callable[[int], Mapping[str, Any] | None],
        parts: Mapping[str, Any],
        folder: str | Path | None = None,
        *,
        steps: int,
        checkpoint_every: int = 1000,
        log_every: int = 10,
        keep_checkpoints: int = 2,
        callbacks: Sequence[object] = (),
        resume: bool = False,
        progress: bool = True,
    ) -> None:
        settings = LoopSettings(MADE_BY, steps, log_every, checkpoint_every, log_every, keep_checkpoints)
        if not callable(step):
            raise UsageError(f"step is a {type(step).__name__}, expected a function of the number of the step.")
        _require_parts(parts)
        self._function, self.parts, self._taken = step, dict(parts), 0
        super().__init__(settings, None if folder is None else RunFolder(Path(folder)), callbacks, progress=progress)
        own_runs.require_storable(self.state())
        self._needs_folder = not own_runs.holds_run(self.folder, resume)
        if not self._needs_folder:
            self._resume()

    config: LoopSettings

    @property
    def step(self) -> int:
        return self._taken

    def state(self) -> dict[str, np.ndarray]:
        """The number of steps taken, and the arrays of all parts under their names."""
        state = {"step": np.asarray(self._taken, np.int64)}
        for name, part in self.parts.items():
            arrays = part.state()
            if not isinstance(arrays, Mapping):
                raise UsageError(
                    f"state() of the part '{name}' returned a {type(arrays).__name__}, expected arrays by name; return "
                    "a dict."
                )
            # Copies: a part may return its own arrays, which further steps change while the checkpoint is written.
            state |= {f"{name}.{key}": np.array(value) for key, value in arrays.items()}
        return state

    def _take_step(self) -> Mapping[str, Any]:
        metrics = self._function(self._taken)
        self._taken += 1
        if not isinstance(metrics, Mapping):
            return read_numbers("the step", metrics)
        # Without their graphs, which would take memory until the next row is recorded.
        return {name: Tensor(value.data) if isinstance(value, Tensor) else value for name, value in metrics.items()}

    def _learning_rates(self) -> dict[str, float]:
        return {
            f"{name}_learning_rate": part.last_learning_rate
            for name, part in self.parts.items()
            if isinstance(part, Optimizer)
        }

    def _resume(self) -> None:
        assert self.folder is not None
        own_runs.require_same(self.config, own_runs.read_config(self.folder.config, MADE_BY), self.folder)
        self.folder.require_regular_files()
        arrays = own_runs.load_state(self.folder.checkpoint, self.state(), self.config.steps, MADE_BY)
        require_recorded(int(arrays["step"]), self.config, self.folder)
        for name, part in self.parts.items():
            prefix = f"{name}."
            part.load_state({key.removeprefix(prefix): x for key, x in arrays.items() if key.startswith(prefix)})
        self._taken = int(arrays["step"])

    def _save_config(self, path: Path) -> None:
        parts = {name: own_runs.in_words(part) for name, part in self.parts.items()}
        own_runs.save_config(path, {**asdict(self.config), "parts": parts})

    def _save_final_pictures(self, rows: list[Row], notice: Notice) -> None:
        if self.folder is not None and len(self.history.columns) > 1:
            with failure_as_notice(self.folder.curves, "the same loop with resume=True", notice):
                self.history.plot(self.folder.curves)


def _require_parts(parts: Mapping[str, Any]) -> None:
    """Raise UsageError unless `parts` are named objects whose state can be saved and restored."""
    if not isinstance(parts, Mapping):
        raise UsageError(f"parts is a {type(parts).__name__}, expected objects by name; give a dict.")
    for name, part in parts.items():
        if not isinstance(name, str) or not name or "." in name or name == _RESERVED:
            raise UsageError(f"{name!r} cannot be the name of a part; take a word without a full stop.")
        if not (callable(getattr(part, "state", None)) and callable(getattr(part, "load_state", None))):
            raise UsageError(
                f"the part '{name}' is a {type(part).__name__}, expected an object with the methods state() and "
                "load_state(arrays)."
            )
