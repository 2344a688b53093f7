"""Batches of images on the device."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

import minigan as mg
from minigan.data import Batches, Dataset
from minigan.data.image_batches import ImageBatches


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_batches_hold_the_chosen_images_in_the_value_range(channels: int, value_range: tuple[float, float]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 2, 5, channels), dtype=np.uint8)
    dataset, (low, high) = Dataset("odd", images, None, "a test"), value_range
    for step in (0, 3):
        expected = low + images[Batches(9, 4, seed=2).indices(step)] / 255 * (high - low)
        batch = ImageBatches(dataset, 4, 2, value_range, "float64", flat=False).batch(step).numpy()
        assert batch.dtype == np.float64
        np.testing.assert_allclose(batch, expected, rtol=0, atol=1e-15)
        flat = ImageBatches(dataset, 4, 2, value_range, "float64", flat=True).batch(step).numpy()
        np.testing.assert_array_equal(flat, batch.reshape(4, -1))


@pytest.mark.parametrize("flat", [True, False])
def test_a_batch_never_waits_for_the_device(flat: bool, standin: ModuleType) -> None:
    dataset = Dataset("odd", np.arange(72, dtype=np.uint8).reshape(6, 2, 2, 3), None, "a test")
    expected = ImageBatches(dataset, 2, 0, (-1.0, 1.0), "float32", flat=flat).batch(1).numpy()
    mg.use("cupy", "reference")
    batches = ImageBatches(dataset, 2, 0, (-1.0, 1.0), "float32", flat=flat)
    with standin._standin.count_synchronisations() as waits:
        batch = batches.batch(1)
    assert waits.count == 0
    assert type(batch.data) is standin.ndarray
    np.testing.assert_array_equal(batch.numpy(), expected)
