"""The pictures that samples are compared with, and in which features."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.data import Dataset
from minigan.domains.picture_comparison import compare_classes
from minigan.domains.reference import reference
from minigan.metrics import Classifier

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (300, 8, 9, 1), dtype=np.uint8)
LABELS = np.arange(300) // 100
SHAPE = (8, 9, 1)


def request(learned: list[Dataset], **options: Any) -> Any:
    """A request that notes the data of which a classifier is asked for."""

    def classifier(data: Dataset) -> Classifier:
        learned.append(data)
        return Classifier(data)

    return SimpleNamespace(**{"features": None, "against": None, "classifier": classifier} | options)


def places(images: np.ndarray) -> list[int]:
    return [int(np.flatnonzero((image == IMAGES).all(axis=(1, 2, 3)))[0]) for image in images]


def test_a_classifier_learns_from_other_pictures_than_are_compared() -> None:
    learned: list[Dataset] = []
    real = reference(request(learned), Dataset(IMAGES, LABELS), SHAPE)
    assert [one.key for one in real.embeddings] == ["classifier"] and not real.held_out
    (data,) = learned
    learned_from, compared = places(data.images), places(real.images)
    assert len(learned_from) == len(compared) == 150
    assert sorted(learned_from + compared) == list(range(300)) and sorted(compared) != compared
    assert 40 < np.mod(compared, 2).sum() < 110  # in MNIST, every second picture is of another distribution


def test_other_features_compare_all_pictures_and_learn_from_none() -> None:
    for data, options in ((Dataset(IMAGES), {}), (Dataset(IMAGES, LABELS), {"features": "pca"})):
        learned: list[Dataset] = []
        real = reference(request(learned, **options), data, SHAPE)
        assert not learned and sorted(places(real.images)) == list(range(300))
    assert [one.key for one in real.embeddings] == ["pca"]


def test_few_labelled_pictures_are_compared_without_a_classifier() -> None:
    real = reference(request([]), Dataset(IMAGES[:199], LABELS[:199]), SHAPE)
    assert [one.key for one in real.embeddings] == ["pca", "random"]


def test_fewer_pictures_than_are_needed() -> None:
    with pytest.raises(UsageError, match="39 pictures, expected at least 40"):
        reference(request([]), Dataset(IMAGES[:39]), SHAPE)


class Reader:
    """A classifier that knows the class of a picture by its first pixel."""

    classes = (0, 1, 2)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return np.eye(3)[images[:, 0, 0, 0]]


def marked(labels: np.ndarray) -> np.ndarray:
    images = np.zeros((len(labels), *SHAPE), np.uint8)
    images[:, 0, 0, 0] = labels
    return images


def test_the_divergence_of_the_classes() -> None:
    data = Dataset(marked(LABELS), LABELS)
    equal = compare_classes(Reader(), data, marked(LABELS))  # type: ignore[arg-type]
    assert equal.value == pytest.approx(0, abs=1e-12) and 0 < equal.floor < 0.03 and equal.samples == 300
    halved = compare_classes(Reader(), data, marked(np.arange(400) % 2))  # type: ignore[arg-type]
    assert halved.value == pytest.approx(np.log(1.5)) and halved.interval[0] > equal.floor
