"""The simplest GANs of digits: dense layers with ReLU, no normalisation.

With the articles' own settings, `--set rate=1e-4 --set beta1=0.9 --set slope=0`, the generator makes one digit only.
What prevents that is Adam's beta1 of 0.5: with 0.9 it collapses at the higher rate, too. With it, the higher rate makes
the digits clear within 10,000 steps, and LeakyReLU in the discriminator keeps rare digits from becoming rarer.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from minigan.domains import ImageDomain
from minigan.nn import Dense, LeakyReLU, Module, ReLU, Sequential, Tanh
from minigan.recipes.recipe import Recipe, packed_shape
from minigan.recipes.settings import Settings


def relu_networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """Generator: dense - ReLU, and dense - tanh at the end. Discriminator: dense - LeakyReLU, then one logit."""
    if not (s["generator_widths"] and s["discriminator_widths"]):
        raise ValueError("each network needs at least one width; leave generator_widths and discriminator_widths out")
    generator: list[Module] = []
    for inputs, outputs in itertools.pairwise([s["latent_size"], *s["generator_widths"]]):
        generator += [Dense(inputs, outputs, rng), ReLU()]
    generator += [Dense(s["generator_widths"][-1], math.prod(shape), rng), Tanh()]
    discriminator: list[Module] = []
    for inputs, outputs in itertools.pairwise([math.prod(packed_shape(s, shape)), *s["discriminator_widths"]]):
        discriminator += [Dense(inputs, outputs, rng), LeakyReLU(s["slope"])]
    discriminator.append(Dense(s["discriminator_widths"][-1], 1, rng))
    return Sequential(*generator), Sequential(*discriminator)


def _recipe(name: str, summary: str, generator: list[int], discriminator: list[int]) -> Recipe:
    return Recipe(
        name=name,
        summary=summary,
        networks=relu_networks,
        settings={
            "latent_size": 100, "batch_size": 64, "rate": 1e-3, "beta1": 0.5, "slope": 0.2,
            "generator_widths": generator, "discriminator_widths": discriminator,
        },
        steps=10_000,
        domain=ImageDomain((28, 28, 1), value_range=(-1.0, 1.0), flat=True),
    )  # fmt: skip


MNIST_RELU = _recipe("mnist-relu", "100-128-128-784 with ReLU, without normalisation", [128, 128], [128, 128])
MNIST_RELU_LARGE = _recipe(
    "mnist-relu-large", "100-256-512-1024-784 with ReLU, without normalisation", [256, 512, 1024], [512, 256]
)
