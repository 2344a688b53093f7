"""Indices of the examples in each training batch, as a pure function of the seed and the step."""

from __future__ import annotations

import numpy as np

from minigan.core.errors import UsageError
from minigan.core.random import generator


class Batches:
    """An endless sequence of batches of indices into `count` examples, reshuffled every epoch.

    A step takes `per_step` batches. An epoch is a permutation of all examples, cut into full steps; the examples left
    over are dropped, different ones in each epoch. If a step needs more examples than there are, an epoch is cut into
    full batches instead, and a step may span several epochs. `indices` can be called for any step in any order, so a
    resumed run needs no state.

    Raises UsageError if `batch_size` or `per_step` is below 1, or `batch_size` is above `count`.
    """

    def __init__(self, count: int, batch_size: int, seed: int, per_step: int = 1) -> None:
        for name, value in (("batch size", batch_size), ("number of batches in a step", per_step)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise UsageError(f"the {name} is {value!r}, expected a whole number of at least 1; choose another one")
        if batch_size > count:
            raise UsageError(
                f"the batch size is {batch_size} and the data set has {count} examples, expected at most as many as "
                "there are; choose a smaller batch size or more data"
            )
        whole_steps = per_step * batch_size <= count
        self.seed, self.count = seed, count
        self._chunk_size = per_step * batch_size if whole_steps else batch_size
        self._chunks_per_step = 1 if whole_steps else per_step
        self._cached = (0, self._permutation(0))  # an epoch and its permutation

    def indices(self, step: int) -> np.ndarray:
        """The examples of `step` (0, 1, ...), batch after batch: int64, shape (per_step * batch_size,).

        No index occurs twice in a batch. Raises UsageError if `step` is negative.
        """
        if step < 0:
            raise UsageError(f"the step is {step}, expected at least 0; count steps from 0")
        return np.concatenate([self._chunk(step * self._chunks_per_step + i) for i in range(self._chunks_per_step)])

    def _chunk(self, number: int) -> np.ndarray:
        epoch, position = divmod(number, self.count // self._chunk_size)
        return self._shuffled(epoch)[position * self._chunk_size : (position + 1) * self._chunk_size]

    def _shuffled(self, epoch: int) -> np.ndarray:
        # One tuple, read and replaced at once: another thread never sees the permutation of a different epoch.
        cached_epoch, permutation = self._cached
        if cached_epoch != epoch:
            permutation = self._permutation(epoch)
            self._cached = (epoch, permutation)
        return permutation

    def _permutation(self, epoch: int) -> np.ndarray:
        return generator(self.seed, "shuffle", epoch).permutation(self.count).astype(np.int64, copy=False)
