"""Features of pictures: pure, and sensitive to what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from minigan import data
from minigan.core.errors import UsageError
from minigan.data import Dataset
from minigan.metrics import Classifier
from minigan.metrics.embeddings import ClassifierFeatures, PrincipalComponents, RandomConvolutions
from minigan.metrics.frechet import frechet_distance

DIGITS = data.load().images[:600]
REAL, OTHER = DIGITS[:300], DIGITS[300:]
COLOUR = np.random.default_rng(0).integers(0, 256, (30, 12, 9, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["pca", "random"])
def test_noise_shifts_and_a_missing_class_lie_further_off_than_real_pictures(kind: str) -> None:
    embedding = PrincipalComponents.of(REAL) if kind == "pca" else RandomConvolutions((28, 28, 1))
    of_real = embedding(REAL)
    floor = frechet_distance(of_real, embedding(OTHER))
    noise = np.random.default_rng(1).normal(0, 40, OTHER.shape)
    noisy = np.clip(OTHER + noise, 0, 255).astype(np.uint8)
    shifted = np.roll(OTHER, 3, axis=1)
    fewer = np.repeat(OTHER[:60], 5, axis=0)
    for changed in (shifted, fewer, *([noisy] if kind == "random" else [])):
        assert frechet_distance(of_real, embedding(changed)) > 1.3 * floor


def test_principal_components_keep_distances_of_the_pictures_they_are_of() -> None:
    for images in (DIGITS[:20], COLOUR):  # more pixels than pictures: as many components as there can be
        coordinates = PrincipalComponents.of(images)(images)
        assert coordinates.shape == (len(images), len(images) - 1)
        pixels = images.reshape(len(images), -1) / 255
        np.testing.assert_allclose(
            np.linalg.norm(coordinates[0] - coordinates, axis=1), np.linalg.norm(pixels[0] - pixels, axis=1), atol=1e-9
        )


def test_the_first_components_vary_most() -> None:
    """Both ways of finding them agree with a singular value decomposition."""
    for images in (DIGITS[:50], np.concatenate([DIGITS] * 2)):
        pixels = images.reshape(len(images), -1) / 255
        expected = np.linalg.svd(pixels - pixels.mean(axis=0), compute_uv=False)[:5] ** 2
        found = (PrincipalComponents.of(images, 5)(images) ** 2).sum(axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_random_convolutions_agree_with_sums_over_windows() -> None:
    embedding = RandomConvolutions((12, 9, 3))
    values = COLOUR[:2].astype(np.float64) / 127.5 - 1
    for weight in embedding._weights():
        n, h, w, _ = values.shape
        padded = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)))
        out = np.zeros((n, (h - 2) // 2 + 1, (w - 2) // 2 + 1, weight.shape[-1]))
        for y, x in np.ndindex(out.shape[1:3]):
            window = padded[:, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4]
            out[:, y, x] = np.einsum("nabi,abio->no", window, weight)
        values = np.maximum(out, 0.2 * out)
    assert values.shape == (2, 1, 1, 64)  # all four quarters are the same pixel
    np.testing.assert_allclose(embedding(COLOUR[:2]), np.tile(values.reshape(2, 64), 4), atol=1e-5)


def test_random_convolutions_are_the_same_in_every_order_and_process() -> None:
    features = RandomConvolutions((28, 28, 1))(DIGITS[:3])
    np.testing.assert_allclose(RandomConvolutions((28, 28, 1))(DIGITS[2:3]), features[2:], rtol=1e-5)
    assert features.shape == (3, 256)
    np.testing.assert_allclose(features[0, :3], FIRST, rtol=1e-4)


FIRST = [-0.291282, 0.319109, 0.289588]


def test_pictures_too_small_for_random_convolutions() -> None:
    with pytest.raises(UsageError, match="7 x 28 pixels, expected at least 8 a side"):
        RandomConvolutions((7, 28, 1))


def test_features_of_the_classifier_lead_to_its_probabilities() -> None:
    classifier = Classifier(Dataset(DIGITS, np.arange(600) % 3))
    features = ClassifierFeatures(classifier)(DIGITS[:5])
    assert features.shape == (5, 256) and features.dtype == np.float64
    last = classifier.network[-1]
    logits = features @ last.weight.numpy() + last.bias.numpy()
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        classifier.probabilities(DIGITS[:5]), expected / expected.sum(axis=1, keepdims=True), rtol=1e-5
    )
