"""Train a GAN into a run folder, so that stopping at any moment loses at most the steps since the last checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan import backend, plots, random, recipes
from minigan.autodiff import Tensor
from minigan.data import Dataset, ImageShape
from minigan.data.feed import Feed
from minigan.errors import CheckpointError, NonFiniteError, UsageError
from minigan.gan import GAN
from minigan.training import checkpoint
from minigan.training.config import RunConfig, load_config, recorded_data
from minigan.training.run_folder import RunFolder, open_run

_GRID = 64  # samples in each picture of progress
_DRAWN_AT_ONCE = 1000  # latent vectors of samples; another number would change the samples of a seed
_MADE_AT_ONCE = 1 << 20  # numbers in the pictures of one pass, so that memory stays small: 1,000 digits and some

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

    def __init__(self, config: RunConfig, gan: GAN, dataset: Dataset, folder: RunFolder) -> None:
        self.config, self.gan, self.dataset, self.folder = config, gan, dataset, folder
        self.recipe = recipes.get(config.recipe)
        self.feed = Feed(
            dataset,
            config.settings["batch_size"],
            config.seed,
            self.recipe.value_range,
            config.dtype,
            flat=self.recipe.flat,
        )
        self._unread: list[tuple[int, dict[str, Tensor]]] = []

    @classmethod
    def begin(cls, config: RunConfig, dataset: Dataset, folder: RunFolder) -> Trainer:
        """A new run; from its first moment there is a checkpoint to resume from."""
        trainer = cls(config, build(config, dataset.image_shape), dataset, folder)

        def fill(draft: RunFolder) -> None:
            checkpoint.save(draft.checkpoint, trainer.gan.state(), config.recipe)
            config.save(draft.config, data=describe(dataset), computed_on=_device())

        folder.create(fill)
        return trainer

    @classmethod
    def resume(cls, config: RunConfig, dataset: Dataset, folder: RunFolder) -> Trainer:
        """The run in `folder`, as it was at its last checkpoint; what was recorded later is forgotten at `run`.

        Raises CheckpointError if the checkpoint or the data do not fit, UsageError if the run is already longer than
        `config.steps`; nothing in the folder is changed.
        """
        _require_same_data(dataset, folder)
        gan = build(config, dataset.image_shape)
        load_into(gan, config, folder)
        if gan.step > config.steps:
            raise UsageError(f"{folder.path} is at step {gan.step} already; ask for at least as many --steps.")
        return cls(config, gan, dataset, folder)

    def run(self, report: Report, should_stop: Callable[[], bool]) -> Outcome:
        """Train to `config.steps`, or until `should_stop()`; `report(step, metrics)` at every recorded step.

        Raises NonFiniteError, leaving the last checkpoint as it is, when a loss or a gradient is not finite;
        UsageError if another process trains into the folder.
        """
        # Overflow is not worth a warning here: whatever is not finite is refused, with a sentence.
        with self.folder.locked(), np.errstate(all="ignore"):
            self.folder.rewind(self.gan.step)
            self.config.save(self.folder.config, data=describe(self.dataset), computed_on=_device())
            return self._run(report, should_stop)

    def _run(self, report: Report, should_stop: Callable[[], bool]) -> Outcome:
        started, first, steps = time.perf_counter(), self.gan.step, self.config.steps
        if first == 0:
            self._save_samples()
        while self.gan.step < steps:
            self._unread.append((self.gan.step + 1, self.gan.train_step(self.feed.batch(self.gan.step))))
            stopping = should_stop()
            self._keep_records(report, stopping)
            if stopping:
                break
        self._draw()
        rows = self.folder.rows()
        return Outcome(
            first_step=first,
            step=self.gan.step,
            steps=steps,
            metrics={name: value for name, value in rows[-1].items() if name != "step"} if rows else {},
            seconds=time.perf_counter() - started,
        )

    def _keep_records(self, report: Report, stopping: bool) -> None:
        """Write down what this step is due: metrics, samples, a checkpoint."""
        step, last = self.gan.step, self.gan.step == self.config.steps
        recorded = step % self.config.log_every == 0 or last
        saved = step % self.config.checkpoint_every == 0 or last or stopping
        if recorded or saved:
            report(step, self._read_metrics(record=recorded))
        if step % self.config.sample_every == 0 or last:
            self._save_samples()
        if saved:
            self._save_checkpoint()

    def _read_metrics(self, *, record: bool) -> dict[str, float]:
        """Read what the steps left on the device, refuse what is not finite, and record the latest."""
        self._refuse_bad_gradient()
        step, unread = self._unread[-1]
        metrics = {name: value.item() for name, value in unread.items()}
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NonFiniteError(f"step {step}: the {name.replace('_', ' ')} is {value}; {self._advice()}")
        self._unread.clear()
        if record:
            self.folder.append({"step": step, **metrics})
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
        checkpoint.save(self.folder.checkpoint, self.gan.state(), self.config.recipe)

    def _save_samples(self) -> None:
        images = _pictures(self.gan, self.config, self.dataset.image_shape, self.gan.latent(_GRID, "samples"))
        plots.save_png(self.folder.sample_path(self.gan.step), plots.image_grid(images))

    def _draw(self) -> None:
        if rows := self.folder.rows():
            plots.save_curves(self.folder.curves, rows, self.config.settings["loss"])
        if samples := self.folder.sample_paths():
            plots.save_film(self.folder.film, samples)


def build(config: RunConfig, image_shape: ImageShape) -> GAN:
    """The untrained GAN of `config` for pictures of `image_shape` (H, W, C)."""
    recipe = recipes.get(config.recipe)
    return recipe.build(image_shape=image_shape, seed=config.seed, dtype=config.dtype, **config.settings)


def load_into(gan: GAN, config: RunConfig, folder: RunFolder) -> None:
    """Give `gan` the state of the folder's checkpoint; raises CheckpointError if it does not fit."""
    try:
        gan.load_state(checkpoint.load(folder.checkpoint, config.recipe))
    except ValueError as error:
        raise CheckpointError(
            f"the checkpoint {folder.checkpoint} does not fit its configuration: {error}; "
            "restore both from the same run."
        ) from None


@dataclass(frozen=True)
class TrainedRun:
    """A GAN as a run's last checkpoint holds it, and the shape (H, W, C) of its pictures."""

    gan: GAN
    config: RunConfig
    image_shape: ImageShape


def load_run(path: Path) -> TrainedRun:
    """The GAN in the run folder `path`; raises CheckpointError if it is missing or damaged."""
    folder = open_run(path)
    config = load_config(folder.config)
    height, width, channels = recorded_data(folder.config)["image_shape"]
    image_shape = height, width, channels
    gan = build(config, image_shape)
    load_into(gan, config, folder)
    return TrainedRun(gan, config, image_shape)


def sample_images(run: TrainedRun, count: int, seed: int) -> np.ndarray:
    """`count` pictures (N, H, W, C) uint8, from latent vectors that are a pure function of `seed`."""
    images = np.empty((count, *run.image_shape), np.uint8)
    for start in range(0, count, _DRAWN_AT_ONCE):  # part i is always the same
        part = images[start : start + _DRAWN_AT_ONCE]
        rng = random.generator(seed, "samples", start // _DRAWN_AT_ONCE)
        latent = rng.standard_normal((len(part), run.gan.latent_size)).astype(run.config.dtype)
        part[:] = _pictures(run.gan, run.config, run.image_shape, Tensor(latent))
    return images


def _pictures(gan: GAN, config: RunConfig, image_shape: ImageShape, latent: Tensor) -> np.ndarray:
    """What the generator makes of `latent` (N, latent_size) as pictures (N, H, W, C) uint8 on the host."""
    images = np.empty((len(latent), *image_shape), np.uint8)
    at_once = max(1, _MADE_AT_ONCE // math.prod(image_shape))
    for start in range(0, len(latent), at_once):
        values = gan.sample(latent[start : start + at_once]).numpy().reshape(-1, *image_shape)
        images[start : start + at_once] = plots.to_bytes(values, recipes.get(config.recipe).value_range)
    return images


def describe(dataset: Dataset) -> dict[str, Any]:
    """What a configuration says of the data."""
    return {
        "name": dataset.name,
        "source": dataset.source,
        "images": len(dataset),
        "image_shape": list(dataset.image_shape),
        "sha256": dataset.sha256,
    }


def _device() -> dict[str, str]:
    """What a configuration says of where the numbers came from."""
    return {"backend": backend.current().name, "kernels": backend.current().kernels}


def _require_same_data(dataset: Dataset, folder: RunFolder) -> None:
    recorded = recorded_data(folder.config)
    if recorded["sha256"] != dataset.sha256:
        raise CheckpointError(
            f"the data in {dataset.source} is not what {folder.path} was trained on; "
            "name the folder that holds it with --data-dir."
        )
