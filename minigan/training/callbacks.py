"""Callbacks: objects of the user whose methods a training loop calls, and one that ends a run early."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigan.core.errors import UsageError, did_you_mean
from minigan.training.settings import require_whole_number

METHODS = ("start", "step", "look", "save", "end")


class Stop(Exception):  # noqa: N818 - it is no error
    """Raised in a method of a callback, it ends the run after a checkpoint is saved; its text is the reason."""


class Callbacks:
    """The callbacks of a loop. A callback is any object that has at least one of these methods:

    start(loop): before the first step. step(loop, step, metrics): at every recorded step, with the numbers of its row
    by name. look(loop, step, samples): with the samples of a picture, (n, ...), in the form of the data; it may return
    a dict of further numbers for the row. save(loop, path): after the checkpoint `path` is written. end(loop, outcome):
    at the end, however that comes. Each may raise `Stop`.

    Raises UsageError if an object has none of them.
    """

    def __init__(self, callbacks: Sequence[object]) -> None:
        if not isinstance(callbacks, Sequence):
            raise UsageError(f"callbacks must be a list, not {type(callbacks).__name__}; write callbacks=[...].")
        for place, callback in enumerate(callbacks):
            if isinstance(callback, type):
                raise UsageError(
                    f"callbacks[{place}] is the class {callback.__name__}, expected an object of it; write "
                    f"{callback.__name__}(...)."
                )
            if not any(callable(getattr(callback, name, None)) for name in METHODS):
                raise UsageError(
                    f"callbacks[{place}] is a {type(callback).__name__}, expected an object with at least one of the "
                    f"methods {', '.join(METHODS)}."
                )
        self._callbacks = list(callbacks)
        self.stop: Stop | None = None
        """The request to end the run, if one has been made."""

    def have(self, method: str) -> bool:
        """Whether one of them has this method."""
        return any(callable(getattr(callback, method, None)) for callback in self._callbacks)

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call this method of all callbacks that have it, and return what they return; remember a `Stop`."""
        results = []
        for callback in self._callbacks:
            if callable(function := getattr(callback, method, None)):
                try:
                    results.append(function(*arguments))
                except Stop as stop:
                    self.stop = stop
        return results


class EarlyStopping:
    """A callback that ends a run when a recorded number has not improved for `patience` of its values in a row.

    metric: the name of the number, such as "wasserstein2". larger_is_better: whether it is better the larger it is.
    least_change: by how much a value has to be better than the best one before to count.

    It reads the rows of a resumed run again, so that this one stops where an uninterrupted one would have. Raises
    UsageError for settings out of range, and in the run if no such number is recorded.
    """

    def __init__(
        self, metric: str, patience: int = 10, *, larger_is_better: bool = False, least_change: float = 0.0
    ) -> None:
        require_whole_number("patience", patience, 1)
        if not 0 <= least_change < math.inf:
            raise UsageError(f"least_change must be a number from 0 up, not {least_change!r}.")
        self.metric, self.patience, self.least_change = metric, patience, least_change
        self._sign = 1 if larger_is_better else -1
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_step, self._since = 0, 0

    def start(self, loop: Any) -> None:
        """Begin anew, with the rows that the run has."""
        self._forget()
        for row in loop.history:
            self._add(row["step"], row)

    def step(self, loop: Any, step: int, metrics: dict[str, float]) -> None:
        """Look at the numbers of a recorded step."""
        if self.metric not in metrics and self.best is None and step % loop.config.sample_every == 0:
            raise UsageError(
                f"EarlyStopping waits for the number '{self.metric}', which is not recorded; "
                f"{did_you_mean(self.metric, metrics)}"
            )
        self._add(step, metrics)

    def _add(self, step: int, metrics: dict[str, float]) -> None:
        if self.metric not in metrics:
            return
        value = metrics[self.metric]
        if self.best is None or self._sign * (value - self.best) > self.least_change:
            self.best, self.best_step, self._since = value, step, 0
        else:
            self._since += 1
        if self._since >= self.patience:
            raise Stop(
                f"{self.metric} has not become better than {self.best:.6g}, its value at step {self.best_step:,}"
            )
