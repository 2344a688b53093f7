"""Batches of examples for training, scaled, on the device of the networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import backend
from minigan.core.errors import UsageError, clause
from minigan.data.augmentation import Augmentation
from minigan.data.batches import Batches

Transform = Callable[[np.ndarray], np.ndarray]
"""A function of a batch of examples (n, ...), as the networks would get it, to the batch that they get instead."""


class ExampleBatches:
    """The batches of each training step, as pure functions of the arrays, the seed and the step.

    Bytes are scaled from 0..255 to `value_range`; other numbers are converted to `dtype` and left as they are. If
    `flat`, an example has the shape (numbers,), with the same numbers in the same order. The arrays are stored as they
    are on the device, and each batch is gathered and scaled there; an array that is mapped from a file, or has a
    `transform`, stays on the host.

    Labels are numbers of `dtype`, (n,) for numbers of classes. Labels that are pictures of the size of the examples
    are flipped, cropped and scaled with them.

    Raises UsageError for a value range that is none or another dtype than float32 and float64.
    """

    def __init__(
        self,
        examples: np.ndarray,
        labels: np.ndarray | None,
        batches: Batches,
        *,
        value_range: tuple[float, float],
        dtype: str,
        flat: bool = False,
        augmentation: Augmentation | None = None,
        transform: Transform | None = None,
    ) -> None:
        self._batches, self._backend = batches, backend.current()
        self._augmentation, self._transform = augmentation or Augmentation(), transform
        self._shape, self._flat, self._dtype = examples.shape[1:], flat, dtype
        low, high = value_range
        if not low < high:
            raise UsageError(f"the value range is {value_range}, expected (low, high), such as (-1, 1); give it so")
        if dtype not in backend.FLOATS:
            raise UsageError(f"the dtype is '{dtype}', expected 'float32' or 'float64'; choose one of both")
        self._scale, self._low = (high - low) / 255, low
        self._examples = self._stored(examples, on_host=transform is not None)
        self._labels = None if labels is None else self._stored(labels, on_host=False)
        self._labels_are_pictures = labels is not None and labels.ndim > 2 and labels.shape[1:3] == self._shape[:2]

    def examples(self, step: int) -> Tensor:
        """The examples of `step`, batch after batch, (n, ...)."""
        indices = self._batches.indices(step)
        return Tensor(self._finished(self._gather(self._examples, indices, self._windows(step, len(indices)))))

    def pairs(self, step: int) -> tuple[Tensor, Tensor]:
        """The examples of `step` and their labels, batch after batch, (n, ...) each; UsageError without labels."""
        if self._labels is None:
            raise UsageError("these examples have no labels, expected some; give the data set labels")
        indices = self._batches.indices(step)
        windows = self._windows(step, len(indices))
        examples = self._finished(self._gather(self._examples, indices, windows))
        if self._labels_are_pictures:
            labels = self._numbers(self._gather(self._labels, indices, windows))
        else:
            labels = self._gather(self._labels, indices, None).astype(self._dtype)
        return Tensor(examples), Tensor(self._backend.asarray(labels))

    def _stored(self, array: np.ndarray, *, on_host: bool) -> Any:
        return array if on_host or isinstance(array, np.memmap) else self._backend.asarray(array)

    def _windows(self, step: int, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        return self._augmentation.windows(self._shape, count, self._batches.seed, step) if self._augmentation else None

    def _gather(self, array: Any, indices: np.ndarray, windows: tuple[np.ndarray, np.ndarray] | None) -> Any:
        """The chosen examples, a copy, where `array` is."""
        at = np.asarray if isinstance(array, np.ndarray) else self._backend.asarray
        if windows is None:
            return array[at(indices)]
        rows, columns = windows
        return array[at(indices[:, None, None]), at(rows[:, :, None]), at(columns[:, None, :])]

    def _numbers(self, chosen: Any) -> Any:
        """`chosen`, a copy, as numbers of the networks' dtype, bytes scaled to the value range."""
        if chosen.dtype != np.uint8:
            return chosen.astype(self._dtype)
        chosen = chosen.astype(self._dtype)
        chosen *= self._scale  # in place: new arrays would take as long as the arithmetic
        chosen += self._low
        return chosen

    def _finished(self, chosen: Any) -> Any:
        numbers = self._numbers(chosen)
        if self._transform is not None:
            numbers = transformed(self._transform, numbers).astype(self._dtype, copy=False)
        return self._backend.asarray(numbers.reshape(len(numbers), -1) if self._flat else numbers)


def transformed(transform: Transform, batch: np.ndarray) -> np.ndarray:
    """`transform(batch)`; raises UsageError if it fails or returns no array of as many examples."""
    try:
        result = np.asarray(transform(batch))
    except Exception as error:
        raise UsageError(
            f"the transform {name_of(transform)} failed on a batch of shape {batch.shape} ({clause(error)}), expected "
            "a function of an array (n, ...) to an array (n, ...); correct it"
        ) from error
    if result.ndim < 1 or len(result) != len(batch) or result.dtype.kind not in "fiub":
        raise UsageError(
            f"the transform {name_of(transform)} made {result.dtype} of shape {result.shape} from a batch of shape "
            f"{batch.shape}, expected numbers (n, ...) with the same n; correct it"
        )
    return result


def name_of(transform: Transform) -> str:
    """The name of a function, or of the class of another callable."""
    return str(getattr(transform, "__qualname__", type(transform).__qualname__))
