"""Train a GAN into a run folder, so that stopping at any moment loses at most the steps since the last checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan import plots, random, recipes
from minigan.autodiff import Tensor
from minigan.data import Dataset
from minigan.data.feed import Feed
from minigan.errors import CheckpointError, NonFiniteError
from minigan.gan import GAN
from minigan.training import checkpoint
from minigan.training.config import RunConfig, load_config, recorded_image_shape
from minigan.training.run_folder import RunFolder, open_run

_GRID = 64  # samples in each picture of progress
_AT_ONCE = 1000  # samples made in one pass

Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Outcome:
    """How a call of `Trainer.run` ended: the last step, its metrics, the seconds, and whether it was asked to stop."""

    step: int
    metrics: dict[str, float]
    seconds: float
    interrupted: bool


class Trainer:
    """A run: a GAN, its data and its folder. Build it with `begin` or `resume`, then `run` it."""

    def __init__(self, config: RunConfig, gan: GAN, dataset: Dataset, folder: RunFolder) -> None:
        self.config, self.gan, self.folder = config, gan, folder
        self.recipe = recipes.get(config.recipe)
        self.image_shape = dataset.images.shape[1:]
        self.feed = Feed(dataset, config.settings["batch_size"], config.seed, self.recipe.value_range, config.dtype)
        self._unread: list[tuple[int, dict[str, Tensor]]] = []
        self._last_metrics: dict[str, float] = {}

    @classmethod
    def begin(cls, config: RunConfig, dataset: Dataset, folder: RunFolder) -> Trainer:
        """A new run; from its first moment there is a checkpoint to resume from."""
        trainer = cls(config, build(config, dataset), dataset, folder)

        def fill(draft: RunFolder) -> None:
            config.save(draft.config, data=describe(dataset))
            checkpoint.save(draft.checkpoint, trainer.gan.state(), config.recipe)

        folder.create(fill)
        return trainer

    @classmethod
    def resume(cls, config: RunConfig, dataset: Dataset, folder: RunFolder) -> Trainer:
        """The run in `folder`, as it was at its last checkpoint; what was recorded later is forgotten.

        Raises CheckpointError, and changes nothing in the folder, if the checkpoint does not fit.
        """
        gan = build(config, dataset)
        load_into(gan, config, folder)
        trainer = cls(config, gan, dataset, folder)
        folder.rewind(gan.step)
        config.save(folder.config, data=describe(dataset))
        return trainer

    def run(self, report: Report, should_stop: Callable[[], bool]) -> Outcome:
        """Train to `config.steps`, or until `should_stop()`; `report(step, metrics)` at every recorded step.

        Raises NonFiniteError, leaving the last checkpoint as it is, when a loss or a gradient is not finite.
        """
        started, config = time.perf_counter(), self.config
        if self.gan.step == 0:
            self._save_samples()
        interrupted = False
        while self.gan.step < config.steps and not interrupted:
            self.gan.set_rate(self.recipe.rate(config.settings, self.gan.step, config.steps))
            self._unread.append((self.gan.step + 1, self.gan.train_step(self.feed.batch(self.gan.step))))
            step, last = self.gan.step, self.gan.step == config.steps
            interrupted = should_stop()
            recorded = step % config.log_every == 0 or last
            if recorded or interrupted or self._saves_at(step):
                self._read_metrics(record=recorded)
                report(step, self._last_metrics)
            if step % config.sample_every == 0 or last:
                self._save_samples()
            if self._saves_at(step) or interrupted:
                self._save_checkpoint()
        self._draw()
        seconds = time.perf_counter() - started
        return Outcome(self.gan.step, self._last_metrics, seconds, self.gan.step < config.steps)

    def _saves_at(self, step: int) -> bool:
        return step % self.config.checkpoint_every == 0 or step == self.config.steps

    def _read_metrics(self, *, record: bool) -> None:
        """Read what the steps left on the device, refuse what is not finite, and record the latest."""
        self._refuse_bad_gradient()
        step, metrics = self._unread[-1]
        self._last_metrics = {name: value.item() for name, value in metrics.items()}
        for name, value in self._last_metrics.items():
            if not math.isfinite(value):
                raise NonFiniteError(f"step {step}: the {name.replace('_', ' ')} is {value}; {self._advice()}")
        self._unread.clear()
        if record:
            self.folder.append([{"step": step, **self._last_metrics}])

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
        images = _pictures(self.gan, self.config, self.image_shape, self.gan.latent(_GRID, "samples"))
        plots.save_png(self.folder.sample_path(self.gan.step), plots.image_grid(images))

    def _draw(self) -> None:
        if rows := self.folder.rows():
            plots.save_curves(self.folder.curves, rows, self.config.settings["loss"])
        plots.save_film(self.folder.film, self.folder.sample_paths())


def build(config: RunConfig, dataset: Dataset) -> GAN:
    """The untrained GAN of `config` for pictures like those of `dataset`."""
    height, width = dataset.images.shape[1:]
    recipe = recipes.get(config.recipe)
    return recipe.build(features=height * width, seed=config.seed, dtype=config.dtype, **config.settings)


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
    """A GAN as a run's last checkpoint holds it, and the shape (H, W) of its pictures."""

    gan: GAN
    config: RunConfig
    image_shape: tuple[int, ...]


def load_run(path: Path) -> TrainedRun:
    """The GAN in the run folder `path`; raises CheckpointError if it is missing or damaged."""
    folder = open_run(path)
    config = load_config(folder.config)
    image_shape = recorded_image_shape(folder.config)
    gan = recipes.get(config.recipe).build(
        features=math.prod(image_shape), seed=config.seed, dtype=config.dtype, **config.settings
    )
    load_into(gan, config, folder)
    return TrainedRun(gan, config, image_shape)


def sample_images(run: TrainedRun, count: int, seed: int) -> np.ndarray:
    """`count` pictures (N, H, W) uint8, from latent vectors that are a pure function of `seed`."""
    parts = []
    for start in range(0, count, _AT_ONCE):  # in parts, so that memory stays small; part i is always the same
        rng = random.generator(seed, "samples", start // _AT_ONCE)
        latent = rng.standard_normal((min(_AT_ONCE, count - start), run.gan.latent_size))
        parts.append(_pictures(run.gan, run.config, run.image_shape, Tensor(latent.astype(run.config.dtype))))
    return np.concatenate(parts)


def _pictures(gan: GAN, config: RunConfig, image_shape: tuple[int, ...], latent: Tensor) -> np.ndarray:
    """What the generator makes of `latent` (N, latent_size) as pictures (N, H, W) uint8 on the host."""
    values = gan.sample(latent).numpy().reshape(-1, *image_shape)
    return plots.to_bytes(values, recipes.get(config.recipe).value_range)


def describe(dataset: Dataset) -> dict[str, Any]:
    """What a configuration says of the data."""
    return {
        "name": dataset.name,
        "source": dataset.source,
        "images": len(dataset),
        "image_shape": list(dataset.images.shape[1:]),
        "sha256": dataset.sha256,
    }
