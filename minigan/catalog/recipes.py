"""Every recipe, with narrow networks: what each player minimises, as a function of its weights and its input."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.catalog.case import Case, Subject
from minigan.catalog.draw import Draw
from minigan.gan import GAN
from minigan.nn.init import he_normal
from minigan.recipes import RECIPES, PictureRecipe, Recipe

_BATCH = 4


def cases(seed: int = 0, dtype: str = "float64") -> Iterator[Case]:
    """A case of order 1 for each player of each recipe."""
    for name, recipe in RECIPES.items():
        yield Case(f"recipes/{name}/discriminator", 1, functools.partial(_discriminator, recipe, seed, dtype))
        yield Case(f"recipes/{name}/generator", 1, functools.partial(_generator, recipe, seed, dtype))


def narrowed(recipe: Recipe) -> dict[str, Any]:
    """The settings of the recipe with few channels: the derivatives are the same formulas at any width."""
    narrow: dict[str, Any] = {"latent_size": 5} if isinstance(recipe, PictureRecipe) else {}
    for key, value in recipe.settings.items():
        if key.endswith("_widths"):
            narrow[key] = [3 + place % 3 for place in range(len(value))]
        elif key.endswith("_dense") and value:
            narrow[key] = 6
    return narrow


def enlarge(gan: GAN, draw: Draw) -> None:
    """Give it weights as large as in the midst of training: at first many sums lie near their kinks."""
    for network in (gan.generator, gan.discriminator):
        for parameter in network.parameters().values():
            values = he_normal(draw.rng, parameter.shape) if parameter.ndim > 1 else draw.signed(parameter.size)
            parameter.assign(values)


def _built(recipe: Recipe, draw: Draw) -> GAN:
    gan = recipe.build(dtype=draw.dtype, **narrowed(recipe))
    enlarge(gan, draw)
    return gan


def _discriminator(recipe: Recipe, seed: int, dtype: str) -> Subject:
    draw = Draw(seed, f"recipes/{recipe.name}/discriminator", dtype)
    gan = _built(recipe, draw)
    real = examples(recipe, draw)
    fake = gan.sample(draw.normal(_BATCH, gan.latent_size)).numpy()

    def loss(real: Tensor, fake: Tensor) -> Tensor:
        return gan.loss.discriminator(gan.discriminator(real), gan.discriminator(fake))

    return Subject(loss, [real, fake], gan.discriminator.parameters(), [gan.discriminator])


def _generator(recipe: Recipe, seed: int, dtype: str) -> Subject:
    draw = Draw(seed, f"recipes/{recipe.name}/generator", dtype)
    gan = _built(recipe, draw)
    latent, real = draw.normal(_BATCH, gan.latent_size), examples(recipe, draw)

    def loss(latent: Tensor) -> Tensor:
        fake_logits = gan.discriminator(gan.generator(latent))
        return gan.loss.generator(fake_logits, gan.discriminator(Tensor(real)) if gan.loss.relative else None)

    return Subject(loss, [latent], gan.generator.parameters(), [gan.generator, gan.discriminator])


def examples(recipe: Recipe, draw: Draw) -> np.ndarray:
    """A batch of what the recipe might learn from."""
    shape = (_BATCH, *recipe.wanted_shape(recipe.settings))
    if not isinstance(recipe, PictureRecipe):
        return draw.normal(*shape)
    pictures = draw.rng.uniform(*recipe.value_range, size=shape).astype(draw.dtype)
    return pictures.reshape(_BATCH, -1) if recipe.flat else pictures
