"""A multilayer perceptron in one call."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence

from minigan.nn.layers import Dense, LeakyReLU
from minigan.nn.module import Module
from minigan.nn.seeds import Seed, as_generator
from minigan.nn.sequential import Sequential

Activation = Module | Callable[[], Module]
"""A layer, of which copies are used, or a class or function that makes one."""


def mlp(
    sizes: Sequence[int], rng: Seed = None, *, activation: Activation = LeakyReLU, output: Activation | None = None
) -> Sequential:
    """Dense layers from (batch, sizes[0]) to (batch, sizes[-1]), with `activation` between them, `output` at the end.

    `mlp([64, 256, 784], output=Tanh)` is Dense(64, 256) - LeakyReLU(0.2) - Dense(256, 784) - Tanh(). A generator ends
    in what fits the data's range, a discriminator in no activation: its output are logits. `rng` draws the weights: a
    generator, a seed, or none (see `manual_seed`). Raises ValueError for fewer than two sizes, or sizes that are not
    positive; TypeError for an activation that is neither a Module nor makes one.
    """
    if isinstance(sizes, int) or len(sizes) < 2:
        raise ValueError(
            f"mlp takes the sizes of the input, the hidden layers and the output, such as [64, 256, 2], got {sizes}"
        )
    generator = as_generator(rng)
    layers: list[Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [Dense(inputs, outputs, generator), _make("activation", activation)]
    return Sequential(*layers[:-1], *([] if output is None else [_make("output", output)]))


def _make(name: str, activation: Activation) -> Module:
    made = copy.deepcopy(activation) if isinstance(activation, Module) or not callable(activation) else activation()
    if not isinstance(made, Module):
        raise TypeError(
            f"mlp's {name} is a layer or makes one, such as nn.ReLU or nn.LeakyReLU(0.1); got {activation!r}"
        )
    return made
