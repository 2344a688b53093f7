"""Small smooth critics."""

from __future__ import annotations

import numpy as np

from minigan.nn import Conv2d, Dense, Flatten, Module, Sequential, Tanh


def smooth_critic(kind: str) -> tuple[Module, tuple[int, ...]]:
    """A smooth critic of a few weights, and the shape of an example."""
    rng = np.random.default_rng(7)
    if kind == "mlp":
        network = Sequential(Dense(3, 5, rng), Tanh(), Dense(5, 4, rng), Tanh(), Dense(4, 1, rng))
        return network.astype("float64"), (3,)
    layers = [Conv2d(2, 3, 4, rng, stride=2, padding=1), Tanh(), Conv2d(3, 2, 3, rng, padding="same"), Tanh()]
    return Sequential(*layers, Flatten(), Dense(8, 1, rng)).astype("float64"), (4, 4, 2)
