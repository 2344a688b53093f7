"""A layer whose units are the largest of several linear ones."""

from __future__ import annotations

from minigan import ops
from minigan.autodiff import Tensor, no_grad
from minigan.nn.layers import require_counts
from minigan.nn.module import Module


class Maxout(Module):
    """The largest of `pieces` numbers for each unit: (batch, pieces * units) to (batch, units).

    After Dense(inputs, pieces * units) it is the maxout unit of Goodfellow et al. (2013, equation 1): any convex
    function of the inputs, the finer the more pieces. Piece k of unit u is number k * units + u. Pieces that are equal
    share the cotangent.
    """

    def __init__(self, pieces: int) -> None:
        require_counts("Maxout", pieces=pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] % self.pieces:
            raise ValueError(f"{self} takes (batch, a multiple of {self.pieces}), got shape {x.shape}")
        x = ops.reshape(x, (x.shape[0], self.pieces, x.shape[1] // self.pieces))
        # Around almost every x the same piece stays the largest: it is picked by a constant, whatever order is asked.
        with no_grad():
            share = ops.share_of_largest(x, axis=1)
        return ops.sum(x * share, axis=1)

    def __repr__(self) -> str:
        return f"Maxout({self.pieces})"
