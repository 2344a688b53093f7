"""A generator of the plane that can be run backwards, so that the density of its samples is known exactly.

p_g(x) = p_z(z) / |det dG/dz| at z = G^-1(x), the change of variables. A network can be inverted if each of its layers
can: here `Dense(2, 2)`, by its inverse matrix, and `Bend`, coordinate by coordinate.
"""

from __future__ import annotations

import math

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Parameter
from minigan.nn import Dense, Module, Sequential

_HALVINGS, _CORRECTIONS = 16, 3  # bisection finds the inverse to some 1e-4, Newton's method, safe there, the rest
_STRAIGHT = -2.0  # softplus of this, 0.13, is how high the steps of a new bend are


class Bend(Module):
    """y_i = x_i + sum_j softplus(height_ij) tanh(exp(steepness_ij) x_i + place_ij): rises everywhere.

    Each coordinate is bent by itself, in `steps` places: (batch, size) to the same.
    """

    def __init__(self, size: int, steps: int, rng: np.random.Generator) -> None:
        shape = (size, steps)
        self.height = Parameter((_STRAIGHT + 0.1 * rng.standard_normal(shape)).astype(np.float32))
        self.steepness = Parameter(np.tile(np.linspace(-0.5, 1.0, steps), (size, 1)).astype(np.float32))
        self.place = Parameter((0.5 * rng.standard_normal(shape)).astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        turned = ops.reshape(x, (*x.shape, 1)) * ops.exp(self.steepness) + self.place
        return x + ops.sum(ops.softplus(self.height) * ops.tanh(turned), axis=2)

    def inverse(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x of shape (n, size), in float64, and the logarithm of |det dx/dy|, (n,)."""
        reach = np.logaddexp(0, self.height.numpy().astype(np.float64)).sum(axis=1)
        low, high = y - reach, y + reach
        for _ in range(_HALVINGS):
            x = (low + high) / 2
            too_low = self._value_and_slope(x)[0] < y
            low, high = np.where(too_low, x, low), np.where(too_low, high, x)
        x = (low + high) / 2
        for _ in range(_CORRECTIONS):
            value, slope = self._value_and_slope(x)
            x = x - (value - y) / slope
        return x, -np.log(self._value_and_slope(x)[1]).sum(axis=1)

    def _value_and_slope(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, steepness, place = (p.numpy().astype(np.float64) for p in (self.height, self.steepness, self.place))
        height, rate = np.logaddexp(0, height), np.exp(steepness)
        tanh = np.tanh(x[..., None] * rate + place)
        slope = 1 + np.einsum("nij,ij->ni", 1 - tanh * tanh, height * rate)
        return x + np.einsum("nij,ij->ni", tanh, height), slope


def generator(bends: int, steps: int, rng: np.random.Generator) -> Sequential:
    """`bends` times a Bend and a Dense(2, 2), which begins near the identity."""
    layers = (layer for _ in range(bends) for layer in (Bend(2, steps, rng), Dense(2, 2, rng, initializer=_near_one)))
    return Sequential(*layers)


def log_density(network: Sequential, points: np.ndarray) -> np.ndarray:
    """log p_g of what `network` makes of standard normal latent vectors, at `points` (n, 2): (n,), in float64."""
    x, log_volume = np.asarray(points, dtype=np.float64), np.zeros(len(points))
    for layer in reversed(network.layers):
        if isinstance(layer, Bend):
            x, log_change = layer.inverse(x)
        elif isinstance(layer, Dense) and layer.bias is not None:
            weight = layer.weight.numpy().astype(np.float64)
            x = np.linalg.solve(weight.T, (x - layer.bias.numpy()).T).T
            log_change = -np.linalg.slogdet(weight)[1]
        else:
            raise TypeError(f"{layer} cannot be inverted here, expected Bend and Dense with a bias")
        log_volume = log_volume + log_change
    return -(x**2).sum(axis=1) / 2 - math.log(2 * math.pi) + log_volume


def _near_one(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.eye(shape[0]) + 0.1 * rng.standard_normal(shape)
