"""Train a GAN into a run folder; an interruption loses at most the steps since the last checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import minigan_kernels
from minigan import recipes
from minigan.autodiff import Tensor, no_grad
from minigan.core import backend, files
from minigan.core.errors import CheckpointError, MiniganError, NonFiniteError, UsageError, clause
from minigan.core.notice import Notice
from minigan.domains import Data
from minigan.figures import gif, loss_curves
from minigan.figures.image_grid import save_png
from minigan.gan import GAN
from minigan.gan.dry_run import announced_training
from minigan.nn.module import preserve_state
from minigan.training import checkpoint, consistency, kept_checkpoints
from minigan.training.config import RunConfig, load_config
from minigan.training.diagnosis import Diagnosis
from minigan.training.file_writer import FileWriter
from minigan.training.metrics_file import Row
from minigan.training.read_ahead import ReadAhead
from minigan.training.run_data import require_same_data
from minigan.training.run_folder import RunFolder
from minigan.training.trained_run import generate, load_into, untrained_gan

_NOT_METRICS = ("step", "diagnosis")  # entries of a row of metrics.jsonl
_DIAGNOSIS_EVERY = 100  # steps
_SECONDS_BETWEEN_ROWS = 0.25  # between writes to metrics.jsonl, each of which flushes it to the disk
_MUCH_LARGER = 10  # if one learning rate is this many times the other, only that one is advised to be lowered

Report = Callable[[int, dict[str, float]], None]
"""A function of a recorded step and of its metrics by name."""


@dataclass(frozen=True)
class Outcome:
    """The result of a call of `Trainer.run`.

    first_step: the steps that the run had before. step: those that it has now. steps: those of the whole run. metrics:
    the last recorded ones, by name. seconds: the duration of the call. step_seconds: how much of it the training steps
    alone took, without compiling or loading kernels.
    """

    first_step: int
    step: int
    steps: int
    metrics: dict[str, float]
    seconds: float
    step_seconds: float

    @property
    def interrupted(self) -> bool:
        """Whether the run stopped before its last step."""
        return self.step < self.steps


class Trainer:
    """A run: a GAN, its data and its folder. Make one with `begin` or `resume`, then call `run`.

    What the training adds to the folder, a thread of its own writes (see FileWriter).
    """

    def __init__(self, config: RunConfig, gan: GAN, data: Data, folder: RunFolder) -> None:
        self.config, self.gan, self.data, self.folder = config, gan, data, folder
        self.domain = recipes.get(config.recipe).domain.with_shape(data.shape)
        self._real_batch = ReadAhead(self.domain.batches(data, config))
        self._diagnosis = Diagnosis(gan)
        self._pending_metrics: list[tuple[int, dict[str, Tensor]]] = []  # of the steps since the last recorded one
        self._replay_notice_given = False
        self._files, self._checkpoint_call = FileWriter(), 0
        self._rows: list[Row] = []  # of metrics, not yet written
        self._rows_written = self._step_seconds = 0.0
        self._frames = gif.Frames()
        self._film_steps = _film_steps(config)
        self._remember_checkpoint()

    @classmethod
    def prepare(cls, config: RunConfig, data: Data, folder: RunFolder) -> Trainer:
        """A new run without a folder on disk; raises UsageError for settings or data that cannot be trained."""
        trainer = cls(config, untrained_gan(config, data.shape), data, folder)
        with announced_training(trainer.gan, lambda: trainer._real_batch(0)):
            trainer._try_first_step()
        return trainer

    @classmethod
    def begin(cls, config: RunConfig, data: Data, folder: RunFolder, *, numbered: bool = False) -> Trainer:
        """A new run in `folder`, which appears with a first checkpoint in it, so that it can be resumed at any time.

        If the folder exists, `numbered` uses the next free name (see RunFolder.create). The folder is made only after
        `prepare` has succeeded.
        """
        trainer = cls.prepare(config, data, folder)

        def fill(draft: RunFolder) -> None:
            checkpoint.save(draft.checkpoint, trainer.state(), config.recipe)
            config.save(draft.config, data=data.describe(), computed_on=_device())

        trainer.folder = folder.create(fill, numbered=numbered)
        trainer._remember_checkpoint()
        return trainer

    @classmethod
    def resume(cls, config: RunConfig, data: Data, folder: RunFolder, selection: str | None = None) -> Trainer:
        """The run in `folder` at the checkpoint `selection` (see kept_checkpoints.choose; None: the last).

        `run` moves aside what was recorded after that checkpoint; nothing in the folder changes before. Raises
        CheckpointError if the checkpoint, the data and the metrics do not belong together, UsageError if the run
        already has more steps than `config.steps`.
        """
        require_same_data(data, folder)
        folder.require_regular_files()
        last = files.identity(folder.checkpoint)
        gan, source = untrained_gan(config, data.shape), kept_checkpoints.choose(folder, selection)
        diagnosis_state = load_into(gan, load_config(folder.config), folder, source)
        _require_recorded(gan.step, config, folder)
        if gan.step > config.steps:
            raise UsageError(f"{folder.path} is at step {gan.step} already; ask for at least as many --steps.")
        trainer = cls(config, gan, data, folder)
        trainer._source, trainer._last_checkpoint = source, last
        try:
            trainer._diagnosis.load_state(diagnosis_state, trainer._real_batch)
        except ValueError as error:
            raise CheckpointError(
                f"the checkpoint {source} does not fit its configuration: {checkpoint.DIAGNOSIS_PREFIX}{error}; "
                "restore both from the same run."
            ) from None
        return trainer

    def state(self) -> dict[str, np.ndarray]:
        """The arrays of a checkpoint: the state of the GAN, and the state of the diagnosis under prefixed names."""
        diagnosis_state, prefix = self._diagnosis.state(), checkpoint.DIAGNOSIS_PREFIX
        return self.gan.state() | {f"{prefix}{name}": value for name, value in diagnosis_state.items()}

    def _try_first_step(self) -> None:
        """Make the first batch and the first samples and pass them through the networks; no state changes.

        Raises UsageError if that fails, since the settings or the data are the reason.
        """
        try:
            self._require_finite_passes()
            with np.errstate(all="ignore"):
                samples = self._samples()
                self.domain.draw(samples)
                self._measure(samples)
        except ValueError as error:
            raise UsageError(f"the recipe '{self.config.recipe}' cannot be trained: {error}.") from None
        except NonFiniteError as error:
            defaults = recipes.get(self.config.recipe).settings
            changed = [f"{key}={value}" for key, value in self.config.settings.items() if value != defaults[key]]
            raise UsageError(
                f"the recipe '{self.config.recipe}' cannot be trained with {', '.join(changed) or 'its defaults'}: "
                f"{error}, even before the first step; choose less extreme settings."
            ) from None

    def run(self, report: Report, should_stop: Callable[[], bool], notice: Notice = lambda sentence: None) -> Outcome:
        """Train to `config.steps`, or until `should_stop()`; calls `report(step, metrics)` at every recorded step.

        `notice` is called with findings of the diagnosis, which are also written to metrics.jsonl, and other notices.

        Raises NonFiniteError if a loss, a gradient or a weight is not finite, and leaves the last checkpoint as it is;
        UsageError if another process trains into the folder.
        """
        # NumPy need not warn of overflow: every number that is not finite raises NonFiniteError.
        with self.folder.locked(), np.errstate(all="ignore"):
            if files.identity(self.folder.checkpoint) != self._last_checkpoint:
                raise UsageError(f"another process has meanwhile trained into {self.folder.path}; resume it again.")
            if dropped := self.folder.rewind(self.gan.step, self._source):
                notice(
                    f"what was recorded after step {self.gan.step:,} has been moved to {dropped}, and will be removed "
                    "from there where the run records the same again"
                )
            self._remember_checkpoint()
            kept_checkpoints.remove_superfluous(self.folder, self.config)
            self.config.save(self.folder.config, data=self.data.describe(), computed_on=_device())
            try:
                with self._files:
                    try:
                        return self._run(report, should_stop, notice)
                    except Exception:  # the rows before a failure show how it came about
                        self._write_rows()
                        raise
            finally:
                with suppress(OSError, MiniganError):  # a failure here does no harm to the run
                    self.folder.remove_repeated()

    def _run(self, report: Report, should_stop: Callable[[], bool], notice: Notice) -> Outcome:
        started, first_step, steps = time.perf_counter(), self.gan.step, self.config.steps
        self._step_seconds, self._rows = 0.0, []
        if first_step == 0:
            self._save_samples()
        while self.gan.step < steps:
            self._pending_metrics.append((self.gan.step + 1, self._step(self._real_batch(self.gan.step))))
            self._notice_replay_fallback(notice)
            stopping = should_stop()
            self._record_step(report, notice, stopping)
            if stopping:
                break
        self._write_rows()
        self._files.wait()
        rows = self._recorded_rows(notice)
        self._save_final_pictures(rows, notice)
        return Outcome(
            first_step=first_step,
            step=self.gan.step,
            steps=steps,
            metrics={name: value for name, value in rows[-1].items() if name not in _NOT_METRICS} if rows else {},
            seconds=time.perf_counter() - started,
            step_seconds=self._step_seconds,
        )

    def _step(self, real: Tensor) -> dict[str, Tensor]:
        """Make a training step, add its time to `_step_seconds`, and return its metrics."""
        started = time.perf_counter() - minigan_kernels.compile_seconds()
        metrics = self.gan.train_step(real, self._diagnosis.gradient_observer())
        self._step_seconds += time.perf_counter() - minigan_kernels.compile_seconds() - started
        return metrics

    def _notice_replay_fallback(self, notice: Notice) -> None:
        """Notice once why steps run without replay, which is slower."""
        reason = self.gan.replay.fallback_reason
        if reason is not None and not self._replay_notice_given:
            self._replay_notice_given = True
            notice(f"training steps run without replay: {reason}")

    def _record_step(self, report: Report, notice: Notice, stopping: bool) -> None:
        """Write the metrics, samples and checkpoint that are due at this step."""
        step, last = self.gan.step, self.gan.step == self.config.steps
        sampled = step % self.config.sample_every == 0 or last
        diagnosed = step % _DIAGNOSIS_EVERY == 0
        recorded = step % self.config.log_every == 0 or sampled or diagnosed
        saved = step % self.config.checkpoint_every == 0 or last or stopping
        if not (recorded or saved):
            return
        metrics = self._read_metrics()
        measured = self._save_samples() if sampled else {}
        metrics |= measured
        findings = self._diagnosis.check(self._real_batch(step)) if diagnosed else []
        finding_row = {"diagnosis": [f"{finding.name}: {finding.sentence}" for finding in findings]} if findings else {}
        if recorded:
            self._rows.append({"step": step, **metrics, **finding_row})
            if time.perf_counter() - self._rows_written > _SECONDS_BETWEEN_ROWS:
                self._write_rows()
        report(step, metrics)
        for finding in findings:
            notice(f"step {step:,}: {finding.name}: {finding.sentence}")
        if saved:
            self._save_checkpoint(measured)

    def _write_rows(self) -> None:
        """Have the rows of metrics written that have not been."""
        rows, self._rows, self._rows_written = self._rows, [], time.perf_counter()
        if rows:
            self._files.submit(lambda: self.folder.append(rows))

    def _read_metrics(self) -> dict[str, float]:
        """Read the metrics of the last step from the device; raises NonFiniteError if a number is not finite."""
        self._require_finite_gradients()
        step, unread = self._pending_metrics[-1]
        metrics = {name: value.item() for name, value in unread.items()}
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise self._nonfinite_error(f"the {name.replace('_', ' ')} is {value}", step)
        self._pending_metrics.clear()
        return metrics

    def _require_finite_gradients(self) -> None:
        first = self.gan.first_nonfinite_gradient()
        if first is None:
            return
        step, name = first
        metrics = dict(self._pending_metrics)[step]
        loss = f"{name.partition('.')[0]}_loss"
        raise self._nonfinite_error(
            f"the gradient of {name} is not finite ({loss.replace('_', ' ')} {metrics[loss].item():.4g})", step
        )

    def _nonfinite_error(self, what: str, step: int) -> NonFiniteError:
        return NonFiniteError(f"step {step}: {what}; {_advice(self.config.settings)}")

    def _save_checkpoint(self, measured: dict[str, float]) -> None:
        """Save a checkpoint; raises NonFiniteError, and keeps the last one, if a weight or an output is not finite."""
        self._files.wait(self._checkpoint_call)  # so that no more than one state waits in memory to be written
        try:
            state = self.state()
            consistency.require_finite(checkpoint.without_diagnosis(state))
            self._require_finite_passes()
            score = self.domain.score(measured or self._measure(self._samples()))
        except (ValueError, NonFiniteError) as error:
            raise self._nonfinite_error(str(error), self.gan.step) from None
        self._write_rows()  # the metrics must reach as far as the checkpoint
        self._checkpoint_call = self._files.submit(lambda: self._write_checkpoint(state, score))

    def _write_checkpoint(self, state: dict[str, np.ndarray], score: float | None) -> None:
        kept_checkpoints.save(self.folder, state, self.config, score)
        self._remember_checkpoint()

    def _remember_checkpoint(self) -> None:
        """Remember the identity of the checkpoint file, to notice if another process replaces it."""
        self._source, self._last_checkpoint = self.folder.checkpoint, files.identity(self.folder.checkpoint)

    def _require_finite_passes(self) -> None:
        """Raise NonFiniteError unless both networks, in evaluation mode, give finite outputs for reals and fakes."""
        gan = self.gan
        inputs = gan.draw_update(gan.rules.batches(self._real_batch(gan.step))[0])
        inputs = replace(inputs, latent=gan.latent(len(inputs.real), "samples"), penalty_weight=None)
        with preserve_state(gan.generator, gan.discriminator), no_grad(), np.errstate(all="ignore"):
            gan.generator.eval()
            gan.discriminator.eval()
            outputs = gan.discriminator_pass(inputs)
        _require_finite("the samples", outputs.fake)
        _require_finite("the discriminator's scores", outputs.real_logits, outputs.fake_logits)

    def _samples(self) -> np.ndarray:
        """The samples of a picture of progress, from fixed latent vectors; NonFiniteError if one is not finite."""
        return generate(self.gan, self.domain, self.gan.latent(self.domain.samples_shown, "samples"))

    def _save_samples(self) -> dict[str, float]:
        """Save a picture of samples, and return what the domain measures of them."""
        try:
            samples = self._samples()
            measured = self._measure(samples)
        except NonFiniteError as error:
            raise self._nonfinite_error(str(error), self.gan.step) from None
        step = self.gan.step
        self._files.submit(lambda: self._write_picture(step, samples))
        return measured

    def _write_picture(self, step: int, samples: np.ndarray) -> None:
        path, image = self.folder.sample_path(step), self.domain.draw(samples)
        save_png(path, image)
        if step in self._film_steps:
            self._frames.add(path, image)

    def _measure(self, samples: np.ndarray) -> dict[str, float]:
        """What the domain measures of `samples`; raises NonFiniteError unless all of it is finite."""
        measured = self.domain.measure(samples)
        for name, value in measured.items():
            if not math.isfinite(value):
                raise NonFiniteError(f"the {name.replace('_', ' ')} of the samples is {value}")
        return measured

    def _recorded_rows(self, notice: Notice) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; a file that was damaged during the training causes a notice only."""
        try:
            return self.folder.rows()
        except MiniganError as error:
            notice(str(error))
            return []

    def _save_final_pictures(self, rows: list[dict[str, Any]], notice: Notice) -> None:
        """Make the pictures of the whole run; a failure causes a notice only."""
        folder, samples = self.folder, self.folder.sample_paths()
        if rows:
            with _failure_as_notice(folder.curves, notice):
                loss_curves.save_curves(folder.curves, rows, self.config.settings["loss"], notice)
        if samples:
            with _failure_as_notice(folder.animation, notice):
                gif.save(folder.animation, samples, notice, self._frames)
        for name, save in self.domain.artefacts().items():
            with _failure_as_notice(folder.path / name, notice):
                save(folder.path / name, self._samples())


@contextmanager
def _failure_as_notice(picture: Path, notice: Notice) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a picture must not make a finished training fail
        notice(
            f"{picture} could not be made: {clause(error)}; the run and its checkpoint are whole, and minigan train "
            f"--resume {picture.parent} makes its pictures again"
        )


def _require_finite(what: str, *tensors: Tensor | None) -> None:
    if not all(np.isfinite(values.numpy()).all() for values in tensors if values is not None):
        raise NonFiniteError(f"{what} are not finite")


def _film_steps(config: RunConfig) -> set[int]:
    """The steps whose pictures will be in the animation of a run that has no others."""
    count = -(-config.steps // config.sample_every) + 1
    return {min(place * config.sample_every, config.steps) for place in gif.places(count)}


def _advice(settings: dict[str, Any]) -> str:
    """Which learning rate to lower: that of one network if it is much larger than the other, else both."""
    rates = {"rate": settings["rate"]}
    if settings["generator_rate"]:
        rates["generator_rate"] = settings["generator_rate"]
    largest = max(rates.values())
    named = [f"--set {name}=..., now {rate}" for name, rate in rates.items() if rate * _MUCH_LARGER > largest]
    return f"train with a lower learning rate ({' and '.join(named)})."


def _device() -> dict[str, str]:
    """The entry "computed_on" of config.json."""
    library = backend.current()
    return {"backend": library.name, "kernels": library.kernels, **library.device_facts()}


def _require_recorded(step: int, config: RunConfig, folder: RunFolder) -> None:
    """Raise CheckpointError unless the metrics of the run reach as far as its checkpoint of `step`."""
    try:
        consistency.require_recorded(folder.rows(), step, config)
    except ValueError as error:
        earlier = kept_checkpoints.earlier_in_words(folder)
        raise CheckpointError(
            f"the checkpoint of {folder.path} does not fit its metrics.jsonl: {error}; restore both from the same run"
            f"{f', or name an earlier one: --checkpoint {earlier}' if earlier else ''}."
        ) from None
