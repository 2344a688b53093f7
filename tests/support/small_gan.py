"""A GAN of a few weights, and batches for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import GAN
from minigan.gan import losses
from minigan.nn import BatchNorm, Dense, Dropout, LeakyReLU, Module, Sequential, Tanh
from minigan.optim import Adam

LATENT, G_HIDDEN, DATA, D_HIDDEN, BATCH = 3, 5, 4, 6, 7


def make_gan(
    loss: str = "non-saturating",
    dtype: str = "float64",
    rich: bool = False,
    discriminator_norm: bool = False,
    **options: Any,
) -> GAN:
    """Plain networks, or `rich` ones with batch normalisation in G and dropout in D."""
    rng = np.random.default_rng(11)
    g_layers: list[Module] = [Dense(LATENT, G_HIDDEN, rng), LeakyReLU(0.2), Dense(G_HIDDEN, DATA, rng), Tanh()]
    d_layers: list[Module] = [Dense(DATA, D_HIDDEN, rng), LeakyReLU(0.2), Dense(D_HIDDEN, 1, rng)]
    if rich:
        g_layers.insert(1, BatchNorm(G_HIDDEN, momentum=0.5))
        d_layers.insert(2, Dropout(0.3, seed=5))
    if discriminator_norm:
        d_layers.insert(1, BatchNorm(D_HIDDEN, momentum=0.5))
    generator, discriminator = Sequential(*g_layers).astype(dtype), Sequential(*d_layers).astype(dtype)
    return GAN(
        generator,
        discriminator,
        losses.get(loss),
        Adam(generator.parameters(), 0.01, beta1=0.5),
        Adam(discriminator.parameters(), 0.02, beta1=0.5),
        latent_size=LATENT,
        seed=3,
        **options,
    )


def real_batch(step: int, dtype: str = "float64") -> np.ndarray:
    """The real examples of a step."""
    return np.random.default_rng([5, step]).uniform(-1, 1, (BATCH, DATA)).astype(dtype)
