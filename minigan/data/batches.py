"""Which examples make up which training batch, as a pure function of the seed and the step."""

from __future__ import annotations

import numpy as np

from minigan.core.errors import UsageError
from minigan.core.random import generator


class Batches:
    """An endless stream of batches of indices into `count` examples, shuffled anew every epoch.

    A step takes `per_step` batches. An epoch is a permutation of all examples, cut into full steps; the examples left
    over are dropped, other ones each epoch. Where a step takes more examples than there are, an epoch is cut into full
    batches instead, and a step goes on from one epoch to the next. Any step can be asked for at any time, so a resumed
    run needs no state.

    Raises UsageError where `batch_size` or `per_step` is below 1, or `batch_size` above `count`.
    """

    def __init__(self, count: int, batch_size: int, seed: int, per_step: int = 1) -> None:
        for name, value in (("batch size", batch_size), ("number of batches in a step", per_step)):
            if value < 1:
                raise UsageError(f"the {name} is {value}, expected at least 1; choose a larger one")
        if batch_size > count:
            raise UsageError(
                f"the batch size is {batch_size} and the data set has {count} examples, expected at most as many as "
                "there are; choose a smaller batch size or more data"
            )
        whole_steps = per_step * batch_size <= count
        self.seed, self.count = seed, count
        self._size = per_step * batch_size if whole_steps else batch_size  # of what an epoch is cut into
        self._parts = 1 if whole_steps else per_step  # of that size make a step
        self._current = (0, self._permutation(0))

    def indices(self, step: int) -> np.ndarray:
        """The examples of `step`, counted from 0: int64, shape (per_step * batch_size,), batch after batch.

        No index comes twice in a batch. Raises UsageError where `step` is negative.
        """
        if step < 0:
            raise UsageError(f"batch {step} was asked for, expected a step of at least 0; count steps from 0")
        return np.concatenate([self._part(step * self._parts + i) for i in range(self._parts)])

    def _part(self, number: int) -> np.ndarray:
        epoch, position = divmod(number, self.count // self._size)
        return self._order(epoch)[position * self._size : (position + 1) * self._size]

    def _order(self, epoch: int) -> np.ndarray:
        # Read and replaced as one tuple, so that a thread in another epoch cannot mix the two.
        current, order = self._current
        if current != epoch:
            order = self._permutation(epoch)
            self._current = (epoch, order)
        return order

    def _permutation(self, epoch: int) -> np.ndarray:
        return generator(self.seed, "shuffle", epoch).permutation(self.count).astype(np.int64, copy=False)
