"""A GAN of stacked MNIST, 1,000 modes."""

from __future__ import annotations

import numpy as np

from minigan.domains import StackedDigitDomain
from minigan.nn import Module
from minigan.recipes.dcgan import small_discriminator, transposed_generator
from minigan.recipes.recipe import Recipe
from minigan.recipes.settings import Settings


def stacked_networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """Those of mnist-dcgan, half as wide, without dense layers, and without batch norm in the discriminator.

    With the rates of mnist-dcgan, 4e-4 and 2e-3, and its dense layers, this generator collapses to two modes within 500
    steps.
    """
    return transposed_generator(s, shape, rng), small_discriminator(s, shape, rng, norm=False)


STACKED_MNIST = Recipe(
    name="stacked-mnist",
    summary="three random digits as the channels of one picture: 1,000 modes, by PacGAN's protocol",
    networks=stacked_networks,
    settings={
        "latent_size": 100, "batch_size": 64, "rate": 1e-3, "beta1": 0.5, "slope": 0.2, "norm_momentum": 0.9,
        "average": 0.999, "dropout": 0.0, "generator_dense": 0, "generator_widths": [64, 32],
        "discriminator_widths": [32, 64], "discriminator_dense": 0,
    },
    steps=20_000,
    domain=StackedDigitDomain((28, 28, 3)),
)  # fmt: skip
