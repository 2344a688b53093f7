"""What `minigan sample` can draw: samples alone, paths between them, samples beside their nearest training examples,
and samples beside training examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.figures.image_grid import image_grid
from minigan.gan import latent_paths
from minigan.metrics.nearest import nearest
from minigan.training import RunFolder
from minigan.training.run_data import reload_data
from minigan.training.trained_run import TrainedRun, draw_latents, draw_samples, generate

_GAP = 16  # pixels between two pictures side by side
_COMPARED = 100  # training examples whose own nearest neighbours are looked for


@dataclass(frozen=True)
class Drawn:
    """What was drawn: the arrays of an .npz file, a function that draws the picture, and further facts and lines."""

    arrays: dict[str, Any]
    picture: Callable[[], np.ndarray]
    what: str
    facts: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """What is drawn from: a run, and its folder.

    data_dir: where its data are now (None: where they were). label: the class of all samples (None: all classes in
    turn, or a GAN without classes).
    """

    run: TrainedRun
    folder: Path
    data_dir: Path | None = None
    label: int | None = None

    @cached_property
    def data(self) -> Any:
        """The data that the run was trained on."""
        config = self.run.config
        if self.data_dir:
            config = dataclasses.replace(config, data_dir=str(self.data_dir.absolute()), download=False)
        return reload_data(config, RunFolder(self.folder))

    def condition(self, count: int, seed: int) -> np.ndarray | None:
        """The conditions (count, ...) of `count` samples; None for a GAN without conditions."""
        settings = self.run.config.settings
        return self.run.domain.sample_condition(count, seed, settings, lambda: self.data, self.label)

    def arrays(self, samples: np.ndarray, condition: np.ndarray | None) -> dict[str, Any]:
        """The arrays of an .npz file of samples and their conditions."""
        conditions = {} if condition is None else self.run.domain.condition_arrays(condition)
        return self.run.domain.arrays(samples) | conditions

    def samples(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        """`count` samples and their conditions."""
        condition = self.condition(count, seed)
        return draw_samples(self.run, count, seed, condition), condition


def plain(source: Source, count: int, seed: int) -> Drawn:
    """`count` samples."""
    samples, condition = source.samples(count, seed)
    return Drawn(source.arrays(samples, condition), lambda: source.run.domain.draw(samples), f"{count:,} samples")


def paths(source: Source, rows: int, columns: int, seed: int) -> Drawn:
    """`rows` paths of `columns` samples, each from one latent vector to the next of the seed, under one condition."""
    run, conditions = source.run, source.condition(rows, seed)
    along = None if conditions is None else conditions.repeat(columns, axis=0)
    ends = draw_latents(run, rows + 1, seed)
    latent = np.concatenate(
        [latent_paths.between(run.gan.latent_distribution, ends[i], ends[i + 1], columns) for i in range(rows)]
    )
    samples = generate(run.gan, run.domain, Tensor(latent), along)
    return Drawn(
        {**source.arrays(samples, along), "latent": latent},
        lambda: _in_rows(run, samples, columns),
        f"{rows:,} path{'s' if rows > 1 else ''} of {columns:,} samples",
    )


def beside_real(source: Source, count: int, seed: int) -> Drawn:
    """`count` samples, and as many training examples, of the same conditions if there are any."""
    run = source.run
    samples, condition = source.samples(count, seed)
    real = run.domain.real_examples(source.data, run.config, count, condition)

    def picture() -> np.ndarray:
        left, right = run.domain.draw(samples), run.domain.draw(real)
        gap = np.full((len(left), _GAP, left.shape[2]), 255, np.uint8)
        return np.concatenate([left, gap, right], axis=1)

    of_real = {f"real_{name}": array for name, array in run.domain.arrays(real).items()}
    what = f"{count:,} samples (left) and {count:,} training examples (right)"
    return Drawn({**source.arrays(samples, condition), **of_real}, picture, what)


def beside_nearest(source: Source, count: int, neighbours: int, seed: int) -> Drawn:
    """`count` samples, each with the nearest of the training examples, and the distances.

    For comparison, the distance from a training example to the nearest other one, the median of some: a generator that
    repeats its data has samples much nearer to the data than that.
    """
    run = source.run
    examples = _examples(run, source.data, source.folder)
    if not neighbours < len(examples):
        raise UsageError(f"--nearest is {neighbours:,}, expected fewer than the {len(examples):,} training examples.")
    samples, condition = source.samples(count, seed)
    if samples.shape[1:] != examples.shape[1:]:
        raise UsageError(
            f"the samples of {source.folder} are no examples such as it was trained on, but translations side by side, "
            "which have no neighbours among these; leave --nearest out."
        )
    places, distances = nearest(samples, examples, neighbours)
    chosen = random.generator(seed, "examples to compare").permutation(len(examples))[:_COMPARED]
    among = float(np.median(nearest(examples[chosen], examples, 2)[1][:, 1]))
    rows = np.concatenate([samples[:, None], examples[places]], axis=1).reshape(-1, *samples.shape[1:])
    median = float(np.median(distances[:, 0]))
    return Drawn(
        {**source.arrays(samples, condition), "nearest": examples[places], "places": places, "distances": distances},
        lambda: _in_rows(run, rows, neighbours + 1),
        f"{count:,} samples, each with its {neighbours:,} nearest training examples,",
        {
            "nearest": [
                [{"place": int(p), "distance": float(d)} for p, d in zip(row, of_row, strict=True)]
                for row, of_row in zip(places, distances, strict=True)
            ],
            "median_distance": median,
            "median_distance_among_data": among,
        },
        list(_lines(places, distances, median, among)),
    )


def _lines(places: np.ndarray, distances: np.ndarray, median: float, among: float) -> Iterator[str]:
    for number, (found, of_found) in enumerate(zip(places, distances, strict=True)):
        listed = ", ".join(f"{d:.4g} (example {p})" for p, d in zip(found, of_found, strict=True))
        yield f"sample {number}: {listed}"
    yield f"median distance of the nearest: {median:.4g}; from a training example to the nearest other one: {among:.4g}"
    yield "(a distance is the root of the mean squared difference of the numbers; pixels are 0 to 255)"


def _in_rows(run: TrainedRun, samples: np.ndarray, columns: int) -> np.ndarray:
    """A picture with rows of `columns` samples, if samples are pictures."""
    are_pictures = samples.ndim == 4 and samples.dtype == np.uint8
    return image_grid(samples, columns) if are_pictures else run.domain.draw(samples)


def _examples(run: TrainedRun, data: Any, folder: Path) -> np.ndarray:
    """All training examples, (N, *shape); raises UsageError if the data are none in memory."""
    examples = getattr(data, "examples", None)
    if examples is None:
        raise UsageError(
            f"{folder} was trained on new examples at every step, from a known distribution, so none of them is a "
            "nearest one; leave --nearest out."
        )
    return np.asarray(examples).reshape(-1, *run.domain.shape)
