"""GANs of faces, from a folder of pictures or a file such as faces_data.npy: --data-dir names it."""

from __future__ import annotations

import numpy as np

from minigan.domains import FaceDomain
from minigan.nn import Module
from minigan.recipes.dcgan import small_discriminator, transposed_generator, upsampling_generator
from minigan.recipes.recipe import Recipe
from minigan.recipes.settings import Settings

_SETTINGS: Settings = {
    "latent_size": 100, "batch_size": 32, "rate": 2e-4, "beta1": 0.5, "slope": 0.2, "norm_momentum": 0.9,
    "average": 0.999, "dropout": 0.0, "image_size": 32, "channels": 0, "fit": "crop", "flip": 1, "generator_dense": 0,
    "generator_widths": [128, 64, 32], "discriminator_widths": [32, 64, 128], "discriminator_dense": 0,
}  # fmt: skip


def face_networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """A generator of transposed convolutions, and a discriminator of convolutions without batch norm."""
    return transposed_generator(s, shape, rng), small_discriminator(s, shape, rng, norm=False)


def article_networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """A generator of upsampling and convolutions, and a discriminator of convolutions with dropout."""
    return upsampling_generator(s, shape, rng), small_discriminator(s, shape, rng, norm=False)


FACES = Recipe(
    name="faces",
    summary="a DCGAN of faces 32 x 32, or 64 x 64 with image_size=64, without batch norm in the discriminator",
    networks=face_networks,
    settings=_SETTINGS,
    steps=8000,
    domain=FaceDomain((32, 32, 1), value_range=(-1.0, 1.0), flat=False),
)

FACES_ARTICLE = Recipe(
    name="faces-article",
    summary="faces as in the article: LeakyReLU of slope 0.01 and dropout 0.3 in the discriminator",
    networks=article_networks,
    settings={
        **_SETTINGS, "slope": 0.01, "dropout": 0.3, "average": 0.0, "flip": 0,
        "generator_widths": [128, 64, 32, 32],
    },
    steps=4000,
    domain=FaceDomain((32, 32, 1), value_range=(-1.0, 1.0), flat=False),
)  # fmt: skip
