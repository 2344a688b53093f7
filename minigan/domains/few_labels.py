"""Labelled pictures of which few labels are used, and held-out pictures by which the result is measured."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigan.core.errors import UsageError
from minigan.core.notice import Notice
from minigan.data import Dataset
from minigan.data.held_out import HeldOutDataset, with_held_out
from minigan.domains.domain import Evaluation, EvaluationRequest, RunOptions, Settings
from minigan.domains.images import ImageDomain
from minigan.domains.labelled_images import require_classes
from minigan.domains.picture_pairs import read_test_set
from minigan.nn import Module


@dataclass(frozen=True)
class FewLabelsDomain(ImageDomain):
    """Pictures as in ImageDomain, of which `labels` have a known label: equally many of each class, drawn with
    `label_seed`. What is learned from them is measured on the test set, or on pictures that are held out.

    untrained(settings, shape, rng): a discriminator with initial weights, to compare with.
    """

    untrained: Callable[[Any, tuple[int, ...], np.random.Generator], Module]

    evaluates_at_end: ClassVar[bool] = True
    compares_pictures: ClassVar[bool] = False
    setting_meanings: ClassVar[Mapping[str, str]] = {
        **ImageDomain.setting_meanings,
        "labels": "pictures whose label is known, equally many of each class",
        "label_seed": "draws which pictures these are",
        "classes": "the number of classes; the labels of the data are 0 to classes - 1",
    }

    def check_settings(self, settings: Settings) -> None:
        super().check_settings(settings)
        classes, labels = settings["classes"], settings["labels"]
        if classes < 2:
            raise UsageError(f"the setting 'classes' is {classes}, expected at least 2 classes to tell apart.")
        if labels < classes or labels % classes:
            raise UsageError(
                f"the setting 'labels' is {labels}, expected equally many for each of the {classes} classes, such as "
                f"{max(1, round(labels / classes)) * classes}."
            )

    def load(self, run: RunOptions, *, progress: bool = True, notice: Notice = warnings.warn) -> HeldOutDataset:
        data = super().load(run, progress=progress, notice=notice)
        test = read_test_set(run, data.image_shape, progress=progress, notice=notice)
        _require_labels(parts := with_held_out(data, test), run)
        return parts

    def is_same(self, data: Dataset, recorded: Mapping[str, Any]) -> bool:
        return data.matches(recorded, labels=True)

    def labelled(self, data: Dataset, settings: Settings) -> Dataset:
        """The pictures whose labels are known."""
        return data.subset(per_class=settings["labels"] // settings["classes"], seed=settings["label_seed"])

    def can_evaluate(self, data: Dataset) -> bool:
        return True

    def compare(self, request: EvaluationRequest) -> Evaluation | None:
        """None: the figure is what was learned from the labels, not how samples look."""
        return None


def _require_labels(data: HeldOutDataset, run: RunOptions) -> None:
    """Raise UsageError unless `data` have the labels that the settings ask for."""
    settings = run.settings
    require_classes(data, settings["classes"])
    if data.held_out.labels is None:
        raise UsageError(
            f"the test pictures beside {data.source} have no labels, by which errors are counted; put their file of "
            "labels there, too, or move these pictures away, and a part of the others is held out."
        )
    each, counts = settings["labels"] // settings["classes"], np.bincount(np.asarray(data.labels))
    if counts.min() < each:
        raise UsageError(
            f"the setting 'labels' is {settings['labels']:,}, which takes {each:,} pictures of each class, and "
            f"{data.source} has {counts.min():,} of class {counts.argmin()}; ask for at most "
            f"{counts.min() * len(counts):,}."
        )
