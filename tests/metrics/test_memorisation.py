"""Samples that repeat training examples are found, and new ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from minigan.core.errors import UsageError
from minigan.metrics.memorisation import RARE, memorisation

RNG = np.random.default_rng(0)
TRAINING, NEW, HELD_OUT = (RNG.normal(size=(n, 4)) for n in (600, 400, 500))


def test_new_draws_are_as_far_as_held_out_ones() -> None:
    found = memorisation(NEW, TRAINING, HELD_OUT)
    assert found.of_samples.shape == (400, 10) and found.of_real.shape == (500, 10)
    assert found.copies.mean() < 3 * RARE
    assert np.median(found.of_samples[:, 0]) == pytest.approx(np.median(found.of_real[:, 0]), rel=0.1)


def test_without_held_out_examples_each_training_example_is_compared_with_the_others() -> None:
    found = memorisation(NEW, TRAINING)
    others = np.sqrt(((TRAINING[:, None] - TRAINING[None]) ** 2).mean(axis=2))
    np.fill_diagonal(others, np.inf)
    np.testing.assert_allclose(found.of_real, np.sort(others, axis=1)[:, :10])
    assert found.copies.mean() < 3 * RARE


def test_copies_are_found_also_with_a_little_noise() -> None:
    samples = np.concatenate([NEW[:200], TRAINING[:200] + 1e-4])
    for real in (None, HELD_OUT):
        copies = memorisation(samples, TRAINING, real).copies
        assert copies[200:].all() and copies[:200].mean() < 3 * RARE


def test_blurred_samples_are_close_to_all_examples_and_no_copies() -> None:
    found = memorisation(0.1 * NEW, TRAINING)
    assert np.median(found.of_samples[:, 0]) < np.median(found.of_real[:, 0])
    assert found.copies.mean() < 3 * RARE


def test_copies_of_examples_that_occur_twice_are_found() -> None:
    twice = np.concatenate([TRAINING, TRAINING[:50]])
    assert memorisation(TRAINING[:50], twice, HELD_OUT).copies.all()


def test_pictures_and_a_limit_of_their_number() -> None:
    pictures = RNG.integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
    found = memorisation(pictures[:20], pictures, most=7)
    assert len(found.of_samples) == len(found.of_real) == 7 and found.copies.all()


def test_few_training_examples_have_no_ten_others() -> None:
    with pytest.raises(UsageError, match="10 training examples, expected more"):
        memorisation(NEW, TRAINING[:10])
