"""GANs of dense layers on points of the plane.

One recipe serves four distributions, ring and grid among them. What it knows of the data: that they are points of
the plane, the scale that `Points` measures, and that detail down to about a hundredth of that scale matters (the
highest frequency). Two numbers of the latent are uniform on a square, which suits a square grid, and stratified in
training; two are normal, which suits modes that are Gaussian: without them, modes on the border of the grid are about
half as wide as they should be. It is told neither how many modes there are nor where they lie.

Two more, ring-plain and grid-plain, are the plain GAN that PacGAN (Lin et al., 2018) starts from, which loses modes;
with packing=2 they are PacGAN2.
"""

from __future__ import annotations

import itertools

import numpy as np

from minigan.autodiff import Tensor
from minigan.nn import BatchNorm, Dense, FourierFeatures, LeakyReLU, Module, ReLU, Sequential, init
from minigan.ops import concatenate
from minigan.recipes.game import Settings
from minigan.recipes.recipe import PointRecipe, packed_shape

_SETTINGS: Settings = {
    "latent_size": 4,
    "latent": "square",
    "spread": 0.45,
    "batch_size": 256,
    "generator_widths": [96, 96, 96, 96, 96, 96],
    "generator_slope": 0.05,
    "discriminator_widths": [128, 128, 128],
    "slope": 0.2,
    "frequencies": 64,
    "highest_frequency": 100.0,
    "loss": "relativistic-pairing",
    "rate": 4e-3,
    "generator_rate": 5e-3,
    "beta1": 0.0,
    "beta2": 0.99,
    "rate_schedule": "cosine",
    "rate_end": 0.001,
    "penalty": "r1+r2",
    "penalty_weight": 1.0,
    "penalty_end": 2e-4,
    "penalty_anneal": 0.9,
    "penalty_every": 4,
    "average": 0.99,
}


_STEPS = 10_000

# After the authors' code. LeakyReLU stands for maxout in D, points are scaled, and the rate is ten times theirs and
# falls, for they take 400,000 steps.
_PLAIN: Settings = {
    "latent_size": 2,
    "batch_size": 100,
    "generator_widths": [400, 400, 400, 400],
    "discriminator_widths": [200, 200, 200],
    "slope": 0.2,
    "norm_momentum": 0.95,
    "rate": 1e-3,
    "rate_schedule": "cosine",
    "beta1": 0.8,
}


class _Placed(Module):
    """z[:2] + network(z), for which the other numbers of z are `spread` times as large.

    It begins with a square and its samples near their latent. The first two numbers say which mode; the others, which
    begin as a small disturbance, how far from its middle.
    """

    def __init__(self, network: Module, spread: float, size: int) -> None:
        self.network, self.spread, self.size = network, spread, size

    def forward(self, x: Tensor) -> Tensor:
        place = x[:, : self.size]
        if x.shape[1] > self.size:
            x = concatenate([place, x[:, self.size :] * self.spread], axis=1)
        return place + self.network(x)


def _networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """A generator that moves the first numbers of its latent, and a discriminator of waves."""
    (size,) = shape
    if s["latent_size"] < size:
        raise ValueError(
            f"latent_size is {s['latent_size']}, and the generator moves as many numbers as a point has, {size}"
        )
    generator = _layers([s["latent_size"], *s["generator_widths"]], s["generator_slope"], rng)
    generator.append(Dense(s["generator_widths"][-1], size, rng, initializer=_small))
    (seen,) = packed_shape(s, shape)
    waves: list[Module] = []
    if s["frequencies"]:
        waves.append(FourierFeatures(seen, s["frequencies"], rng, highest=s["highest_frequency"]))
    judge = _layers([seen + 2 * s["frequencies"], *s["discriminator_widths"]], s["slope"], rng)
    judge.append(Dense(s["discriminator_widths"][-1], 1, rng))
    return _Placed(Sequential(*generator), s["spread"], size), Sequential(*waves, *judge)


def _layers(widths: list[int], slope: float, rng: np.random.Generator) -> list[Module]:
    """Dense - LeakyReLU from each width to the next; raises ValueError if there is but one."""
    if len(widths) < 2:
        raise ValueError("each network needs at least one width; leave generator_widths and discriminator_widths out")
    layers: list[Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [Dense(inputs, outputs, rng, initializer=init.he_normal), LeakyReLU(slope)]
    return layers


def _small(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A tenth of Glorot's weights: the generator begins near its latent."""
    return init.glorot_uniform(rng, shape) * 0.1


def _plain_networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """Dense - batch norm - ReLU against dense - LeakyReLU."""
    generator: list[Module] = []
    for inputs, outputs in itertools.pairwise([s["latent_size"], *s["generator_widths"]]):
        generator.append(Dense(inputs, outputs, rng, initializer=init.he_normal, bias=False))
        generator += [BatchNorm(outputs, momentum=s["norm_momentum"], eps=1e-5), ReLU()]
    judge = _layers([*packed_shape(s, shape), *s["discriminator_widths"]], s["slope"], rng)
    last = Dense(s["generator_widths"][-1], shape[0], rng)
    return Sequential(*generator, last), Sequential(*judge, Dense(s["discriminator_widths"][-1], 1, rng))


def _recipe(target: str, summary: str) -> PointRecipe:
    return PointRecipe(
        name=target, summary=summary, networks=_networks, settings=_SETTINGS, steps=_STEPS, target=target
    )


def _plain_recipe(target: str, summary: str) -> PointRecipe:
    name = f"{target}-plain"
    return PointRecipe(
        name=name, summary=summary, networks=_plain_networks, settings=_PLAIN, steps=12_000, target=target
    )


RING = _recipe("ring", "eight narrow Gaussians on a circle, by PacGAN's protocol")
GRID = _recipe("grid", "25 narrow Gaussians on a square grid, by PacGAN's protocol; the settings are those of ring")
TWO_GAUSSIANS = _recipe("two-gaussians", "the two Gaussians of an article, means (-2, -2) and (2, 2)")
SWISS_ROLL = _recipe("swiss-roll", "a spiral with a little noise")
RING_PLAIN = _plain_recipe("ring", "the plain GAN that loses modes of the ring; packing=2 makes it PacGAN2")
GRID_PLAIN = _plain_recipe("grid", "the plain GAN that loses modes of the grid; packing=2 makes it PacGAN2")
POINT_RECIPES = (TWO_GAUSSIANS, RING, GRID, SWISS_ROLL, RING_PLAIN, GRID_PLAIN)
