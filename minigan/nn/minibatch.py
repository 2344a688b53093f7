"""The minibatch standard deviation, by which a discriminator sees how varied its batch is."""

from __future__ import annotations

from minigan import ops
from minigan.autodiff import Tensor
from minigan.nn.layers import require_positive_ints
from minigan.nn.module import Module

_EPS = 1e-8  # as in the authors' code: the root has no derivative at 0


class MinibatchStandardDeviation(Module):
    """x with one more channel that holds the spread of its group (Karras et al., 2018, section 3).

    (batch, ..., channels) to (batch, ..., channels + 1). The batch is divided into groups of `group_size` examples, as
    in the authors' code: example i belongs to group i modulo the number of groups; a smaller batch is one group. The
    new channel is the standard deviation over the group of each number of an example, averaged over all numbers. A
    generator that makes too similar samples is found out by it. An example's output depends on the others of its
    batch, in evaluation, too. Raises ValueError for a batch that cannot be divided into such groups.
    """

    mixes_examples = True

    def __init__(self, group_size: int = 4) -> None:
        require_positive_ints("MinibatchStandardDeviation", group_size=group_size)
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        size = min(self.group_size, len(x))
        if x.ndim < 2 or not size or len(x) % size:
            raise ValueError(
                f"{self} takes (batch, ..., channels) with a batch that is a multiple of {self.group_size}, got shape "
                f"{x.shape}"
            )
        groups = ops.reshape(x, (size, len(x) // size, -1))
        centred = groups - ops.mean(groups, 0, keepdims=True)
        deviation = ops.sqrt(ops.mean(centred * centred, 0) + _EPS)
        spread = ops.reshape(ops.mean(deviation, 1), (1, -1, *(1,) * (x.ndim - 1)))
        each = ops.broadcast_to(spread, (size, len(x) // size, *x.shape[1:-1], 1))
        return ops.concatenate([x, ops.reshape(each, (*x.shape[:-1], 1))], axis=-1)

    def _channels_out(self, channels: int | None) -> int | None:
        return None if channels is None else channels + 1

    def __repr__(self) -> str:
        return f"MinibatchStandardDeviation({self.group_size})"
