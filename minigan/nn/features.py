"""Fourier features: sines and cosines of a few inputs."""

from __future__ import annotations

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.autodiff.parameter import Buffer
from minigan.nn.layers import require_channels, require_positive_ints
from minigan.nn.module import Module
from minigan.nn.seeds import Seed, as_generator


class FourierFeatures(Module):
    """[x, w sin(x B), w cos(x B)]: (batch, inputs) to (batch, inputs + 2 * count) (Tancik et al., 2020).

    The columns of B are random directions, drawn by `rng` (see `nn.manual_seed`), of length f: frequencies in geometric
    steps from `lowest` to `highest` radians per unit. w = f^-1/2, so that all octaves have equal weight. With these
    features a network learns fine detail that it would learn only slowly from the inputs alone. B and w are buffers:
    they are not trained.

    Raises ValueError unless 0 < lowest <= highest.
    """

    def __init__(
        self, inputs: int, count: int, rng: Seed = None, *, lowest: float = 1.0, highest: float = 100.0
    ) -> None:
        require_positive_ints("FourierFeatures", inputs=inputs, count=count)
        if not 0 < lowest <= highest:
            raise ValueError(f"FourierFeatures takes frequencies 0 < lowest <= highest, got {lowest} and {highest}")
        self.inputs, self.count = inputs, count
        frequencies = np.geomspace(lowest, highest, count)
        directions = as_generator(rng).standard_normal((inputs, count))
        directions *= frequencies / np.linalg.norm(directions, axis=0)
        self.directions = Buffer(directions.astype(np.float32))
        self.weights = Buffer((frequencies**-0.5).astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.inputs:
            raise ValueError(f"{self} takes (batch, {self.inputs}), got shape {x.shape}")
        phases, weights = ops.matmul(x, self.directions.constant_copy()), self.weights.constant_copy()
        return ops.concatenate([x, ops.sin(phases) * weights, ops.cos(phases) * weights], axis=1)

    def _channels_out(self, channels: int | None) -> int:
        require_channels(self, self.inputs, channels)
        return self.inputs + 2 * self.count

    def __repr__(self) -> str:
        return f"FourierFeatures({self.inputs}, {self.count})"
