"""Upsampling of images (batch, height, width, channels)."""

from __future__ import annotations

import math

from minigan import ops
from minigan.autodiff import Tensor
from minigan.core.errors import did_you_mean
from minigan.nn.module import Module
from minigan_kernels.geometry import Pair, pair

_MODES = ("nearest", "bilinear")


class Upsample2d(Module):
    """(batch, height, width, channels) to (batch, factor * height, factor * width, channels).

    mode "nearest": each pixel is repeated. "bilinear": linear interpolation between the centres of the pixels along
    each side, and constant beyond the outermost centres. `factor` may be a pair (down, across). Raises ValueError for
    another mode or factor, or for other than images.
    """

    def __init__(self, factor: int | Pair = 2, *, mode: str = "nearest") -> None:
        if mode not in _MODES:
            raise ValueError(f"Upsample2d has no mode {mode!r}; {did_you_mean(str(mode), _MODES)}")
        self.factor, self.mode = pair(factor, "factor"), mode

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "nearest":
            return ops.upsample2d(x, self.factor)
        if x.ndim != 4 or 0 in x.shape[1:3]:
            raise ValueError(f"{self} takes (batch, height, width, channels), got shape {x.shape}")
        for axis, factor in zip((1, 2), self.factor, strict=True):
            x = x if factor == 1 else _interpolate(x, axis, factor)
        return x

    def _channels_out(self, channels: int | None) -> int | None:
        return channels

    def __repr__(self) -> str:
        return f"Upsample2d({self.factor}{'' if self.mode == 'nearest' else f', mode={self.mode!r}'})"


def _interpolate(x: Tensor, axis: int, factor: int) -> Tensor:
    """`factor` pixels for each of x along `axis`: number k of them lies (k + 1/2) / factor into the pixel."""
    length, (before, inner) = x.shape[axis], (math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :]))
    lines = ops.reshape(x, (before, length, inner))
    padded = ops.concatenate([lines[:, :1], lines, lines[:, -1:]], axis=1)
    previous, following = padded[:, :-2], padded[:, 2:]
    parts = []
    for k in range(factor):
        offset = (k + 0.5) / factor - 0.5  # from the centre of the pixel, in pixels
        neighbour = previous if offset < 0 else following
        part = lines + (neighbour - lines) * abs(offset) if offset else lines
        parts.append(ops.reshape(part, (before, length, 1, inner)))
    joined = ops.concatenate(parts, axis=2)
    return ops.reshape(joined, (*x.shape[:axis], length * factor, *x.shape[axis + 1 :]))
