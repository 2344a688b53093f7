"""GANs of dense layers on points of the plane.

One recipe serves all four distributions, ring and grid among them. What it knows of the data: that they are points of
the plane, the scale that `Points` measures, and that detail down to about a hundredth of that scale matters (the
highest frequency). The latent is uniform on a square, which suits a square grid. It is told neither how many modes
there are nor where they lie.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from minigan.nn import Dense, FourierFeatures, LeakyReLU, Module, Residual, Sequential, init
from minigan.recipes.game import Settings
from minigan.recipes.recipe import PointRecipe, packed_shape

_SETTINGS: Settings = {
    "latent_size": 2,
    "latent": "uniform",
    "batch_size": 256,
    "generator_widths": [128, 128, 128, 128],
    "discriminator_widths": [128, 128, 128],
    "frequencies": 64,
    "highest_frequency": 100.0,
    "slope": 0.2,
    "loss": "relativistic-pairing",
    "rate": 2e-3,
    "beta1": 0.0,
    "beta2": 0.99,
    "rate_schedule": "cosine",
    "rate_end": 0.01,
    "penalty": "r1+r2",
    "penalty_weight": 1.0,
    "penalty_end": 1e-4,
    "penalty_anneal": 0.7,
    "average": 0.995,
}


def _networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """A generator that adds to its latent, if that has as many numbers as a point, and a discriminator of waves."""
    generator = _layers([s["latent_size"], *s["generator_widths"]], s, rng)
    generator.append(Dense(s["generator_widths"][-1], shape[0], rng, initializer=_small))
    (seen,) = packed_shape(s, shape)
    waves: list[Module] = []
    if s["frequencies"]:
        waves.append(FourierFeatures(seen, s["frequencies"], rng, highest=s["highest_frequency"]))
    inputs = seen + 2 * s["frequencies"]
    judge = _layers([inputs, *s["discriminator_widths"]], s, rng)
    judge.append(Dense(s["discriminator_widths"][-1], 1, rng))
    network = Sequential(*generator)
    return Residual(network) if s["latent_size"] == shape[0] else network, Sequential(*waves, *judge)


def _layers(widths: list[int], s: Settings, rng: np.random.Generator) -> list[Module]:
    """Dense - LeakyReLU from each width to the next; raises ValueError if there is but one."""
    if len(widths) < 2:
        raise ValueError("each network needs at least one width; leave generator_widths and discriminator_widths out")
    layers: list[Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [Dense(inputs, outputs, rng, initializer=init.he_normal), LeakyReLU(s["slope"])]
    return layers


def _small(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A tenth of Glorot's weights: the generator begins near its latent."""
    return init.glorot_uniform(rng, shape) * 0.1


def _recipe(target: str, summary: str, **settings: Any) -> PointRecipe:
    return PointRecipe(
        name=target, summary=summary, networks=_networks, settings=_SETTINGS | settings, steps=8000, target=target
    )


RING = _recipe("ring", "eight narrow Gaussians on a circle, by PacGAN's protocol")
GRID = _recipe("grid", "25 narrow Gaussians on a square grid, by PacGAN's protocol; the settings are those of ring")
TWO_GAUSSIANS = _recipe("two-gaussians", "the two Gaussians of an article, means (-2, -2) and (2, 2)")
SWISS_ROLL = _recipe("swiss-roll", "a spiral with a little noise")
POINT_RECIPES = (TWO_GAUSSIANS, RING, GRID, SWISS_ROLL)
