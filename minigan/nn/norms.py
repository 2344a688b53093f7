"""Normalisation of each example by itself, for critics under a gradient penalty: no example depends on another."""

from __future__ import annotations

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.nn.layers import is_number, new_parameter, require_channels, require_positive_ints
from minigan.nn.module import Module


class _ExampleNorm(Module):
    """The base of LayerNorm and InstanceNorm: (x - mean) / sqrt(variance + eps) * scale + shift, over `_axes` of x."""

    def __init__(self, features: int, *, eps: float = 1e-5) -> None:
        require_positive_ints(type(self).__name__, features=features)
        if not is_number(eps) or not eps > 0:
            raise ValueError(f"{type(self).__name__}'s eps must be above 0, got {eps!r}")
        self.features, self.eps = features, eps
        self.scale = new_parameter(np.ones(features))
        self.shift = new_parameter(np.zeros(features))

    def _axes(self, x: Tensor) -> tuple[int, ...]:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[-1] != self.features:
            raise ValueError(f"{self} takes (batch, ..., {self.features}), got shape {x.shape}")
        axes = self._axes(x)
        centred = x - ops.mean(x, axes, keepdims=True)
        variance = ops.mean(centred * centred, axes, keepdims=True)
        return centred / ops.sqrt(variance + self.eps) * self.scale + self.shift

    def _channels_out(self, channels: int | None) -> int:
        require_channels(self, self.features, channels)
        return self.features

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.features})"


class LayerNorm(_ExampleNorm):
    """Layer normalisation (Ba et al., 2016, equation 4): each example has mean 0 and variance 1 over all its numbers.

    (batch, ..., features) to the same shape; scale (features,) and shift (features,) are learned. The variance is the
    biased one. It is what the WGAN-GP paper puts in place of batch norm in the critic (Gulrajani et al., 2017,
    section 4). Raises ValueError for another number of features, or a single number in an example, which is its mean.
    """

    def _axes(self, x: Tensor) -> tuple[int, ...]:
        if x.size == len(x):
            raise ValueError(f"{self} needs two numbers or more in an example, got shape {x.shape}")
        return tuple(range(1, x.ndim))


class InstanceNorm(_ExampleNorm):
    """Instance normalisation (Ulyanov et al., 2016, equation 4): each channel of each example has mean 0, variance 1.

    (batch, height, width, features) to the same shape, or any number of axes between the first and the last; scale
    (features,) and shift (features,) are learned. The variance is the biased one. Raises ValueError for another number
    of features, or a channel of a single pixel, which is its mean.
    """

    def _axes(self, x: Tensor) -> tuple[int, ...]:
        if x.size == len(x) * self.features:
            raise ValueError(f"{self} needs two pixels or more, got shape {x.shape}")
        return tuple(range(1, x.ndim - 1))
