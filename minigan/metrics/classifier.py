"""A classifier of images, trained here on labelled real images, that scores generated ones.

The scores show whether every class is generated, and how sure the classifier is of each image. They do not show whether
the images of one class differ, nor whether an image belongs to no class at all, since the classifier must choose one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, grad, no_grad
from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data import Batches, Dataset
from minigan.nn import BatchNorm, Dense, Dropout, ReLU, Sequential
from minigan.optim import Adam

_MIN_IMAGES = 100


@dataclass(frozen=True)
class _Training:
    """Hyperparameters of the classifier. A change of them, or of the code below, needs another `version`."""

    version: int = 1
    seed: int = 0
    held_out: int = 1000  # images; at most a tenth of all
    epochs: int = 40
    most_steps: int = 3600
    batch: int = 100
    rate: float = 2e-3
    shift: int = 1  # pixels by which images are moved at most, along each axis


_TRAINING = _Training()


@dataclass(frozen=True)
class ClassifierScores:
    """How a classifier scores generated images; shares and confidences lie in [0, 1].

    held_out_accuracy: of the classifier on real images it was not trained on. classes: the labels. shares: the fraction
    of the images in each class. mean_confidence: the mean probability of the chosen class; real_confidence: the same
    for the held-out real images, to compare it with. pictures: the number of generated images.
    """

    held_out_accuracy: float
    classes: list[int]
    shares: list[float]
    mean_confidence: float
    real_confidence: float
    pictures: int

    @property
    def smallest_share(self) -> float:
        """The share below which a class counts as rare: a fifth of what each would have if all were as frequent."""
        return 1 / (5 * len(self.classes))

    @property
    def missing(self) -> list[int]:
        """The classes whose share is below `smallest_share`."""
        return [label for label, share in zip(self.classes, self.shares, strict=True) if share < self.smallest_share]


class Classifier:
    """Dense pixels-512-256-classes with batch norm and dropout; cross-entropy, Adam, randomly shifted images.

    A tenth of the images, at most 1,000, is held out. classes: the labels, in ascending order. network: from pixels in
    [0, 1], (N, H * W * C), to logits (N, classes). Raises UsageError unless `dataset` has labels of two or more
    classes, and at least 100 images.
    """

    def __init__(self, dataset: Dataset) -> None:
        if dataset.labels is None:
            raise UsageError(
                f"the pictures of {dataset.source} have no labels, from which a classifier could learn; put a file of "
                "labels beside IDX files."
            )
        labels, self._targets = np.unique(dataset.labels, return_inverse=True)
        if len(labels) < 2 or len(dataset) < _MIN_IMAGES:
            raise UsageError(
                f"{dataset.source} has {len(dataset):,} pictures of {len(labels)} classes, expected at least "
                f"{_MIN_IMAGES} of 2 classes for a classifier to learn from."
            )
        self.classes = [int(label) for label in labels]
        self._images, self._data_sha256 = dataset.images, dataset.sha256
        self._training_set, self._held_out = _split(self._targets)
        seed = _TRAINING.seed
        rng, pixels = random.generator(seed, "classifier weights"), int(np.prod(dataset.image_shape))
        self.network = Sequential(
            Dense(pixels, 512, rng), BatchNorm(512, momentum=0.9), ReLU(), Dropout(0.3, seed=seed),
            Dense(512, 256, rng), BatchNorm(256, momentum=0.9), ReLU(), Dropout(0.3, seed=seed + 1),
            Dense(256, len(self.classes), rng),
        )  # fmt: skip

    def fingerprint(self, computed_by: Mapping[str, str]) -> str:
        """A hex digest of all that the trained classifier depends on.

        computed_by: names and versions of the software and the device that compute it.
        """
        facts = {
            "data": self._data_sha256,
            "image_shape": self._images.shape[1:],
            "network": repr(self.network),
            "training": dataclasses.asdict(_TRAINING),
            "made_by": dict(computed_by),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def train(self, progress: Callable[[int, int], None] = lambda step, steps: None) -> None:
        """Train the classifier; `progress(step, steps)` is called every 50 steps."""
        settings, count = _TRAINING, len(self._training_set)
        batch = min(settings.batch, count)
        batches = Batches(count, batch, settings.seed)
        steps = min(settings.epochs * (count // batch), settings.most_steps)
        optimizer = Adam(self.network.parameters(), beta1=0.9)
        self.network.train()
        for step in range(steps):
            # The learning rate decays to zero, so that the last steps converge.
            optimizer.learning_rate = settings.rate * (1 - step / steps)
            chosen = self._training_set[batches.indices(step)]
            images = _shifted(self._images[chosen], random.generator(settings.seed, "shifts", step), settings.shift)
            loss = _cross_entropy(self.network(_as_input(images)), self._targets[chosen])
            optimizer.step(grad(loss, optimizer.parameters))
            if step % 50 == 0 or step == steps - 1:
                progress(step + 1, steps)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """The probability of each class, (N, classes), for images (N, H, W, C) uint8."""
        return self._applied(lambda x: ops.softmax(self.network(x)), images)

    def features(self, images: np.ndarray) -> np.ndarray:
        """The output of the last hidden layer, (N, 256), float64, for images (N, H, W, C) uint8."""
        return self._applied(self.network[:-1], images).astype(np.float64)

    def _applied(self, function: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
        """`function` of the pixels in [0, 1], part by part, in evaluation mode."""
        self.network.eval()
        with no_grad():
            parts = [function(_as_input(images[i : i + 1000])).numpy() for i in range(0, len(images), 1000)]
        return np.concatenate(parts)

    def held_out_accuracy(self) -> float:
        """The share of the held-out images whose class it names."""
        return self._accuracy(self._probabilities_of_held_out())

    def _probabilities_of_held_out(self) -> np.ndarray:
        return self.probabilities(self._images[self._held_out])

    def _accuracy(self, held_out: np.ndarray) -> float:
        return float((held_out.argmax(axis=1) == self._targets[self._held_out]).mean())

    def score(self, images: np.ndarray) -> ClassifierScores:
        """The scores of generated `images` (N, H, W, C) uint8."""
        held_out = self._probabilities_of_held_out()
        generated = self.probabilities(images)
        counts = np.bincount(generated.argmax(axis=1), minlength=len(self.classes))
        return ClassifierScores(
            held_out_accuracy=self._accuracy(held_out),
            classes=self.classes,
            shares=[float(count) for count in counts / len(images)],
            mean_confidence=float(generated.max(axis=1).mean()),
            real_confidence=float(held_out.max(axis=1).mean()),
            pictures=len(images),
        )


def _split(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the examples to train on, and of the examples to hold out.

    The last examples are held out, or random ones if a class would be missing from either part, as in sorted data.
    """
    count = len(targets)
    order, split = np.arange(count), count - min(_TRAINING.held_out, count // 10)
    if len(set(targets[:split])) < len(set(targets)) or len(set(targets[split:])) < len(set(targets)):
        order = random.generator(_TRAINING.seed, "held out").permutation(count)
    return order[:split], order[split:]


def _cross_entropy(logits: Tensor, targets: np.ndarray) -> Tensor:
    """-mean log softmax(logits)[target]: logits (N, classes), targets (N,)."""
    one_hot = Tensor(np.eye(logits.shape[1], dtype=np.float32)[targets])
    return ops.mean(ops.logsumexp(logits) - ops.sum(logits * one_hot, axis=1))


def _as_input(images: np.ndarray) -> Tensor:
    return Tensor(images.reshape(len(images), -1).astype(np.float32) / 255)


def _shifted(images: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """Each image moved by up to `most` pixels along both axes, with black at the edges that become free."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    top, left = rng.integers(0, 2 * most + 1, (2, len(images)))
    rows = top[:, None, None] + np.arange(height)[None, :, None]
    columns = left[:, None, None] + np.arange(width)[None, None, :]
    return padded[np.arange(len(images))[:, None, None], rows, columns]
