"""Maxout: each unit is the maximum of several linear ones."""

from __future__ import annotations

from minigan import ops
from minigan.autodiff import Tensor, no_grad
from minigan.nn.layers import require_positive_ints
from minigan.nn.module import Module


class Maxout(Module):
    """The maximum of `pieces` numbers for each unit: (batch, pieces * units) to (batch, units).

    After Dense(inputs, pieces * units) it is the maxout unit of Goodfellow et al. (2013, equation 1): a convex function
    that is linear in pieces. Piece k of unit u is number k * units + u. Equal maxima share the cotangent equally.
    Raises ValueError for another shape.
    """

    def __init__(self, pieces: int) -> None:
        require_positive_ints("Maxout", pieces=pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] % self.pieces:
            raise ValueError(f"{self} takes (batch, a multiple of {self.pieces}), got shape {x.shape}")
        x = ops.reshape(x, (x.shape[0], self.pieces, x.shape[1] // self.pieces))
        # The choice of the largest piece is constant around almost every x, so derivatives of any order skip it.
        with no_grad():
            weights = ops.share_of_largest(x, axis=1)
        return ops.sum(x * weights, axis=1)

    def _channels_out(self, channels: int | None) -> int | None:
        if channels is not None and channels % self.pieces:
            raise ValueError(
                f"{self} takes a multiple of {self.pieces} numbers, and the layer before it gives {channels}"
            )
        return None if channels is None else channels // self.pieces

    def __repr__(self) -> str:
        return f"Maxout({self.pieces})"
