"""A vector for each class, for networks with a condition."""

from __future__ import annotations

from minigan import ops
from minigan.autodiff import Tensor
from minigan.nn import init
from minigan.nn.layers import new_parameter, require_positive_ints
from minigan.nn.module import Module
from minigan.nn.seeds import Seed, as_generator


class Embedding(Module):
    """A learned vector for each of `count` classes: labels (batch,) to (batch, size).

    Labels are whole numbers from 0 to count - 1, held as floats (arrays of integers are converted).
    The weight (count, size) is drawn by `initializer` from `rng`, a generator, a seed, or none (see
    `nn.manual_seed`); by default from N(0, 1). Raises ValueError for another shape, or a
    label that is no class (see `ops.one_hot`).
    """

    def __init__(
        self,
        count: int,
        size: int,
        rng: Seed = None,
        *,
        initializer: init.Initializer = init.normal(1.0),  # noqa: B008
    ) -> None:
        require_positive_ints("Embedding", count=count, size=size)
        self.count, self.size = count, size
        self.weight = new_parameter(initializer(as_generator(rng), (count, size)))

    def forward(self, labels: Tensor) -> Tensor:
        if labels.ndim != 1:
            raise ValueError(
                f"{self} takes labels (batch,), class numbers from 0 to {self.count - 1}, got shape {labels.shape}"
            )
        return ops.matmul(ops.one_hot(labels, self.count, self.weight.dtype), self.weight)

    def _channels_out(self, channels: int | None) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"Embedding({self.count}, {self.size})"
