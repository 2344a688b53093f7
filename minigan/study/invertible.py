"""An invertible generator of points of the plane, so that the density of its samples is known exactly.

By the change of variables p_g(x) = p_z(z) / |det dG/dz| at z = G^-1(x). A network is invertible if all of its layers
are: here `Dense(2, 2)`, by its inverse matrix, and `Monotone`, coordinate by coordinate.
"""

from __future__ import annotations

import math

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Parameter
from minigan.nn import Dense, Module, Sequential

_BISECTIONS, _NEWTON_STEPS = 16, 3  # bisection finds the inverse to about 1e-4, near enough for Newton's method
_INITIAL_HEIGHT = -2.0  # a new layer is nearly linear, because softplus of this is 0.13


class Monotone(Module):
    """y_i = x_i + sum_j softplus(height_ij) tanh(exp(steepness_ij) x_i + offset_ij), increasing in each x_i.

    Maps (batch, size) to the same shape; each coordinate has `steps` terms.
    """

    def __init__(self, size: int, steps: int, rng: np.random.Generator) -> None:
        shape = (size, steps)
        self.height = Parameter((_INITIAL_HEIGHT + 0.1 * rng.standard_normal(shape)).astype(np.float32))
        self.steepness = Parameter(np.tile(np.linspace(-0.5, 1.0, steps), (size, 1)).astype(np.float32))
        self.offset = Parameter((0.5 * rng.standard_normal(shape)).astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        terms = ops.tanh(ops.reshape(x, (*x.shape, 1)) * ops.exp(self.steepness) + self.offset)
        return x + ops.sum(ops.softplus(self.height) * terms, axis=2)

    def inverse(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x, (n, size) in float64, for y of the same shape, and log |det dx/dy|, (n,)."""
        largest = np.logaddexp(0, self.height.numpy().astype(np.float64)).sum(axis=1)  # of |y - x|
        low, high = y - largest, y + largest
        for _ in range(_BISECTIONS):
            x = (low + high) / 2
            too_low = self._value_and_slope(x)[0] < y
            low, high = np.where(too_low, x, low), np.where(too_low, high, x)
        x = (low + high) / 2
        for _ in range(_NEWTON_STEPS):
            value, slope = self._value_and_slope(x)
            x = x - (value - y) / slope
        return x, -np.log(self._value_and_slope(x)[1]).sum(axis=1)

    def _value_and_slope(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, steepness, offset = (p.numpy().astype(np.float64) for p in (self.height, self.steepness, self.offset))
        height, rate = np.logaddexp(0, height), np.exp(steepness)
        tanh = np.tanh(x[..., None] * rate + offset)
        slope = 1 + np.einsum("nij,ij->ni", 1 - tanh * tanh, height * rate)
        return x + np.einsum("nij,ij->ni", tanh, height), slope


def generator(blocks: int, steps: int, rng: np.random.Generator) -> Sequential:
    """`blocks` times a Monotone layer of `steps` terms and a Dense(2, 2) that is initialised near the identity."""
    layers: list[Module] = []
    for _ in range(blocks):
        layers += [Monotone(2, steps, rng), Dense(2, 2, rng, initializer=_near_identity)]
    return Sequential(*layers)


def log_density(network: Sequential, points: np.ndarray) -> np.ndarray:
    """log p_g at `points` (n, 2), for standard normal latents: (n,), in float64.

    Raises TypeError if `network` has other layers than Monotone and Dense with a bias.
    """
    x, log_volume = np.asarray(points, dtype=np.float64), np.zeros(len(points))
    for layer in reversed(network.layers):
        if isinstance(layer, Monotone):
            x, log_change = layer.inverse(x)
        elif isinstance(layer, Dense) and layer.bias is not None:
            weight = layer.weight.numpy().astype(np.float64)
            x = np.linalg.solve(weight.T, (x - layer.bias.numpy()).T).T
            log_change = -np.linalg.slogdet(weight)[1]
        else:
            raise TypeError(f"{layer} cannot be inverted here, expected Monotone and Dense with a bias")
        log_volume = log_volume + log_change
    return -(x**2).sum(axis=1) / 2 - math.log(2 * math.pi) + log_volume


def _near_identity(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.eye(shape[0]) + 0.1 * rng.standard_normal(shape)
