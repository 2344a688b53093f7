"""Does a generator make every kind of picture? Ask a classifier, trained here on the labels of the real ones.

What it answers: is every class there, and how sure is the classifier of each picture? What it does not: whether the
pictures of one class differ from each other; nor anything of pictures that are of none of its classes, for it must
choose one.
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
from minigan.nn import BatchNorm, Dense, Dropout, Module, ReLU, Sequential
from minigan.optim import Adam

_FEWEST = 100  # pictures


@dataclass(frozen=True)
class _Training:
    """How the classifier learns; what is changed here, or in the code below, asks for another `version`."""

    version: int = 1
    seed: int = 0
    held_out: int = 1000  # pictures, and at most a tenth
    epochs: int = 40
    most_steps: int = 3600
    batch: int = 100
    rate: float = 2e-3
    shift: int = 1  # pixels by which pictures move, at most


_TRAINING = _Training()


@dataclass(frozen=True)
class ClassifierScores:
    """What the classifier finds among generated pictures; shares and confidences lie in [0, 1].

    held_out_accuracy: of the classifier on real pictures it was not trained on. classes: the labels. shares: of each
    class among the pictures. mean_confidence: the probability given to the chosen class, on average; real_confidence:
    the same for the held-out real pictures, which is the figure to compare it with.
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
    """Dense pixels-512-256-classes with batch norm and dropout; cross-entropy, Adam, shifted copies of the pictures.

    A tenth of the pictures, at most 1,000, is held out. Raises UsageError unless `dataset` has labels of two classes or
    more, and at least 100 pictures.
    """

    def __init__(self, dataset: Dataset) -> None:
        if dataset.labels is None:
            raise UsageError(f"the pictures of {dataset.source} have no labels, from which a classifier could learn.")
        labels, self._targets = np.unique(dataset.labels, return_inverse=True)
        if len(labels) < 2 or len(dataset) < _FEWEST:
            raise UsageError(
                f"{dataset.source} has {len(dataset):,} pictures of {len(labels)} classes, expected at least {_FEWEST} "
                "of 2 classes for a classifier to learn from."
            )
        self.classes = [int(label) for label in labels]
        self._images, self._data_sha256 = dataset.images, dataset.sha256
        self._learned, self._held_out = _split(self._targets)
        seed = _TRAINING.seed
        rng, pixels = random.generator(seed, "classifier weights"), int(np.prod(dataset.image_shape))
        self.network: Module = Sequential(
            Dense(pixels, 512, rng), BatchNorm(512, momentum=0.9), ReLU(), Dropout(0.3, seed=seed),
            Dense(512, 256, rng), BatchNorm(256, momentum=0.9), ReLU(), Dropout(0.3, seed=seed + 1),
            Dense(256, len(self.classes), rng),
        )  # fmt: skip

    def fingerprint(self, made_by: Mapping[str, str]) -> str:
        """A hex digest of all that the trained classifier depends on; `made_by` says on what it is computed."""
        facts = {
            "data": self._data_sha256,
            "image_shape": self._images.shape[1:],
            "network": repr(self.network),
            "training": dataclasses.asdict(_TRAINING),
            "made_by": dict(made_by),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def train(self, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Learn; `progress(step, steps)` is called now and then."""
        how, count = _TRAINING, len(self._learned)
        batch = min(how.batch, count)
        batches = Batches(count, batch, how.seed)
        steps = min(how.epochs * (count // batch), how.most_steps)
        optimizer = Adam(self.network.parameters(), beta1=0.9)
        self.network.train()
        for step in range(steps):
            optimizer.rate = how.rate * (1 - step / steps)  # falls to zero, so that the last steps settle
            chosen = self._learned[batches.indices(step)]
            images = _shifted(self._images[chosen], random.generator(how.seed, "shifts", step), how.shift)
            loss = _cross_entropy(self.network(_as_input(images)), self._targets[chosen])
            optimizer.step(grad(loss, optimizer.parameters))
            if step % 50 == 0 or step == steps - 1:
                progress(step + 1, steps)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """The probability of each class, (N, classes), for pictures (N, H, W, C) uint8."""
        self.network.eval()
        parts = []
        with no_grad():
            for start in range(0, len(images), 1000):
                logits = self.network(_as_input(images[start : start + 1000]))
                parts.append(ops.softmax(logits).numpy())
        return np.concatenate(parts)

    def score(self, images: np.ndarray) -> ClassifierScores:
        """What the classifier finds among `images` (N, H, W, C) uint8."""
        held_out = self.probabilities(self._images[self._held_out])
        found = self.probabilities(images)
        counts = np.bincount(found.argmax(axis=1), minlength=len(self.classes))
        return ClassifierScores(
            held_out_accuracy=float((held_out.argmax(axis=1) == self._targets[self._held_out]).mean()),
            classes=self.classes,
            shares=[float(count) for count in counts / len(images)],
            mean_confidence=float(found.max(axis=1).mean()),
            real_confidence=float(held_out.max(axis=1).mean()),
            pictures=len(images),
        )


def _split(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which examples to learn from and which to hold out: the last, or if they are sorted by class so that one would be
    missing from either, any."""
    count = len(targets)
    order, kept = np.arange(count), count - min(_TRAINING.held_out, count // 10)
    if len(set(targets[:kept])) < len(set(targets)) or len(set(targets[kept:])) < len(set(targets)):
        order = random.generator(_TRAINING.seed, "held out").permutation(count)
    return order[:kept], order[kept:]


def _cross_entropy(logits: Tensor, targets: np.ndarray) -> Tensor:
    """-mean log softmax(logits)[target]: logits (N, classes), targets (N,)."""
    one_hot = Tensor(np.eye(logits.shape[1], dtype=np.float32)[targets])
    return ops.mean(ops.logsumexp(logits) - ops.sum(logits * one_hot, axis=1))


def _as_input(images: np.ndarray) -> Tensor:
    return Tensor(images.reshape(len(images), -1).astype(np.float32) / 255)


def _shifted(images: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """Each picture moved by up to `most` pixels down and right, or up and left; black where nothing is."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    top, left = rng.integers(0, 2 * most + 1, (2, len(images)))
    rows = top[:, None, None] + np.arange(height)[None, :, None]
    columns = left[:, None, None] + np.arange(width)[None, None, :]
    return padded[np.arange(len(images))[:, None, None], rows, columns]
