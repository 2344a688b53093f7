"""One trial of augmentation.py: classifiers that learn from a few labelled digits, with and without samples of a GAN.

The GAN is conditional and sees the same few digits only, as they are: digits that are shifted at random would leave it
blurred, and its samples can be shifted later. Classifiers differ in their batches: digits as they are or shifted by up
to two pixels, alone or with samples of the GAN, shifted or not, beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan import GAN, Tensor, nn, ops, optim
from minigan.core import random
from minigan.data import Dataset
from minigan.metrics import accuracy
from minigan.metrics.supervised import predicted_classes, train_classifier
from minigan.recipes.conditional import ConditionalGenerator, ProjectionDiscriminator

Batch = Callable[[int], tuple[Tensor, Tensor]]

CLASSES, PIXELS, LATENT = 10, 784, 32
SHIFT = 2  # pixels, at most, along both axes
GAN_STEPS, GAN_BATCH, GENERATOR_RATE, DISCRIMINATOR_RATE, SAMPLES = 4000, 50, 1e-3, 4e-4, 5000
STEPS, RATE, REAL, GENERATED = 1500, 1e-3, 50, 10  # of a classifier; pictures in a batch
_OPTIONS: dict[str, Any] = {"labels": True, "flat": True, "value_range": (-1.0, 1.0)}


def trial(training: Dataset, test: Dataset, labels: int, draw: int) -> dict[str, Any]:
    """The accuracy on `test` of each way to learn from `labels` of `training`, drawn with the seed `draw`."""
    start = time.process_time()
    few = training.subset(per_class=labels // CLASSES, seed=draw)
    generated = samples(few, draw)
    sources: dict[str, tuple[Dataset, Dataset | None]] = {
        "none": (few, None),
        "gan": (few, generated),
        "shifts": (shifted(few), None),
        "both": (shifted(few), shifted(generated)),
    }
    pixels = scaled(test.images)
    row: dict[str, Any] = {"labels": labels, "draw": draw}
    for way, (real, beside) in sources.items():
        network = classifier(draw)
        train_classifier(network, batches(real, beside, draw), STEPS, rate=RATE)
        row[way] = accuracy(predicted_classes(network, pixels), test.labels)
    return row | {"cpu_seconds": round(time.process_time() - start, 1)}


def shifted(data: Dataset) -> Dataset:
    """`data` with a black frame of SHIFT pixels, out of which each batch is cut at random."""
    frame = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
    return Dataset(np.pad(data.images, frame), data.labels, crop=data.image_shape[:2])


def samples(data: Dataset, seed: int) -> Dataset:
    """Samples, equally many of each class, of a conditional GAN that has been trained on `data`."""
    gan = conditional_gan(seed)
    batch = data.batches(GAN_BATCH, seed=seed, **_OPTIONS)
    for step in range(GAN_STEPS):
        gan.train_step(batch(step))
    labels = np.arange(SAMPLES) % CLASSES
    pictures = gan.sample(SAMPLES, labels, seed=seed).numpy()
    return Dataset(np.round((pictures + 1) * 127.5).astype(np.uint8).reshape(-1, 28, 28, 1), labels)


def conditional_gan(seed: int) -> GAN:
    """Dense layers; the discriminator is a projection discriminator with dropout."""
    rng = random.generator(seed, "augmentation/gan")
    body = nn.Sequential(
        nn.Dense(LATENT + CLASSES, 128, rng), nn.BatchNorm(128), nn.ReLU(),
        nn.Dense(128, 256, rng), nn.BatchNorm(256), nn.ReLU(), nn.Dense(256, PIXELS, rng), nn.Tanh(),
    )  # fmt: skip
    features = nn.Sequential(
        nn.Dense(PIXELS, 256, rng), nn.LeakyReLU(0.2), nn.Dropout(0.3, seed=seed),
        nn.Dense(256, 128, rng), nn.LeakyReLU(0.2), nn.Dropout(0.3, seed=seed + 1),
    )  # fmt: skip
    generator = ConditionalGenerator(CLASSES, body)
    discriminator = ProjectionDiscriminator(CLASSES, features, 128, rng)
    return GAN(
        generator,
        discriminator,
        generator_optimizer=optim.Adam(generator, GENERATOR_RATE),
        discriminator_optimizer=optim.Adam(discriminator, DISCRIMINATOR_RATE),
        latent_size=LATENT,
        seed=seed,
        ema_decay=0.99,
    )


def classifier(seed: int) -> nn.Module:
    """Dense 784-256-128-10 with dropout."""
    rng = random.generator(seed, "augmentation/classifier")
    return nn.Sequential(
        nn.Dense(PIXELS, 256, rng), nn.ReLU(), nn.Dropout(0.3, seed=seed),
        nn.Dense(256, 128, rng), nn.ReLU(), nn.Dropout(0.3, seed=seed + 1), nn.Dense(128, CLASSES, rng),
    )  # fmt: skip


def batches(real: Dataset, generated: Dataset | None, seed: int) -> Batch:
    """Batches of REAL pictures, and GENERATED samples beside them if there are any."""
    of_real: Batch = real.batches(REAL, seed=seed, **_OPTIONS)
    if generated is None:
        return of_real
    of_samples: Batch = generated.batches(GENERATED, seed=seed, **_OPTIONS)

    def together(step: int) -> tuple[Tensor, Tensor]:
        (x, y), (more_x, more_y) = of_real(step), of_samples(step)
        return ops.concatenate([x, more_x]), ops.concatenate([y, more_y])

    return together


def scaled(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(127.5) - np.float32(1)
