"""A GAN of a few weights, and batches for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import GAN, Tensor
from minigan.gan import losses
from minigan.nn import BatchNorm, Dense, Dropout, LeakyReLU, Module, Sequential, Tanh
from minigan.ops import concatenate
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


CONDITION = 2


class ConditionalNetwork(Module):
    """A network of the input and the condition side by side."""

    def __init__(self, network: Module) -> None:
        self.network = network

    def forward(self, x: Tensor, y: Tensor) -> Any:
        return self.network(concatenate([x, y], axis=1))


class TwoHeads(Module):
    """A discriminator with two outputs, logits (n, 1) and class logits (n, 3), as in an AC-GAN."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.body = Sequential(Dense(DATA, D_HIDDEN, rng), Tanh())
        self.logits, self.classes = Dense(D_HIDDEN, 1, rng), Dense(D_HIDDEN, 3, rng)

    def forward(self, x: Tensor, *condition: Tensor) -> Any:
        features = self.body(x)
        return self.logits(features), self.classes(features)


def make_conditional_gan(dtype: str = "float64", packing: int = 1, dropout: bool = False, **options: Any) -> GAN:
    """Smooth networks, so that finite differences can check it; with dropout in D if asked for."""
    rng = np.random.default_rng(12)
    g_layers = [Dense(LATENT + CONDITION, G_HIDDEN, rng), Tanh(), Dense(G_HIDDEN, DATA, rng), Tanh()]
    d_layers: list[Module] = [Dense(DATA * packing + CONDITION, D_HIDDEN, rng), Tanh(), Dense(D_HIDDEN, 1, rng)]
    if dropout:
        d_layers.insert(2, Dropout(0.3, seed=5))
    generator = ConditionalNetwork(Sequential(*g_layers)).astype(dtype)
    discriminator = options.pop("discriminator", None) or ConditionalNetwork(Sequential(*d_layers))
    discriminator.astype(dtype)
    loss = options.pop("loss", "non-saturating")
    return GAN(
        generator,
        discriminator,
        losses.get(loss) if isinstance(loss, str) else loss,
        Adam(generator.parameters(), 0.01, beta1=0.5),
        Adam(discriminator.parameters(), 0.02, beta1=0.5),
        latent_size=LATENT,
        seed=3,
        **options,
    )


def conditional_batch(step: int, count: int = 8, dtype: str = "float64", packing: int = 1) -> tuple[Any, Any]:
    """The (x, y) of a step; `packing` neighbours have the same y."""
    rng = np.random.default_rng([6, step])
    x = rng.uniform(-1, 1, (count, DATA)).astype(dtype)
    return x, np.repeat(rng.standard_normal((count // packing, CONDITION)).astype(dtype), packing, axis=0)
