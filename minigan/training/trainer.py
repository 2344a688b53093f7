"""Train a GAN into a run folder, so that stopping at any moment loses at most the steps since the last checkpoint."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minigan import recipes
from minigan.autodiff import Tensor, no_grad
from minigan.core import backend
from minigan.core.errors import CheckpointError, MiniganError, NonFiniteError, UsageError, clause
from minigan.core.notice import Notice
from minigan.domains import Data
from minigan.figures import gif, loss_curves
from minigan.figures.image_grid import save_png
from minigan.gan import GAN
from minigan.nn.module import preserve_state
from minigan.training import checkpoint, consistency, kept_checkpoints
from minigan.training.config import RunConfig, load_config
from minigan.training.diagnosis import Diagnosis
from minigan.training.run_data import require_same_data
from minigan.training.run_folder import RunFolder
from minigan.training.trained_run import generate, load_into, untrained_gan

_NO_METRICS = ("step", "diagnosis")  # in a row of the metrics
_LOOK_EVERY = 100  # steps between looks at what may go wrong
_FAR_LARGER = 10  # times: a learning rate so much larger than the other is the one at fault

Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Outcome:
    """How a call of `Trainer.run` ended: at which steps it began and stopped, of how many, the last metrics recorded
    and the seconds it took."""

    first_step: int
    step: int
    steps: int
    metrics: dict[str, float]
    seconds: float

    @property
    def interrupted(self) -> bool:
        """Whether steps are left."""
        return self.step < self.steps


class Trainer:
    """A run: a GAN, its data and its folder. Build it with `begin` or `resume`, then `run` it."""

    def __init__(self, config: RunConfig, gan: GAN, data: Data, folder: RunFolder) -> None:
        self.config, self.gan, self.data, self.folder = config, gan, data, folder
        self.domain = recipes.get(config.recipe).domain.with_shape(data.shape)
        self._real = self.domain.batches(data, config)
        self._diagnosis = Diagnosis(gan)
        self._unread: list[tuple[int, dict[str, Tensor]]] = []
        self._told_of_replay = False
        self._remember_checkpoint()

    @classmethod
    def prepare(cls, config: RunConfig, data: Data, folder: RunFolder) -> Trainer:
        """A new run as far as it can be made without its folder; raises UsageError for what cannot be trained."""
        trainer = cls(config, untrained_gan(config, data.shape), data, folder)
        trainer._rehearse()
        return trainer

    @classmethod
    def begin(cls, config: RunConfig, data: Data, folder: RunFolder, *, numbered: bool = False) -> Trainer:
        """A new run; from its first moment there is a checkpoint to resume from.

        If the folder is taken, `numbered` takes the next free one (see RunFolder.create). What `prepare` refuses is
        refused before there is a folder.
        """
        trainer = cls.prepare(config, data, folder)

        def fill(draft: RunFolder) -> None:
            checkpoint.save(draft.checkpoint, trainer.state(), config.recipe)
            config.save(draft.config, data=data.describe(), computed_on=_device())

        trainer.folder = folder.create(fill, numbered=numbered)
        trainer._remember_checkpoint()
        return trainer

    @classmethod
    def resume(cls, config: RunConfig, data: Data, folder: RunFolder, wanted: str | None = None) -> Trainer:
        """The run in `folder`, as it was at the checkpoint `wanted` (see kept_checkpoints.choose; None: the last).

        What was recorded later is moved aside at `run`; until then nothing in the folder is changed. Raises
        CheckpointError if the checkpoint, the data or the metrics do not fit, UsageError if the run is already longer
        than `config.steps`.
        """
        require_same_data(data, folder)
        folder.require_regular_files()
        last = _identity(folder.checkpoint)
        gan, source = untrained_gan(config, data.shape), kept_checkpoints.choose(folder, wanted)
        of_diagnosis = load_into(gan, load_config(folder.config), folder, source)
        _require_recorded(gan.step, config, folder)
        if gan.step > config.steps:
            raise UsageError(f"{folder.path} is at step {gan.step} already; ask for at least as many --steps.")
        trainer = cls(config, gan, data, folder)
        trainer._source, trainer._last_checkpoint = source, last
        try:
            trainer._diagnosis.load_state(of_diagnosis, trainer._real)
        except ValueError as error:
            raise CheckpointError(
                f"the checkpoint {source} does not fit its configuration: {checkpoint.DIAGNOSIS_PREFIX}{error}; "
                "restore both from the same run."
            ) from None
        return trainer

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint holds: the state of the GAN, and that of the diagnosis under names of its own."""
        of_diagnosis, prefix = self._diagnosis.state(), checkpoint.DIAGNOSIS_PREFIX
        return self.gan.state() | {f"{prefix}{name}": value for name, value in of_diagnosis.items()}

    def _rehearse(self) -> None:
        """Make the first batch and the first samples, and pass both through the networks; it changes nothing.

        Raises UsageError for what the settings or the data do not allow.
        """
        try:
            self._require_finite_passes()
            with np.errstate(all="ignore"):
                samples = self._samples()
                self.domain.draw(samples)
                self._measured(samples)
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
        """Train to `config.steps`, or until `should_stop()`; `report(step, metrics)` at every recorded step.

        `notice(sentence)` is told what seems to go wrong, and what may help; so is the file of the metrics.

        Raises NonFiniteError, leaving the last checkpoint as it is, when a loss, a gradient or a weight is not finite;
        UsageError if another process trains into the folder.
        """
        # Overflow is not worth a warning here: whatever is not finite is refused, with a sentence.
        with self.folder.locked(), np.errstate(all="ignore"):
            if _identity(self.folder.checkpoint) != self._last_checkpoint:
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
                return self._run(report, should_stop, notice)
            finally:
                with suppress(OSError, MiniganError):  # it only tidies up
                    self.folder.remove_repeated()

    def _run(self, report: Report, should_stop: Callable[[], bool], notice: Notice) -> Outcome:
        started, first, steps = time.perf_counter(), self.gan.step, self.config.steps
        if first == 0:
            self._save_samples()
        while self.gan.step < steps:
            real = self._real(self.gan.step)
            self._unread.append((self.gan.step + 1, self.gan.train_step(real, self._diagnosis.gradient_observer())))
            self._tell_of_replay(notice)
            stopping = should_stop()
            self._keep_records(report, notice, stopping)
            if stopping:
                break
        rows = self._recorded(notice)
        self._draw(rows, notice)
        return Outcome(
            first_step=first,
            step=self.gan.step,
            steps=steps,
            metrics={name: value for name, value in rows[-1].items() if name not in _NO_METRICS} if rows else {},
            seconds=time.perf_counter() - started,
        )

    def _tell_of_replay(self, notice: Notice) -> None:
        """Say once why steps cannot be replayed, which takes them longer."""
        refused = self.gan.replay.fallback_reason
        if refused is not None and not self._told_of_replay:
            self._told_of_replay = True
            notice(f"training steps run without replay: {refused}")

    def _keep_records(self, report: Report, notice: Notice, stopping: bool) -> None:
        """Write down what this step is due: metrics, samples, a checkpoint."""
        step, last = self.gan.step, self.gan.step == self.config.steps
        sampled = step % self.config.sample_every == 0 or last
        looked = step % _LOOK_EVERY == 0
        recorded = step % self.config.log_every == 0 or sampled or looked
        saved = step % self.config.checkpoint_every == 0 or last or stopping
        if not (recorded or saved):
            return
        metrics = self._read_metrics()
        measured = self._save_samples() if sampled else {}
        metrics |= measured
        findings = self._diagnosis.check(self._real(step)) if looked else []
        told = {"diagnosis": [f"{finding.name}: {finding.sentence}" for finding in findings]} if findings else {}
        if recorded:
            self.folder.append({"step": step, **metrics, **told})
        report(step, metrics)
        for finding in findings:
            notice(f"step {step:,}: {finding.name}: {finding.sentence}")
        if saved:
            self._save_checkpoint(measured)

    def _read_metrics(self) -> dict[str, float]:
        """Read what the steps left on the device, and refuse what is not finite."""
        self._refuse_bad_gradient()
        step, unread = self._unread[-1]
        metrics = {name: value.item() for name, value in unread.items()}
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise self._not_finite(f"the {name.replace('_', ' ')} is {value}", step)
        self._unread.clear()
        return metrics

    def _refuse_bad_gradient(self) -> None:
        bad = self.gan.first_nonfinite_gradient()
        if bad is None:
            return
        step, name = bad
        metrics = dict(self._unread)[step]
        loss = f"{name.partition('.')[0]}_loss"
        raise self._not_finite(
            f"the gradient of {name} is not finite ({loss.replace('_', ' ')} {metrics[loss].item():.4g})", step
        )

    def _not_finite(self, what: str, step: int) -> NonFiniteError:
        return NonFiniteError(f"step {step}: {what}; {_advice(self.config.settings)}")

    def _save_checkpoint(self, measured: dict[str, float]) -> None:
        """Unless a number of the networks, or one that they give, is not finite: then the last checkpoint stays."""
        try:
            consistency.require_finite(self.gan.state())
            self._require_finite_passes()
            score = self.domain.score(measured or self._measured(self._samples()))
        except (ValueError, NonFiniteError) as error:
            raise self._not_finite(str(error), self.gan.step) from None
        kept_checkpoints.save(self.folder, self.state(), self.config, score)
        self._remember_checkpoint()

    def _remember_checkpoint(self) -> None:
        """Note which file is the last checkpoint, to see if another process replaces it."""
        self._source, self._last_checkpoint = self.folder.checkpoint, _identity(self.folder.checkpoint)

    def _require_finite_passes(self) -> None:
        """Raise NonFiniteError unless what the networks give in use is finite, of reals and of fakes."""
        gan = self.gan
        inputs = gan.draw_update(gan.rules.batches(self._real(gan.step))[0])
        inputs = replace(inputs, latent=gan.latent(len(inputs.real), "samples"), penalty_weight=None)
        with preserve_state(gan.generator, gan.discriminator), no_grad(), np.errstate(all="ignore"):
            gan.generator.eval()
            gan.discriminator.eval()
            judged = gan.discriminator_pass(inputs)
        _require_finite("the samples", judged.fake)
        _require_finite("the discriminator's scores", judged.real_logits, judged.fake_logits)

    def _samples(self) -> np.ndarray:
        """Those that show the progress, as people know them; raises NonFiniteError unless all are finite."""
        return generate(self.gan, self.domain, self.gan.latent(self.domain.samples_shown, "samples"))

    def _save_samples(self) -> dict[str, float]:
        """Save a picture of samples; how good they are, as far as that is cheap to tell."""
        try:
            samples = self._samples()
            measured = self._measured(samples)
        except NonFiniteError as error:
            raise self._not_finite(str(error), self.gan.step) from None
        save_png(self.folder.sample_path(self.gan.step), self.domain.draw(samples))
        return measured

    def _measured(self, samples: np.ndarray) -> dict[str, float]:
        measured = self.domain.measure(samples)
        for name, value in measured.items():
            if not math.isfinite(value):
                raise NonFiniteError(f"the {name.replace('_', ' ')} of the samples is {value}")
        return measured

    def _recorded(self, notice: Notice) -> list[dict[str, Any]]:
        """The rows of the metrics; if somebody has meanwhile damaged their file, the training is done all the same."""
        try:
            return self.folder.rows()
        except MiniganError as error:
            notice(str(error))
            return []

    def _draw(self, rows: list[dict[str, Any]], notice: Notice) -> None:
        """Make the pictures of the whole run; of one that cannot be made the user is told, and the run is as good."""
        folder, samples = self.folder, self.folder.sample_paths()
        if rows:
            with _told(folder.curves, notice):
                loss_curves.save_curves(folder.curves, rows, self.config.settings["loss"], notice)
        if samples:
            with _told(folder.animation, notice):
                gif.save(folder.animation, samples, notice)
        for name, save in self.domain.artefacts().items():
            with _told(folder.path / name, notice):
                save(folder.path / name, self._samples())


@contextmanager
def _told(picture: Path, notice: Notice) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever may stand in the way of a picture, the training is done
        notice(
            f"{picture} could not be made: {clause(error)}; the run and its checkpoint are whole, and minigan train "
            f"--resume {picture.parent} makes its pictures again"
        )


def _require_finite(what: str, *of: Tensor | None) -> None:
    if not all(np.isfinite(values.numpy()).all() for values in of if values is not None):
        raise NonFiniteError(f"{what} are not finite")


def _advice(settings: dict[str, Any]) -> str:
    """Which learning rate to lower: where the generator has one of its own, the one that is far the larger, or both."""
    rates = {"rate": settings["rate"]}
    if settings["generator_rate"]:
        rates["generator_rate"] = settings["generator_rate"]
    largest = max(rates.values())
    said = [f"--set {name}=..., now {rate}" for name, rate in rates.items() if rate * _FAR_LARGER > largest]
    return f"train with a lower learning rate ({' and '.join(said)})."


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Inode, size and time of the file, which differ for every later one; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _device() -> dict[str, str]:
    """What a configuration says of where the numbers came from."""
    return {"backend": backend.current().name, "kernels": backend.current().kernels}


def _require_recorded(step: int, config: RunConfig, folder: RunFolder) -> None:
    try:
        consistency.require_recorded(folder.rows(), step, config)
    except ValueError as error:
        earlier = kept_checkpoints.earlier_in_words(folder)
        raise CheckpointError(
            f"the checkpoint of {folder.path} does not fit its metrics.jsonl: {error}; restore both from the same run"
            f"{f', or name an earlier one: --checkpoint {earlier}' if earlier else ''}."
        ) from None
