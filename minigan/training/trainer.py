"""Train a GAN into a run folder, so that stopping at any moment loses at most the steps since the last checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minigan import backend, film, maps, plots, random, recipes
from minigan.autodiff import Tensor
from minigan.errors import CheckpointError, NonFiniteError, UsageError, clause
from minigan.gan import GAN
from minigan.recipes import PictureRecipe
from minigan.training import checkpoint
from minigan.training.config import RunConfig, load_config, recorded_shape
from minigan.training.diagnosis import Diagnosis
from minigan.training.form import Data, Form, PointForm, form_of
from minigan.training.run_folder import RunFolder, open_run
from minigan.training.source import require_same_data

_NO_METRICS = ("step", "diagnosis")  # in a row of the metrics
_LOOK_EVERY = 100  # steps between looks at what may go wrong
_OF_DIAGNOSIS = "diagnosis."  # how its names begin in a checkpoint
_DRAWN_AT_ONCE = 1000  # latent vectors of samples; another number would change the samples of a seed

Report = Callable[[int, dict[str, float]], None]
Notice = Callable[[str], None]


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
        self.form = form_of(recipes.get(config.recipe), data.shape)
        self._real = self.form.feed(data, config)
        self._diagnosis = Diagnosis(gan)
        self._unread: list[tuple[int, dict[str, Tensor]]] = []

    @classmethod
    def begin(cls, config: RunConfig, data: Data, folder: RunFolder) -> Trainer:
        """A new run; from its first moment there is a checkpoint to resume from."""
        trainer = cls(config, build(config, data.shape), data, folder)

        def fill(draft: RunFolder) -> None:
            checkpoint.save(draft.checkpoint, trainer.state(), config.recipe)
            config.save(draft.config, data=data.describe(), computed_on=_device())

        folder.create(fill)
        return trainer

    @classmethod
    def resume(cls, config: RunConfig, data: Data, folder: RunFolder) -> Trainer:
        """The run in `folder`, as it was at its last checkpoint; what was recorded later is forgotten at `run`.

        Raises CheckpointError if the checkpoint or the data do not fit, UsageError if the run is already longer than
        `config.steps`; nothing in the folder is changed.
        """
        require_same_data(data, folder)
        gan = build(config, data.shape)
        of_diagnosis = load_into(gan, config, folder)
        if gan.step > config.steps:
            raise UsageError(f"{folder.path} is at step {gan.step} already; ask for at least as many --steps.")
        trainer = cls(config, gan, data, folder)
        with _fitting(folder, _OF_DIAGNOSIS):
            trainer._diagnosis.load_state(of_diagnosis, trainer._real)
        return trainer

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint holds: the state of the GAN, and that of the diagnosis under names of its own."""
        of_diagnosis = self._diagnosis.state()
        return self.gan.state() | {f"{_OF_DIAGNOSIS}{name}": value for name, value in of_diagnosis.items()}

    def run(self, report: Report, should_stop: Callable[[], bool], notice: Notice = lambda sentence: None) -> Outcome:
        """Train to `config.steps`, or until `should_stop()`; `report(step, metrics)` at every recorded step.

        `notice(sentence)` is told what seems to go wrong, and what may help; so is the file of the metrics.

        Raises NonFiniteError, leaving the last checkpoint as it is, when a loss or a gradient is not finite;
        UsageError if another process trains into the folder.
        """
        # Overflow is not worth a warning here: whatever is not finite is refused, with a sentence.
        with self.folder.locked(), np.errstate(all="ignore"):
            self.folder.rewind(self.gan.step)
            self.config.save(self.folder.config, data=self.data.describe(), computed_on=_device())
            return self._run(report, should_stop, notice)

    def _run(self, report: Report, should_stop: Callable[[], bool], notice: Notice) -> Outcome:
        started, first, steps = time.perf_counter(), self.gan.step, self.config.steps
        if first == 0:
            self._save_samples()
        while self.gan.step < steps:
            self._unread.append((self.gan.step + 1, self.gan.train_step(self._real(self.gan.step))))
            stopping = should_stop()
            self._keep_records(report, notice, stopping)
            if stopping:
                break
        self._draw(notice)
        rows = self.folder.rows()
        return Outcome(
            first_step=first,
            step=self.gan.step,
            steps=steps,
            metrics={name: value for name, value in rows[-1].items() if name not in _NO_METRICS} if rows else {},
            seconds=time.perf_counter() - started,
        )

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
        if sampled:
            metrics |= self._save_samples()
        findings = self._diagnosis.look(self._real(step)) if looked else []
        told = {"diagnosis": [f"{finding.name}: {finding.sentence}" for finding in findings]} if findings else {}
        if recorded:
            self.folder.append({"step": step, **metrics, **told})
        report(step, metrics)
        for finding in findings:
            notice(f"step {step:,}: {finding.name}: {finding.sentence}")
        if saved:
            self._save_checkpoint()

    def _read_metrics(self) -> dict[str, float]:
        """Read what the steps left on the device, and refuse what is not finite."""
        self._refuse_bad_gradient()
        step, unread = self._unread[-1]
        metrics = {name: value.item() for name, value in unread.items()}
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NonFiniteError(f"step {step}: the {name.replace('_', ' ')} is {value}; {self._advice()}")
        self._unread.clear()
        return metrics

    def _refuse_bad_gradient(self) -> None:
        bad = self.gan.first_bad_gradient()
        if bad is None:
            return
        step, name = bad
        metrics = dict(self._unread)[step]
        loss = f"{name.partition('.')[0]}_loss"
        raise NonFiniteError(
            f"step {step}: the gradient of {name} is not finite ({loss.replace('_', ' ')} {metrics[loss].item():.4g}); "
            f"{self._advice()}"
        )

    def _advice(self) -> str:
        return f"train with a lower learning rate (--set rate=..., now {self.config.settings['rate']})."

    def _save_checkpoint(self) -> None:
        checkpoint.save(self.folder.checkpoint, self.state(), self.config.recipe)

    def _save_samples(self) -> dict[str, float]:
        """Save a picture of samples; how good they are, as far as that is cheap to tell."""
        samples = _made(self.gan, self.form, self.gan.latent(self.form.shown, "samples"))
        plots.save_png(self.folder.sample_path(self.gan.step), self.form.picture(samples))
        return self.form.measure(samples)

    def _draw(self, notice: Notice) -> None:
        """Make the pictures of the whole run; of one that cannot be made the user is told, and the run is as good."""
        folder, rows, samples = self.folder, self.folder.rows(), self.folder.sample_paths()
        if rows:
            with _told(folder.curves, notice):
                plots.save_curves(folder.curves, rows, self.config.settings["loss"], notice)
        if samples:
            with _told(folder.film, notice):
                film.save(folder.film, samples, notice)
        if isinstance(self.form, PointForm):
            with _told(folder.contours, notice):
                points = _made(self.gan, self.form, self.gan.latent(self.form.shown, "samples"))
                maps.save_contours(folder.contours, self.form.data.target, points)


@contextmanager
def _told(picture: Path, notice: Notice) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever may stand in the way of a picture, the training is done
        notice(
            f"{picture} could not be made: {clause(error)}; the run and its checkpoint are whole, and minigan train "
            f"--resume {picture.parent} makes its pictures again"
        )


def build(config: RunConfig, shape: tuple[int, ...]) -> GAN:
    """The untrained GAN of `config` for examples of `shape`."""
    recipe = recipes.get(config.recipe)
    return recipe.build(shape=shape, steps=config.steps, seed=config.seed, dtype=config.dtype, **config.settings)


def load_into(gan: GAN, config: RunConfig, folder: RunFolder) -> dict[str, np.ndarray]:
    """Give `gan` the state of the folder's checkpoint, and return that of the diagnosis, which earlier versions lack.

    Raises CheckpointError if it does not fit.
    """
    state = checkpoint.load(folder.checkpoint, config.recipe)
    of_diagnosis = {name: state.pop(name) for name in list(state) if name.startswith(_OF_DIAGNOSIS)}
    with _fitting(folder):
        gan.load_state(state)
    return {name.removeprefix(_OF_DIAGNOSIS): value for name, value in of_diagnosis.items()}


@contextmanager
def _fitting(folder: RunFolder, names: str = "") -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise CheckpointError(
            f"the checkpoint {folder.checkpoint} does not fit its configuration: {names}{error}; "
            "restore both from the same run."
        ) from None


@dataclass(frozen=True)
class TrainedRun:
    """A GAN as a run's last checkpoint holds it, and the form of its examples."""

    gan: GAN
    config: RunConfig
    form: Form


def load_run(path: Path) -> TrainedRun:
    """The GAN in the run folder `path`; raises CheckpointError if it is missing or damaged."""
    folder = open_run(path)
    config = load_config(folder.config)
    recipe = recipes.get(config.recipe)
    is_pictures = isinstance(recipe, PictureRecipe)
    shape = recorded_shape(folder.config) if is_pictures else recipe.wanted_shape(config.settings)
    gan = build(config, shape)
    load_into(gan, config, folder)
    return TrainedRun(gan, config, form_of(recipe, shape))


def draw_samples(run: TrainedRun, count: int, seed: int) -> np.ndarray:
    """`count` examples as people know them, from latent vectors that are a pure function of `seed`.

    Pictures are (N, H, W, C) uint8, points (N, 2) float64.
    """
    parts = []
    for start in range(0, count, _DRAWN_AT_ONCE):  # part i is always the same
        rng = random.generator(seed, "samples", start // _DRAWN_AT_ONCE)
        parts.append(_made(run.gan, run.form, run.gan.latent_from(rng, min(_DRAWN_AT_ONCE, count - start))))
    return np.concatenate(parts)


def _made(gan: GAN, form: Form, latent: Tensor) -> np.ndarray:
    """What the generator makes of `latent` (N, latent_size), as people know it."""
    starts = range(0, len(latent), form.at_once)
    return np.concatenate([form.present(gan.sample(latent[i : i + form.at_once]).numpy()) for i in starts])


def _device() -> dict[str, str]:
    """What a configuration says of where the numbers came from."""
    return {"backend": backend.current().name, "kernels": backend.current().kernels}
