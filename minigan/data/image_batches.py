"""Batches of images for training, scaled, on the device of the networks."""

from __future__ import annotations

from minigan.autodiff import Tensor
from minigan.core import backend
from minigan.data.batches import Batches
from minigan.data.dataset import Dataset


class ImageBatches:
    """The real images of each training step, `per_step` batches, as a Tensor (examples, H, W, C) in `value_range`.

    If `flat`, the shape is (examples, H * W * C), with the same numbers in the same order. The images are stored as
    bytes on the device; each batch is gathered there and scaled from 0..255 to `value_range`.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        value_range: tuple[float, float],
        dtype: str,
        *,
        flat: bool,
        per_step: int = 1,
    ) -> None:
        self._batches = Batches(len(dataset), batch_size, seed, per_step)
        self._backend = backend.current()
        images = dataset.images.reshape(len(dataset), -1) if flat else dataset.images
        self._pixels = self._backend.asarray(images)
        low, high = value_range
        self._scale, self._low, self._dtype = (high - low) / 255, low, dtype

    def batch(self, step: int) -> Tensor:
        """The examples of `step`, batch after batch: a pure function of the data, the seed and `step`."""
        chosen = self._pixels[self._backend.asarray(self._batches.indices(step))].astype(self._dtype)
        chosen *= self._scale  # in place: new arrays would take as long as the arithmetic
        chosen += self._low
        return Tensor(chosen)
