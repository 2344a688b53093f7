"""The loop of every training: steps, checkpoints, rows of metrics, finite checks, callbacks, and an orderly end.

An interruption loses at most the steps since the last checkpoint. What a step is, and what else is recorded, subclasses
say: `Loop` for a function of the user's, `GANLoop` for a GAN.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

import minigan_kernels
from minigan.core import backend, files
from minigan.core import progress as progress_bar
from minigan.core.errors import CheckpointError, MiniganError, NonFiniteError, UsageError, clause, one_line
from minigan.core.notice import Notice
from minigan.figures.history import History, Outcome
from minigan.training import checkpoint, consistency, kept_checkpoints, metrics_csv
from minigan.training.callbacks import Callbacks, Stop
from minigan.training.file_writer import FileWriter
from minigan.training.interrupt import StopRequest, stop_on_signal
from minigan.training.metrics_file import Row
from minigan.training.run_folder import RunFolder
from minigan.training.settings import RunSettings

_NOT_METRICS = ("step", metrics_csv.SECONDS, "diagnosis")  # other entries of a row
_SECONDS_BETWEEN_ROWS = 0.25  # between writes to metrics.jsonl, each of which flushes it to the disk
_MOST_SHOWN = 5  # numbers beside a bar of progress

Report = Callable[[int, dict[str, float]], None]
"""A function of a recorded step and of its metrics by name."""


class BaseLoop(ABC):
    """A run of `config.steps` steps, recorded in `folder`, or nowhere if that is None.

    A subclass defines the abstract methods, and whatever else of the methods below it needs. What the training
    adds to the folder, a thread of its own writes (see FileWriter).
    """

    def __init__(
        self,
        config: RunSettings,
        folder: RunFolder | None,
        callbacks: Sequence[object] = (),
        *,
        loss: str = "",
        progress: bool = True,
    ) -> None:
        self.config, self.folder, self.progress = config, folder, progress
        self.history = History(loss=loss)
        self._callbacks = Callbacks(callbacks)
        self._pending_metrics: list[tuple[int, Mapping[str, Any]]] = []  # of the steps since the last recorded one
        self._files, self._checkpoint_call = FileWriter(), 0
        self._rows: list[tuple[Row, float]] = []  # of metrics, and when they were recorded; not yet written
        self._seconds_before = 0.0  # of training, before this call of `run`
        self._rows_written = self._step_seconds = 0.0
        self._first_step = 0  # of the run, from which samples are recorded
        self._needs_folder = False  # whether `run` has to make the folder
        self._remember_checkpoint()

    # What a subclass defines.

    @property
    @abstractmethod
    def step(self) -> int:
        """The number of steps taken so far."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """The arrays of a checkpoint, by name, copied to the host; "step" among them."""

    @abstractmethod
    def _take_step(self) -> Mapping[str, Any]:
        """Take a step, and return its scalars by name, as numbers or as Tensors that have not been read."""

    @abstractmethod
    def _save_config(self, path: Path) -> None:
        """Write what is needed to repeat the run."""

    # What a subclass may add.

    def _after_step(self, notice: Notice) -> None:  # noqa: B027 - most have nothing to do
        """What is to do after each step."""

    def _require_finite_step(self) -> None:  # noqa: B027
        """Raise NonFiniteError if a step since the last recorded one had a gradient that is not finite."""

    def _look_is_due(self) -> bool:
        """Whether the samples of this step are recorded."""
        return False

    def _look(self) -> dict[str, float]:
        """Record samples, and return what is measured of them; raises NonFiniteError if that is not finite."""
        return {}

    def _evaluation_is_due(self) -> bool:
        """Whether more samples than a picture has are drawn and measured at this step."""
        return False

    def _evaluation(self) -> dict[str, float]:
        """What is measured of these samples; raises NonFiniteError if it is not finite."""
        return {}

    def _learning_rates(self) -> dict[str, float]:
        """The learning rates of the step just taken, to be recorded by name."""
        return {}

    def _diagnosis_is_due(self) -> bool:
        """Whether the training is diagnosed at this step."""
        return False

    def _findings(self) -> list[str]:
        """What the diagnosis has newly found."""
        return []

    def _require_savable(self, state: Mapping[str, np.ndarray]) -> None:
        """Raise ValueError or NonFiniteError if this step must not become a checkpoint."""
        consistency.require_finite(state)

    def _score(self, measured: Mapping[str, float]) -> float | None:
        """The score of a checkpoint of this step, from what was measured at it, if anything was."""
        return None

    def _save_final_pictures(self, rows: list[Row], notice: Notice) -> None:  # noqa: B027
        """Make the pictures of the whole run."""

    def _advice(self) -> str:
        """What to do about numbers that are not finite, as the end of a sentence."""
        return "take a lower learning rate, or look at what the step computes."

    # Making the folder.

    def create_folder(self, *, numbered: bool = False) -> None:
        """Make the run's folder, with a first checkpoint in it, so that it can be resumed at any time.

        If the folder exists, `numbered` uses the next free name (see RunFolder.create).
        """
        assert self.folder is not None

        def fill(draft: RunFolder) -> None:
            checkpoint.save(draft.checkpoint, self.state(), self.config.recipe)
            self._save_config(draft.config)

        self.folder = self.folder.create(fill, numbered=numbered)
        self._remember_checkpoint()

    # Running.

    def run(
        self,
        report: Report | None = None,
        should_stop: Callable[[], bool] | None = None,
        notice: Notice | None = None,
    ) -> History:
        """Train to `config.steps`, or until `should_stop()`; calls `report(step, metrics)` at every recorded step.

        `notice` is called with findings of the diagnosis, which are also written to metrics.jsonl, and other notices.
        Without these arguments there is a bar of progress, Ctrl-C ends the run after the current step and a checkpoint
        (a second one at once), and notices are printed on standard error.

        Raises NonFiniteError if a loss, a gradient or a weight is not finite, and leaves the last checkpoint as it is;
        UsageError if another process trains into the folder; and what the step and the callbacks raise.
        """
        with ExitStack() as stack:
            request = StopRequest()
            if self._needs_folder and self.folder is not None:
                self.create_folder()
            self._needs_folder = False
            if should_stop is None:
                with suppress(ValueError):  # no signals outside of the main thread
                    request = stack.enter_context(stop_on_signal())
            report = report or stack.enter_context(self._progress_bar())
            self._run_in_folder(report, should_stop or (lambda: request.requested), notice or print_notice)
        if self.history.outcome.ended == "interrupted" and request.requested and self.folder is not None:
            print_notice(f"interrupted at step {self.step:,}; resume=True goes on from there")
        if request.number == signal.SIGTERM:
            sys.exit(128 + signal.SIGTERM)
        return self.history

    def _run_in_folder(self, report: Report, should_stop: Callable[[], bool], notice: Notice) -> None:
        # NumPy need not warn of overflow: every number that is not finite raises NonFiniteError.
        if self.folder is None:
            with np.errstate(all="ignore"):
                return self._run(report, should_stop, notice)
        with self.folder.locked(), np.errstate(all="ignore"):
            if files.identity(self.folder.checkpoint) != self._last_checkpoint:
                raise UsageError(f"another process has meanwhile trained into {self.folder.path}; resume it again.")
            if dropped := self.folder.rewind(self.step, self._source):
                notice(
                    f"what was recorded after step {self.step:,} has been moved to {dropped}, and will be removed "
                    "from there where the run records the same again"
                )
            self._remember_checkpoint()
            kept_checkpoints.remove_superfluous(self.folder, self.config)
            self._save_config(self.folder.config)
            self.history.rows, self._seconds_before = self.folder.rows(), self.folder.seconds_so_far()
            try:
                with self._files:
                    self._run(report, should_stop, notice)
            finally:
                with suppress(OSError, MiniganError):  # a failure here does no harm to the run
                    self.folder.remove_repeated()

    def _run(self, report: Report, should_stop: Callable[[], bool], notice: Notice) -> None:
        self._started, first_step, ended = time.perf_counter(), self.step, "failed"
        self._step_seconds, self._rows, self._callbacks.stop = 0.0, [], None
        try:
            ended = self._take_steps(report, should_stop, notice)
            self._save_final_pictures(self._recorded_rows(notice), notice)
        except Exception:  # the rows before a failure show how it came about
            self._write_rows()
            raise
        finally:
            rows, stop = self.history.rows, self._callbacks.stop
            self.history.outcome = Outcome(
                first_step=first_step,
                step=self.step,
                steps=self.config.steps,
                metrics={name: value for name, value in rows[-1].items() if name not in _NOT_METRICS} if rows else {},
                seconds=time.perf_counter() - self._started,
                step_seconds=self._step_seconds,
                ended=ended,
                reason=str(stop or ""),
            )
            self._callbacks.call("end", self, self.history.outcome)

    def _take_steps(self, report: Report, should_stop: Callable[[], bool], notice: Notice) -> str:
        """Take the steps, and return how the run has ended, as `Outcome.ended` says it."""
        self._callbacks.call("start", self)
        if self.step == self._first_step:
            self._look()
        while self.step < self.config.steps and not self._callbacks.stop:
            try:
                self._pending_metrics.append((self.step + 1, self._timed_step()))
            except Stop as stop:
                self._callbacks.stop = stop
                self._save_checkpoint({})
                break
            self._after_step(notice)
            stopping = should_stop()
            self._record_step(report, notice, stopping)
            if stopping:
                break
        self._write_rows()
        self._files.wait()
        if self._callbacks.stop:
            notice(f"stopped at step {self.step:,}: {self._callbacks.stop}")
            return "stopped"
        return "interrupted" if self.step < self.config.steps else "finished"

    def _timed_step(self) -> Mapping[str, Any]:
        """Take a step, and add its time to `_step_seconds`."""
        started = time.perf_counter() - minigan_kernels.compile_seconds()
        metrics = self._take_step()
        self._step_seconds += time.perf_counter() - minigan_kernels.compile_seconds() - started
        return metrics

    def _record_step(self, report: Report, notice: Notice, stopping: bool) -> None:
        """Write the metrics, samples and checkpoint that are due at this step."""
        step, last = self.step, self.step == self.config.steps
        sampled, evaluated, diagnosed = self._look_is_due(), self._evaluation_is_due(), self._diagnosis_is_due()
        recorded = step % self.config.log_every == 0 or sampled or evaluated or diagnosed or last
        saved = step % self.config.checkpoint_every == 0 or last or stopping
        if not (recorded or saved):
            return
        metrics = self._read_metrics()
        measured = (self._look() if sampled else {}) | (self._evaluation() if evaluated else {})
        metrics |= measured | self._learning_rates()
        findings = self._findings() if diagnosed else []
        if recorded:
            self._add_row(self._row(step, metrics, findings))
        report(step, metrics)
        if recorded:
            self._callbacks.call("step", self, step, metrics)
        for finding in findings:
            notice(f"step {step:,}: {finding}")
        if saved or self._callbacks.stop:
            self._save_checkpoint(measured)

    def _row(self, step: int, metrics: dict[str, float], findings: list[str]) -> Row:
        """The row of metrics.jsonl and of the history: the one place where a row is made."""
        return {"step": step, **metrics, **({"diagnosis": findings} if findings else {})}

    def _add_row(self, row: Row) -> None:
        self.history.rows.append(row)
        self._rows.append((row, self._seconds_before + time.perf_counter() - self._started))
        if time.perf_counter() - self._rows_written > _SECONDS_BETWEEN_ROWS:
            self._write_rows()

    def _write_rows(self) -> None:
        """Have the rows of metrics written that have not been."""
        rows, self._rows, self._rows_written = self._rows, [], time.perf_counter()
        if rows and (folder := self.folder) is not None:
            self._files.submit(lambda: folder.append([row for row, _ in rows], [seconds for _, seconds in rows]))

    def _read_metrics(self) -> dict[str, float]:
        """Read the metrics of the last step from the device; raises NonFiniteError if a number is not finite."""
        self._require_finite_step()
        step, unread = self._pending_metrics[-1]
        metrics = read_numbers("the step", unread)
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise self._nonfinite_error(f"the {name.replace('_', ' ')} is {value}", step)
        self._pending_metrics.clear()
        return metrics

    def _nonfinite_error(self, what: str, step: int) -> NonFiniteError:
        return NonFiniteError(f"step {step}: {what}; {self._advice()}")

    def _save_checkpoint(self, measured: dict[str, float]) -> None:
        """Save a checkpoint; raises NonFiniteError, and keeps the last one, if a weight or an output is not finite."""
        if self.folder is None:
            return
        self._files.wait(self._checkpoint_call)  # so that no more than one state waits in memory to be written
        try:
            state = self.state()
            self._require_savable(state)
            score = self._score(measured)
        except (ValueError, NonFiniteError) as error:
            raise self._nonfinite_error(str(error), self.step) from None
        self._write_rows()  # the metrics must reach as far as the checkpoint
        self._checkpoint_call = self._files.submit(lambda: self._write_checkpoint(state, score))
        if self._callbacks.have("save"):
            self._files.wait(self._checkpoint_call)
            self._callbacks.call("save", self, self.folder.checkpoint)

    def _write_checkpoint(self, state: dict[str, np.ndarray], score: float | None) -> None:
        assert self.folder is not None
        kept_checkpoints.save(self.folder, state, self.config, score)
        self._remember_checkpoint()

    def _remember_checkpoint(self) -> None:
        """Remember the identity of the checkpoint file, to notice if another process replaces it."""
        if self.folder is not None:
            self._source, self._last_checkpoint = self.folder.checkpoint, files.identity(self.folder.checkpoint)

    def _recorded_rows(self, notice: Notice) -> list[Row]:
        """The rows of metrics.jsonl; a file that was damaged during the training causes a notice only."""
        if self.folder is None:
            return self.history.rows
        try:
            return self.folder.rows()
        except MiniganError as error:
            notice(str(error))
            return []

    @contextmanager
    def _progress_bar(self) -> Iterator[Report]:
        """A bar of progress; its value is the function that reports a recorded step."""
        first_step = self.step
        with progress_bar.bar(not self.progress, total=self.config.steps, initial=first_step, unit="step") as bar:

            def report(step: int, metrics: dict[str, float]) -> None:
                if bar.n == first_step:
                    bar.unpause()  # leave the first steps, which compile the kernels, out of the rate
                shown = [item for item in metrics.items() if "learning_rate" not in item[0]][:_MOST_SHOWN]
                bar.set_postfix_str(", ".join(f"{name} {value:.3g}" for name, value in shown), refresh=False)
                bar.update(step - bar.n)

            yield report


def print_notice(sentence: str) -> None:
    """Print a sentence on standard error, without breaking a bar of progress."""
    progress_bar.write(f"minigan: {one_line(sentence)}.")


@contextmanager
def failure_as_notice(picture: Path, how: str, notice: Notice) -> Iterator[None]:
    """A context in which an error becomes a notice; how: what makes the pictures again."""
    try:
        yield
    except Exception as error:  # a picture must not make a finished training fail
        notice(
            f"{picture} could not be made: {clause(error)}; the run and its checkpoint are whole, and {how} "
            "makes its pictures again"
        )


def device_facts() -> dict[str, str]:
    """The entry "computed_on" of config.json."""
    library = backend.current()
    return {"backend": library.name, "kernels": library.kernels, **library.device_facts()}


def require_recorded(step: int, config: RunSettings, folder: RunFolder, first_step: int = 0) -> None:
    """Raise CheckpointError unless the metrics of the run reach as far as its checkpoint of `step`."""
    try:
        consistency.require_recorded(folder.rows(), step, config.log_every, first_step)
    except ValueError as error:
        earlier = kept_checkpoints.earlier_in_words(folder)
        raise CheckpointError(
            f"the checkpoint of {folder.path} does not fit its metrics.jsonl: {error}; restore both from the same run"
            f"{f', or name an earlier one: --checkpoint {earlier}' if earlier else ''}."
        ) from None


def read_numbers(who: str, unread: Any) -> dict[str, float]:
    """The scalars that a step or a callback returned, by name, as floats; raises UsageError for anything else.

    who: who returned them, in messages. None stands for no scalars.
    """
    if not isinstance(unread, Mapping | None):
        raise UsageError(f"{who} returned a {type(unread).__name__}, expected scalars by name or None; return a dict.")
    numbers = {}
    for name, value in (unread or {}).items():
        if not isinstance(name, str) or not name.isprintable():
            raise UsageError(f"{who} returned a number called {name!r}, expected a word as its name; rename it.")
        if name in _NOT_METRICS:
            raise UsageError(f"{who} returned a number called '{name}', which a row has already; rename it.")
        try:
            numbers[name] = float(value.item() if hasattr(value, "item") else value)
        except (TypeError, ValueError):
            raise UsageError(
                f"{who} returned {type(value).__name__} as '{name}', expected a number or a Tensor with one number; "
                "reduce it, such as with ops.mean, or leave it out."
            ) from None
    return numbers
