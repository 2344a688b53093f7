"""Images with class labels, for conditional GANs: the condition of an image is the number of its class."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.data import Dataset, mnist
from minigan.domains.domain import Domain, Evaluation, EvaluationRequest, RunOptions, Settings
from minigan.domains.images import ImageDomain
from minigan.figures.image_grid import image_grid
from minigan.gan.batches import Batch
from minigan.metrics.conditional import shares_as_asked, within_class_spread

_ROWS = 8  # of a picture with a column for each class
_MOST_CLASSES = 1000
_EVALUATED_PER_CLASS = 1000
_CLASSES_PER_LINE = 10
_DIGITS = 10


@dataclass(frozen=True)
class LabelledImageDomain(ImageDomain):
    """Images as in ImageDomain, in pairs (x, y) with their class numbers y (n,), from 0 to classes - 1.

    The setting "classes" of a recipe says how many there are. A picture of samples has a column for each class.
    """

    classes: int = 10

    setting_meanings: ClassVar[Mapping[str, str]] = {
        **ImageDomain.setting_meanings,
        "classes": "the number of classes; the labels of the data are 0 to classes - 1",
    }
    evaluates_at_end: ClassVar[bool] = True

    def in_words(self, settings: Settings) -> str:
        return f"{super().in_words(settings)} of {settings['classes']} classes"

    def check_settings(self, settings: Settings) -> None:
        super().check_settings(settings)
        if not 2 <= settings["classes"] <= _MOST_CLASSES:
            raise UsageError(
                f"the setting 'classes' is {settings['classes']:,}, expected from 2 to {_MOST_CLASSES:,}; for pictures "
                "of one class take a recipe without conditions, such as mnist-dcgan."
            )

    def with_settings(self, settings: Settings) -> LabelledImageDomain:
        return replace(self, classes=settings["classes"])

    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> Dataset:
        dataset = super().load(run, progress=progress, notice=notice)
        require_classes(dataset, run.settings["classes"])
        return dataset

    def is_same(self, data: Dataset, recorded: Mapping[str, Any]) -> bool:
        return data.matches(recorded, labels=True)

    def batches(self, data: Dataset, run: RunOptions) -> Callable[[int], Batch]:
        return data.batches(
            run.settings["batch_size"], labels=True, seed=run.seed, per_step=run.settings["n_critic"], dtype=run.dtype,
            value_range=self.value_range, flat=self.flat,
        )  # fmt: skip

    def noise_condition(self, count: int, settings: Settings, rng: np.random.Generator, dtype: str) -> np.ndarray:
        return rng.integers(settings["classes"], size=count).astype(dtype)

    def example_batch(self, count: int, settings: Settings, *, seed: int, dtype: str) -> Batch:
        """Embedded digits with their labels if the images have their shape and there are ten classes, else noise."""
        if self.wanted_shape(settings) != mnist.IMAGE_SHAPE or settings["classes"] != _DIGITS:
            return Domain.example_batch(self, count, settings, seed=seed, dtype=dtype)
        digits = mnist.embedded().batches(
            count, labels=True, seed=seed, dtype=dtype, value_range=self.value_range, flat=self.flat
        )
        pair: Batch = digits(0)
        return pair

    # Samples.

    @property
    def shown_condition(self) -> np.ndarray:
        return self._in_turn(_ROWS * self.classes)

    @property
    def samples_drawn(self) -> int:
        return _ROWS * self.classes

    def sample_condition(
        self, count: int, seed: int, settings: Settings, load: Callable[[], Dataset], label: int | None = None
    ) -> np.ndarray:
        if label is None:
            return self._in_turn(count)
        if not 0 <= label < self.classes:
            raise UsageError(f"there is no class {label}; the classes of this run are 0 to {self.classes - 1}.")
        return np.full(count, label)

    def _in_turn(self, count: int) -> np.ndarray:
        return np.arange(count) % self.classes

    def condition_arrays(self, condition: np.ndarray) -> dict[str, Any]:
        return {"labels": condition.astype(np.int64)}

    def real_examples(self, data: Dataset, run: RunOptions, count: int, condition: np.ndarray | None) -> np.ndarray:
        """Examples of the classes `condition` (count,), drawn at random."""
        assert condition is not None
        assert data.labels is not None
        order = random.generator(run.seed, "examples beside samples").permutation(len(data))
        queues = {label: itertools.cycle(order[data.labels[order] == label]) for label in set(condition.tolist())}
        return data.images[[next(queues[label]) for label in condition.tolist()]]

    def draw(self, samples: np.ndarray) -> np.ndarray:
        return image_grid(samples, self.classes if len(samples) % self.classes == 0 else None)

    # Evaluation.

    def evaluate(self, request: EvaluationRequest) -> Evaluation:
        """Whether a classifier that is trained on the run's data recognises samples as the class that was asked for,
        and how much the samples of a class differ, beside the same for the data.

        Facts: "as_asked" and "as_asked_of_class" (shares), "spread" and "spread_real" (see
        metrics.conditional.within_class_spread), "accuracy_real" (of the classifier, on real pictures held out). Raises
        UsageError for fewer samples than classes.
        """
        data: Dataset = request.load()
        assert data.labels is not None
        asked = self._in_turn(request.count or _EVALUATED_PER_CLASS * self.classes)
        if len(asked) < self.classes:
            raise UsageError(f"--n is {len(asked)}, expected at least {self.classes}, a sample of each class.")
        classifier = request.classifier(data)
        samples = request.sample(len(asked), request.seed, asked)
        recognised = classifier.probabilities(samples).argmax(axis=1)
        shares = shares_as_asked(recognised, asked, range(self.classes))
        facts = {
            "as_asked": float((recognised == asked).mean()),
            "as_asked_of_class": shares,
            "accuracy_real": classifier.held_out_accuracy(),
            "spread": within_class_spread(samples, asked),
            "spread_real": within_class_spread(data.images, data.labels),
        }
        shown = samples[: _ROWS * self.classes]
        return Evaluation(facts, list(_lines(facts)), f"{len(asked):,} samples", {"classes": self.draw(shown)})


def require_classes(dataset: Dataset, count: int) -> None:
    """Raise UsageError unless the data have labels, and these are all of 0 to count - 1."""
    labels = dataset.labels
    if labels is None:
        raise UsageError(
            f"the pictures of {dataset.source} have no labels, and this recipe learns the classes from them; put a "
            "file of labels beside IDX files, or take a recipe that needs none, such as mnist-dcgan."
        )
    found = np.unique(labels)
    if len(found) == 1:
        raise UsageError(
            f"the pictures of {dataset.source} are all of the class {found[0]}, expected {count} classes; take a "
            "recipe that needs none, such as mnist-dcgan."
        )
    if not np.array_equal(found, np.arange(count)):
        raise UsageError(
            f"the labels of {dataset.source} are {len(found)} numbers from {found[0]} to {found[-1]}, expected all of "
            f"0 to {count - 1}; number the classes so, and set classes to how many there are: --set classes=..."
        )


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"samples that the classifier recognises as asked    {facts['as_asked']:8.2%}"
    yield f"its accuracy on held-out real pictures             {facts['accuracy_real']:8.2%}"
    yield f"spread of the samples within a class               {facts['spread']:8.3f}"
    yield f"spread of the real pictures within a class         {facts['spread_real']:8.3f}"
    shares = facts["as_asked_of_class"]
    for start in range(0, len(shares), _CLASSES_PER_LINE):
        part = range(start, min(start + _CLASSES_PER_LINE, len(shares)))
        yield "class     " + "".join(f"{label:>7}" for label in part)
        yield "as asked  " + "".join(f"{shares[label]:7.1%}" for label in part)
