"""GANs of dense layers on MNIST: the Keras articles' networks."""

from __future__ import annotations

import itertools

import numpy as np

from minigan.nn import BatchNorm, Dense, LeakyReLU, Module, Sequential, Sigmoid, Tanh
from minigan.recipes.recipe import Recipe, Settings

_COMMON: Settings = {
    "latent_size": 100,
    "batch_size": 64,
    "rate": 2e-4,
    # A constant rate leaves this GAN drifting between digits: after 10,000 steps two of the ten were missing. Let it
    # settle: over the second half of the run the rate falls linearly to zero.
    "decay_from": 0.5,
    "beta1": 0.5,
    "slope": 0.2,
    "loss": "non-saturating",
}


def _dense_stack(
    widths: list[int], slope: float, rng: np.random.Generator, norm_momentum: float | None = None
) -> list[Module]:
    """Dense - LeakyReLU (- batch norm) for each step from one width to the next."""
    layers: list[Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [Dense(inputs, outputs, rng), LeakyReLU(slope)]
        if norm_momentum is not None:
            layers.append(BatchNorm(outputs, momentum=norm_momentum))
    return layers


def _networks(s: Settings, features: int, rng: np.random.Generator) -> tuple[Module, Module]:
    widths = [s["latent_size"], *s["generator_widths"]]
    generator = Sequential(
        *_dense_stack(widths, s["slope"], rng, s["norm_momentum"]), Dense(widths[-1], features, rng), Tanh()
    )
    return generator, _discriminator(s, features, rng)


def _sigmoid_networks(s: Settings, features: int, rng: np.random.Generator) -> tuple[Module, Module]:
    widths = [s["latent_size"], *s["generator_widths"]]
    generator = Sequential(*_dense_stack(widths, s["slope"], rng), Dense(widths[-1], features, rng), Sigmoid())
    return generator, _discriminator(s, features, rng)


def _discriminator(s: Settings, features: int, rng: np.random.Generator) -> Module:
    widths = [features, *s["discriminator_widths"]]
    return Sequential(*_dense_stack(widths, s["slope"], rng), Dense(widths[-1], 1, rng))


MNIST_MLP = Recipe(
    name="mnist-mlp",
    summary="dense layers with batch norm in the generator, tanh, pixels in [-1, 1]",
    networks=_networks,
    settings={
        **_COMMON,
        "generator_widths": [256, 512, 1024],
        "discriminator_widths": [512, 256],
        "norm_momentum": 0.8,
    },
    steps=10_000,
    value_range=(-1.0, 1.0),
)

MNIST_MLP_SIGMOID = Recipe(
    name="mnist-mlp-sigmoid",
    summary="small dense layers without batch norm, sigmoid, pixels in [0, 1]",
    networks=_sigmoid_networks,
    settings={**_COMMON, "generator_widths": [128, 256], "discriminator_widths": [256, 128]},
    steps=10_000,
    value_range=(0.0, 1.0),
)
