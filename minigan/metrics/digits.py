"""How good are generated digits? Ask a classifier, trained here, on the embedded digits, with minigan's own engine.

What it answers: is every digit there, and how sure is the classifier of each picture? What it does not: whether
the pictures of one digit differ from each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigan import ops, random
from minigan.autodiff import Tensor, grad, no_grad
from minigan.data import Batches, Dataset
from minigan.errors import UsageError
from minigan.nn import BatchNorm, Dense, Dropout, Module, ReLU, Sequential
from minigan.optim import Adam

DIGITS = 10
_SEED = 0
_HELD_OUT = 1000
_EPOCHS = 40
_BATCH = 100
_SHIFT = 1  # pixels by which pictures move in training, at most
SMALLEST_SHARE = 0.02


@dataclass(frozen=True)
class Scores:
    """What the classifier finds among generated pictures; shares and confidences lie in [0, 1].

    held_out_accuracy: of the classifier on real digits it was not trained on. shares: of each digit 0-9 among the
    pictures. mean_confidence: the probability given to the chosen digit, on average; real_confidence: the same for
    the held-out real digits, which is the figure to compare it with.
    """

    held_out_accuracy: float
    shares: list[float]
    mean_confidence: float
    real_confidence: float
    pictures: int

    @property
    def missing(self) -> list[int]:
        """The digits that make up less than 2% of the pictures."""
        return [digit for digit, share in enumerate(self.shares) if share < SMALLEST_SHARE]


class DigitClassifier:
    """Dense 784-512-256-10 with batch norm and dropout; cross-entropy, Adam, shifted copies of the digits."""

    def __init__(self, dataset: Dataset) -> None:
        if dataset.labels is None or dataset.image_shape != (28, 28, 1):
            raise UsageError("the digit classifier learns from labelled grey pictures of 28 x 28 pixels.")
        self._images, self._labels = dataset.images[:-_HELD_OUT], dataset.labels[:-_HELD_OUT]
        self._test_images, self._test_labels = dataset.images[-_HELD_OUT:], dataset.labels[-_HELD_OUT:]
        rng = random.generator(_SEED, "classifier weights")
        self._network: Module = Sequential(
            Dense(784, 512, rng), BatchNorm(512, momentum=0.9), ReLU(), Dropout(0.3, seed=_SEED),
            Dense(512, 256, rng), BatchNorm(256, momentum=0.9), ReLU(), Dropout(0.3, seed=_SEED + 1),
            Dense(256, DIGITS, rng),
        )  # fmt: skip

    def train(self, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Learn; `progress(step, steps)` is called now and then."""
        batches = Batches(len(self._images), _BATCH, _SEED)
        steps = _EPOCHS * (len(self._images) // _BATCH)
        optimizer = Adam(self._network.parameters(), beta1=0.9)
        self._network.train()
        for step in range(steps):
            optimizer.rate = 2e-3 * (1 - step / steps)  # falls to zero, so that the last steps settle
            chosen = batches.indices(step)
            images = _shifted(self._images[chosen], random.generator(_SEED, "shifts", step))
            loss = _cross_entropy(self._network(_as_input(images)), self._labels[chosen])
            optimizer.step(grad(loss, optimizer.parameters))
            if step % 50 == 0 or step == steps - 1:
                progress(step + 1, steps)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """The probability of each digit, (N, 10), for pictures (N, 28, 28, 1) uint8."""
        self._network.eval()
        parts = []
        with no_grad():
            for start in range(0, len(images), 1000):
                logits = self._network(_as_input(images[start : start + 1000]))
                parts.append(ops.softmax(logits).numpy())
        return np.concatenate(parts)

    def score(self, images: np.ndarray) -> Scores:
        """What the classifier finds among `images` (N, 28, 28, 1) uint8."""
        held_out = self.probabilities(self._test_images)
        found = self.probabilities(images)
        counts = np.bincount(found.argmax(axis=1), minlength=DIGITS)
        return Scores(
            held_out_accuracy=float((held_out.argmax(axis=1) == self._test_labels).mean()),
            shares=[float(count) for count in counts / len(images)],
            mean_confidence=float(found.max(axis=1).mean()),
            real_confidence=float(held_out.max(axis=1).mean()),
            pictures=len(images),
        )


def _cross_entropy(logits: Tensor, labels: np.ndarray) -> Tensor:
    """-mean log softmax(logits)[label]: logits (N, 10), labels (N,)."""
    one_hot = Tensor(np.eye(DIGITS, dtype=np.float32)[labels])
    return ops.mean(ops.logsumexp(logits) - ops.sum(logits * one_hot, axis=1))


def _as_input(images: np.ndarray) -> Tensor:
    return Tensor(images.reshape(len(images), -1).astype(np.float32) / 255)


def _shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each picture moved by up to _SHIFT pixels down and right, black where nothing is."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)))
    top, left = rng.integers(0, 2 * _SHIFT + 1, (2, len(images)))
    rows = top[:, None, None] + np.arange(height)[None, :, None]
    columns = left[:, None, None] + np.arange(width)[None, None, :]
    return padded[np.arange(len(images))[:, None, None], rows, columns]
