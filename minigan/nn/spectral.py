"""Spectral normalisation: layers whose weight, as a matrix, has largest singular value 1 (Miyato et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan import backend, ops
from minigan.autodiff import Tensor, no_grad
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.layers import Dense, LeakyReLU, require_counts
from minigan.nn.module import Fusible, Module, Sequential


class SpectralNorm(Fusible):
    """`layer` with weight / sigma for its weight, where sigma = u^T W v (Miyato et al., 2018, Algorithm 1).

    W is the weight as a matrix (outputs, all else); u (outputs, 1) and v (all else, 1) approach its first singular
    vectors: each forward in training first takes `power_iterations` steps v = W^T u / |W^T u|, u = W v / |W v|; in use
    they stay. They are buffers, and constants to derivatives, so d sigma / d W = u v^T. `rng` draws the first u.

    Raises TypeError for anything but a Dense, Conv2d or ConvTranspose2d, ValueError for a weight of zeros.
    """

    buffer_names = ("u", "v")

    def __init__(self, layer: Module, rng: np.random.Generator, *, power_iterations: int = 1) -> None:
        if not isinstance(layer, (Dense, Conv2d, ConvTranspose2d)):
            raise TypeError(f"SpectralNorm takes a Dense, Conv2d or ConvTranspose2d, got {type(layer).__name__}")
        require_counts("SpectralNorm", power_iterations=power_iterations)
        if not layer.weight.numpy().any():
            raise ValueError(f"the weight of {layer} is zero, so no multiple of it has norm 1; draw it at random")
        self.layer, self.power_iterations = layer, power_iterations
        self.u = Tensor(rng.standard_normal((layer.outputs, 1)).astype(layer.weight.dtype)).data
        self._iterate()

    def forward(self, x: Tensor) -> Tensor:
        return self._normalised(self.layer.forward, x)

    def fuses_with(self, following: Module) -> bool:
        return self.layer.fuses_with(following)

    def forward_with(self, following: LeakyReLU, x: Tensor) -> Tensor:
        return self._normalised(self.layer.forward_with, following, x)

    def effective_weight(self) -> Tensor:
        """weight / sigma with u and v as they are, in the shape of the layer's weight."""
        u, v = Tensor(_unit(self.u)), Tensor(_unit(self.v))  # an average of unit vectors is none
        return self.layer.weight * (1.0 / ops.sum(v * ops.matmul(self._transposed(), u)))

    def _normalised(self, forward: Callable[..., Tensor], *arguments: Any) -> Tensor:
        if self.training:
            self._iterate()
        layer: Any = self.layer
        weight, layer.weight = layer.weight, self.effective_weight()
        try:
            return forward(*arguments)
        finally:
            layer.weight = weight

    def _iterate(self) -> None:
        with no_grad():
            transposed = self._transposed()
            for _ in range(self.power_iterations):
                self.v = _unit(ops.matmul(transposed, Tensor(self.u)).data)
                self.u = _unit(ops.matmul(transposed, Tensor(self.v), transpose_a=True).data)

    def _transposed(self) -> Tensor:
        """W^T: (all else, outputs)."""
        w: Tensor = self.layer.weight
        if isinstance(self.layer, ConvTranspose2d):
            w = ops.transpose(w, (0, 1, 3, 2))
        return ops.reshape(w, (-1, self.layer.outputs))

    def __repr__(self) -> str:
        return f"SpectralNorm({self.layer})"


def spectral_norm(module: Module, rng: np.random.Generator) -> Module:
    """The same network with every dense and convolutional layer in a SpectralNorm.

    module: such a layer, or a Sequential of them and others, to any depth; anything else is returned as it is. The
    layers are shared with `module`, their parameters too.
    """
    if isinstance(module, Sequential):
        return Sequential(*(spectral_norm(layer, rng) for layer in module.layers))
    return SpectralNorm(module, rng) if isinstance(module, (Dense, Conv2d, ConvTranspose2d)) else module


def _unit(x: Any) -> Any:
    return x / backend.of(x).xp.sqrt((x * x).sum())
