"""Pictures with class labels: batches, conditions, data that are refused, and the evaluation of a conditional GAN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.data import Dataset, mnist
from minigan.domains import EvaluationRequest, LabelledImageDomain
from minigan.domains.labelled_images import require_classes
from minigan.metrics.conditional import shares_as_asked, within_class_spread
from minigan.training.config import RunConfig

SHAPE = (6, 5, 1)
DOMAIN = LabelledImageDomain(SHAPE, value_range=(-1.0, 1.0), flat=False, classes=3)
SETTINGS: dict[str, Any] = {"classes": 3, "batch_size": 4, "n_critic": 2}


def dataset(count: int = 30, classes: int = 3) -> Dataset:
    """Pictures whose first pixel is their class."""
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(0, 256, (count, *SHAPE), np.uint8), np.arange(count) % classes
    pictures[:, 0, 0, 0] = labels
    return Dataset(pictures, labels)


def test_batches_are_pictures_with_the_numbers_of_their_classes() -> None:
    config = RunConfig(recipe="mnist-cgan", settings=SETTINGS)
    x, y = DOMAIN.batches(dataset(), config)(3)
    assert x.shape == (8, *SHAPE) and y.shape == (8,)
    np.testing.assert_array_equal(np.rint((x.numpy()[:, 0, 0, 0] + 1) * 127.5), y.numpy())


def test_example_batches_are_digits_with_their_labels_and_noise_without_digits() -> None:
    of_digits = LabelledImageDomain(mnist.IMAGE_SHAPE, value_range=(-1.0, 1.0), flat=False)
    x, y = of_digits.example_batch(5, SETTINGS | {"classes": 10}, seed=2, dtype="float64")
    digits = mnist.embedded()
    places = [int(np.flatnonzero((digits.images == p).all(axis=(1, 2, 3)))[0]) for p in of_digits.present(x.numpy())]
    assert digits.labels is not None
    np.testing.assert_array_equal(digits.labels[places], y.numpy())
    x, y = DOMAIN.example_batch(50, SETTINGS, seed=2, dtype="float64")
    assert x.shape == (50, *SHAPE) and set(y.numpy()) == {0.0, 1.0, 2.0}


def test_samples_have_all_classes_in_turn_or_the_one_that_is_named() -> None:
    np.testing.assert_array_equal(DOMAIN.sample_condition(7, 1, SETTINGS, dataset), [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(DOMAIN.sample_condition(3, 1, SETTINGS, dataset, 2), [2, 2, 2])
    assert DOMAIN.with_settings({"classes": 5}).shown_condition.tolist() == [0, 1, 2, 3, 4] * 8
    for label in (3, -1):
        with pytest.raises(UsageError, match=f"there is no class {label}; the classes of this run are 0 to 2"):
            DOMAIN.sample_condition(3, 1, SETTINGS, dataset, label)


def test_a_picture_has_a_column_for_each_class() -> None:
    samples = np.repeat(np.uint8([10, 20, 30]), 30).reshape(3, 30)[np.arange(9) % 3].reshape(9, *SHAPE)
    picture = DOMAIN.draw(samples)
    height, width, _ = picture.shape
    assert (width * (3 * 8 + 2)) == height * (3 * 7 + 2)
    for column, value in enumerate((10, 20, 30)):
        third = picture[:, column * width // 3 : (column + 1) * width // 3]
        assert set(np.unique(third)) == {value, 255}


def test_real_examples_beside_samples_are_of_their_classes() -> None:
    wanted = np.array([2, 2, 0, 1] * 6)  # more of class 2 than there are
    config = RunConfig(recipe="mnist-cgan", settings=SETTINGS, seed=4)
    real = DOMAIN.real_examples(dataset(15), config, len(wanted), wanted)
    np.testing.assert_array_equal(real[:, 0, 0, 0], wanted)
    assert len({picture.tobytes() for picture in real}) == 15 - 1 + (6 >= 5)  # each example before any comes again


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (None, "have no labels"),
        (np.zeros(6, int), "are all of the class 0, expected 3 classes"),
        (np.array([0, 1, 3, 0, 1, 3]), "are 3 numbers from 0 to 3, expected all of 0 to 2"),
        (np.array([1, 2, 3, 1, 2, 3]), "are 3 numbers from 1 to 3, expected all of 0 to 2"),
        (np.arange(6), "are 6 numbers from 0 to 5, expected all of 0 to 2"),
    ],
)
def test_labels_that_are_not_all_classes_are_refused(labels: Any, sentence: str) -> None:
    pictures = np.zeros((6, *SHAPE), np.uint8)
    with pytest.raises(UsageError, match=sentence):
        require_classes(Dataset(pictures, labels), 3)


def test_a_number_of_classes_out_of_range_is_refused() -> None:
    for classes in (1, 1001):
        with pytest.raises(UsageError, match="expected from 2 to 1,000"):
            DOMAIN.check_settings(SETTINGS | {"classes": classes})


def test_other_labels_are_other_data() -> None:
    data = dataset()
    assert data.labels is not None
    relabelled = replace(data, labels=(data.labels + 1) % 3)
    assert DOMAIN.is_same(data, data.describe())
    assert not DOMAIN.is_same(relabelled, data.describe())
    assert relabelled.matches(data.describe())


# Scores.


def test_shares_as_asked_count_each_class_by_itself() -> None:
    asked, recognised = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 1, 1])
    assert shares_as_asked(recognised, asked, [0, 1]) == [0.5, 1.0]
    with pytest.raises(ValueError, match="no picture was asked for the class 2"):
        shares_as_asked(recognised, asked, [0, 1, 2])


def test_the_spread_within_a_class_is_the_root_mean_variance_about_its_mean_picture() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 256, (2, 40, 3, 2, 1), np.uint8)
    expected = [np.sqrt(np.mean(np.var(x.reshape(40, -1) / 255, axis=0))) for x in (first, second)]
    labels = np.repeat([0, 1], 40)
    both = np.concatenate([first, second])
    assert within_class_spread(both, labels) == pytest.approx(np.mean(expected))
    assert within_class_spread(both[::-1], labels[::-1]) == pytest.approx(np.mean(expected))
    # Two pictures far apart, each one of its class over and over: no spread within a class.
    constant = np.repeat(np.uint8([0, 255]), 40).reshape(80, 1, 1, 1)
    assert within_class_spread(constant, labels) == 0
    # Black and white in equal parts, in each class: half the range.
    assert within_class_spread(np.tile(np.uint8([0, 255]), 40).reshape(80, 1, 1, 1), labels) == pytest.approx(0.5)


class Oracle:
    """A classifier that reads the first pixel."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return np.eye(3)[np.minimum(images[:, 0, 0, 0], 2)]

    def held_out_accuracy(self) -> float:
        return 0.75


class Request(EvaluationRequest):
    def classifier(self, data: Dataset) -> Any:
        return Oracle()


def request(sample: Any, count: int | None) -> Request:
    fields = dict.fromkeys(EvaluationRequest.__dataclass_fields__)
    return Request(**fields | {"sample": sample, "load": dataset, "count": count, "seed": 7})  # type: ignore[arg-type]


def test_an_evaluation_asks_for_every_class_and_compares_with_the_data() -> None:
    data, calls = dataset(), list[tuple[int, int]]()
    assert data.labels is not None
    of_class = [data.images[data.labels == label] for label in range(3)]

    def sample(count: int, seed: int, condition: np.ndarray) -> np.ndarray:
        calls.append((count, seed))
        assert condition.tolist() == [0, 1, 2] * 10
        drawn = np.stack([of_class[label][i // 3 % 10] for i, label in enumerate(condition)])
        drawn[condition == 2, 0, 0, 0] = 1  # a two is taken for a one
        return drawn

    evaluation = DOMAIN.evaluate(request(sample, 30))
    assert calls == [(30, 7)]
    facts = evaluation.facts
    assert facts["as_asked"] == pytest.approx(2 / 3)
    assert facts["as_asked_of_class"] == [1.0, 1.0, 0.0]
    assert facts["accuracy_real"] == 0.75
    assert facts["spread"] == pytest.approx(facts["spread_real"], abs=1e-4) and facts["spread"] > 0.2
    assert evaluation.pictures["classes"].ndim == 3
    text = "\n".join(evaluation.lines)
    assert "66.67%" in text and "75.00%" in text


def test_an_evaluation_of_fewer_samples_than_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="--n is 2, expected at least 3"):
        DOMAIN.evaluate(request(None, 2))
