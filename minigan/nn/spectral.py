"""Spectral normalisation: layers whose weight matrix has a largest singular value of 1 (Miyato et al., 2018)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor, no_grad
from minigan.autodiff.parameter import Buffer, Parameter
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.layers import Dense, LeakyReLU, require_positive_ints
from minigan.nn.module import Module, map_container
from minigan.nn.seeds import Seed, as_generator
from minigan.nn.sequential import Fusible

_NORMALISABLE = (Dense, Conv2d, ConvTranspose2d)


class SpectralNorm(Fusible):
    """`layer` with its weight divided by sigma = u^T W v (Miyato et al., 2018, Algorithm 1).

    W is the weight as a matrix (outputs, rest); the buffers u (outputs, 1) and v (rest, 1) approximate its first
    singular vectors. In training each forward first takes `power_iterations` steps v = W^T u / |W^T u| and
    u = W v / |W v|; in evaluation u and v stay as they are. They are constants for derivatives, so
    d sigma / d W = u v^T. `rng` draws the first u (see `nn.manual_seed`).

    Raises TypeError unless `layer` is a Dense, Conv2d or ConvTranspose2d, ValueError if its weight is zero.
    """

    def __init__(self, layer: Module, rng: Seed = None, *, power_iterations: int = 1) -> None:
        if not isinstance(layer, _NORMALISABLE):
            raise TypeError(f"SpectralNorm takes a Dense, Conv2d or ConvTranspose2d, got {type(layer).__name__}")
        require_positive_ints("SpectralNorm", power_iterations=power_iterations)
        if not layer.weight.numpy().any():
            raise ValueError(f"the weight of {layer} is zero, so no multiple of it has norm 1; draw it at random")
        self.layer, self.power_iterations = layer, power_iterations
        dtype = layer.weight.dtype
        self.u = Buffer(as_generator(rng).standard_normal((layer.outputs, 1)).astype(dtype))
        self.v = Buffer(np.zeros((layer.weight.size // layer.outputs, 1), dtype))
        self._iterate()

    def forward(self, x: Tensor) -> Tensor:
        return self._normalised(self.layer.forward, x)

    def can_fuse(self, following: Module) -> bool:
        return self.layer.can_fuse(following)

    def forward_fused(self, following: LeakyReLU, x: Tensor) -> Tensor:
        return self._normalised(self.layer.forward_fused, following, x)

    def effective_weight(self) -> Tensor:
        """weight / sigma with u and v as they are, in the shape of the layer's weight."""
        with no_grad():
            u, v = _unit_vector(self.u), _unit_vector(self.v)  # in an EMA of the network their length is not 1
        return self.layer.weight * (1.0 / ops.sum(v * ops.matmul(self._transposed_weight(), u)))

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
            transposed = self._transposed_weight()
            for _ in range(self.power_iterations):
                self.v.assign(_unit_vector(ops.matmul(transposed, self.u)))
                self.u.assign(_unit_vector(ops.matmul(transposed, self.v, transpose_a=True)))

    def _transposed_weight(self) -> Tensor:
        """W^T: (rest, outputs)."""
        w: Tensor = self.layer.weight
        if isinstance(self.layer, ConvTranspose2d):
            w = ops.transpose(w, (0, 1, 3, 2))
        return ops.reshape(w, (-1, self.layer.outputs))

    def _channels_out(self, channels: int | None) -> int | None:
        return self.layer._channels_out(channels)

    def __repr__(self) -> str:
        return f"SpectralNorm({self.layer})"


def spectral_norm(module: Module, rng: Seed = None) -> Module:
    """The network `module` with every dense and convolutional layer in it, to any depth, wrapped in a SpectralNorm.

    The layers and their parameters are shared with `module`; the Modules around them are copies. Raises TypeError if
    another kind of Module has a weight, a Parameter of two or more axes: its form as a matrix is not known.
    Raises ValueError if there is no dense or convolutional layer.
    """
    if not isinstance(module, Module):
        raise TypeError(f"spectral_norm takes a Module, got {type(module).__name__}")
    for part in module.modules():
        if not isinstance(part, _NORMALISABLE):
            _require_no_weight(part)
    if not any(isinstance(part, (*_NORMALISABLE, SpectralNorm)) for part in module.modules()):
        raise ValueError(f"spectral_norm finds no Dense, Conv2d or ConvTranspose2d in {module}; leave it out")
    return _normalise_layers(module, as_generator(rng), {})


def _normalise_layers(module: Module, rng: np.random.Generator, results: dict[int, Module]) -> Module:
    """`module` with its layers wrapped. `results`: by the id of a module, because several places may share one."""
    if id(module) in results:
        return results[id(module)]
    if isinstance(module, _NORMALISABLE):
        return results.setdefault(id(module), SpectralNorm(module, rng))
    if isinstance(module, SpectralNorm) or not any(isinstance(part, _NORMALISABLE) for part in module.modules()):
        return module
    copied_module = results[id(module)] = copy.copy(module)
    for name, value in vars(module).items():
        setattr(
            copied_module,
            name,
            map_container(value, lambda x: _normalise_layers(x, rng, results) if isinstance(x, Module) else x),
        )
    return copied_module


def _require_no_weight(module: Module) -> None:
    for name, item in module._contents():
        if isinstance(item, Parameter) and item.ndim > 1:
            raise TypeError(
                f"spectral_norm finds a weight '{name}' of shape {item.shape} in {type(module).__name__}, which is no "
                "Dense, Conv2d or ConvTranspose2d; build it of these, or leave it out of the network to be normalised"
            )


def _unit_vector(x: Tensor) -> Tensor:
    return x / ops.sqrt(ops.sum(x * x))
