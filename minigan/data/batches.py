"""Which examples make up which training batch, as a pure function of the seed and the step."""

from __future__ import annotations

import numpy as np

from minigan.errors import UsageError
from minigan.random import generator


class Batches:
    """An endless stream of batches of indices into `count` examples, shuffled anew every epoch.

    An epoch is a permutation of all examples, cut into full batches; the `count % batch_size` examples left over
    are dropped, other ones each epoch. Any batch can be asked for at any time, so a resumed run needs no state.

    Raises UsageError where `batch_size` is below 1 or above `count`.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise UsageError(f"the batch size is {batch_size}, expected at least 1; choose a larger one")
        if batch_size > count:
            raise UsageError(
                f"the batch size is {batch_size} and the data set has {count} examples, expected at most as many as "
                "there are; choose a smaller batch size or more data"
            )
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.per_epoch = count // batch_size
        self._current = (0, self._permutation(0))

    def indices(self, step: int) -> np.ndarray:
        """The examples of batch number `step`, counted from 0: int64, shape (batch_size,), no index twice.

        Raises UsageError where `step` is negative.
        """
        if step < 0:
            raise UsageError(f"batch {step} was asked for, expected a step of at least 0; count steps from 0")
        epoch, position = divmod(step, self.per_epoch)
        start = position * self.batch_size
        # A copy: a caller that sorts its batch must not change what the next call returns.
        return self._order(epoch)[start : start + self.batch_size].copy()

    def _order(self, epoch: int) -> np.ndarray:
        # Read and replaced as one tuple, so that a thread in another epoch cannot mix the two.
        current, order = self._current
        if current != epoch:
            order = self._permutation(epoch)
            self._current = (epoch, order)
        return order

    def _permutation(self, epoch: int) -> np.ndarray:
        return generator(self.seed, "shuffle", epoch).permutation(self.count).astype(np.int64, copy=False)
