"""GANs of dense layers on MNIST, with the networks of the Keras articles."""

from __future__ import annotations

import itertools
import math

import numpy as np

from minigan.domains import ImageDomain
from minigan.nn import BatchNorm, Dense, Dropout, LeakyReLU, Module, Sequential, Sigmoid, Tanh
from minigan.recipes.recipe import Recipe, packed_shape
from minigan.recipes.settings import Settings

_COMMON: Settings = {
    "latent_size": 100,
    "batch_size": 64,
    "rate": 2e-4,
    "beta1": 0.5,
    "slope": 0.2,
    "norm_momentum": 0.8,
}


def _generator_layers(s: Settings, rng: np.random.Generator) -> list[Module]:
    """Dense - LeakyReLU - batch norm for each of generator_widths."""
    layers: list[Module] = []
    for inputs, outputs in itertools.pairwise([s["latent_size"], *s["generator_widths"]]):
        layers += [Dense(inputs, outputs, rng), LeakyReLU(s["slope"]), BatchNorm(outputs, momentum=s["norm_momentum"])]
    return layers


def _discriminator(s: Settings, features: int, rng: np.random.Generator) -> Module:
    """Dense - LeakyReLU (- dropout) for each of discriminator_widths, then one logit."""
    layers: list[Module] = []
    for inputs, outputs in itertools.pairwise([features, *s["discriminator_widths"]]):
        layers += [Dense(inputs, outputs, rng), LeakyReLU(s["slope"])]
        if s["dropout"]:
            layers.append(Dropout(s["dropout"], seed=int(rng.integers(2**62))))
    return Sequential(*layers, Dense(s["discriminator_widths"][-1], 1, rng))


def dense_networks(
    s: Settings, shape: tuple[int, ...], rng: np.random.Generator, output: Module
) -> tuple[Module, Module]:
    """A generator with batch norm whose last layer is `output`, and a discriminator without."""
    if not (s["generator_widths"] and s["discriminator_widths"]):
        raise ValueError("each network needs at least one width; leave generator_widths and discriminator_widths out")
    features = math.prod(shape)
    last = Dense(s["generator_widths"][-1], features, rng)
    return Sequential(*_generator_layers(s, rng), last, output), _discriminator(
        s, math.prod(packed_shape(s, shape)), rng
    )


MNIST_MLP = Recipe(
    name="mnist-mlp",
    summary="dense layers with batch norm in the generator, tanh, pixels in [-1, 1]",
    networks=lambda s, shape, rng: dense_networks(s, shape, rng, Tanh()),
    settings={**_COMMON, "generator_widths": [256, 512, 1024], "discriminator_widths": [512, 256], "dropout": 0.0},
    steps=10_000,
    domain=ImageDomain((28, 28, 1), value_range=(-1.0, 1.0), flat=True),
)

MNIST_MLP_SIGMOID = Recipe(
    name="mnist-mlp-sigmoid",
    # Without batch norm in this small generator it collapses to one digit within 2,000 steps; without dropout in the
    # discriminator some digits are rare (the rarest makes up 2.2% of the samples instead of 4.7%).
    summary="small dense layers with batch norm, dropout in the discriminator, sigmoid, pixels in [0, 1]",
    networks=lambda s, shape, rng: dense_networks(s, shape, rng, Sigmoid()),
    settings={**_COMMON, "generator_widths": [128, 256], "discriminator_widths": [256, 128], "dropout": 0.4},
    steps=10_000,
    domain=ImageDomain((28, 28, 1), value_range=(0.0, 1.0), flat=True),
)
