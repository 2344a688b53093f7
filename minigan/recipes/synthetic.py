"""GANs of dense layers on synthetic points of the plane.

One set of networks and settings serves four distributions: two-gaussians, ring, grid and swiss-roll. It uses these
facts about the data: they are points of the plane, at the scale that `Points` measures, with detail down to about a
hundredth of that scale (the highest frequency). Two numbers of the latent vector choose a position in a square, which
suits a square grid, and are stratified in training; two more are noise. The number, positions and widths of the modes
are not used.

The recipes ring-plain and grid-plain are the plain GAN that PacGAN (Lin et al., 2018) starts from, which loses modes;
with packing=2 they are PacGAN2. Networks, initial weights and settings are those of the authors' code
(fjxmlzn/PacGAN, synthetic_data_experiments), except for the number of steps, which is 400,000 there.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np

from minigan.autodiff import Tensor
from minigan.domains import PointDomain
from minigan.gan.latents import LOGISTIC_SCALE
from minigan.nn import BatchNorm, Dense, FourierFeatures, LeakyReLU, Maxout, Module, ReLU, Sequential, init
from minigan.ops import concatenate, tanh
from minigan.recipes.recipe import Recipe, packed_shape
from minigan.recipes.settings import Settings

_SETTINGS: Settings = {
    "latent_size": 4,
    "latent": "logistic",
    "spread": 0.22,
    "batch_size": 192,
    "generator_widths": [96, 96, 96, 96, 96, 96],
    "generator_slope": 0.05,
    "discriminator_widths": [128, 128, 128],
    "slope": 0.2,
    "frequencies": 64,
    "highest_frequency": 100.0,
    "loss": "relativistic-pairing",
    "rate": 4e-3,
    "generator_rate": 4.5e-3,
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

_STEPS = 14_000

# The settings of PacGAN's authors, except for the steps.
_PLAIN_STEPS = 20_000
_PLAIN: Settings = {
    "latent_size": 2,
    "batch_size": 100,
    "generator_widths": [400, 400, 400, 400],
    "discriminator_widths": [200, 200, 200],
    "pieces": 5,
    "norm_momentum": 0.95,
    "rate": 1e-4,
    "beta1": 0.8,
}


class _Displacement(Module):
    """y = p + network(p, spread * z), where p, a position, is computed from the first `size` numbers of the latent z.

    p = sqrt(3) tanh(z / (2 scale)) is uniform on a square if z is logistic, so training begins with samples spread over
    a square. The network also sees z itself: unlike p it is unbounded, so modes at the border of the square can get
    their outer tails, and its further numbers make samples of one position differ.
    """

    def __init__(self, network: Module, spread: float, size: int) -> None:
        self.network, self.spread, self.size = network, spread, size

    def forward(self, x: Tensor) -> Tensor:
        position = tanh(x[:, : self.size] * (0.5 / LOGISTIC_SCALE)) * math.sqrt(3)
        return position + self.network(concatenate([position, x * self.spread], axis=1))


def _networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """A generator that displaces uniform positions, and a discriminator of random Fourier features."""
    (size,) = shape
    if s["latent_size"] < size:
        raise ValueError(
            f"latent_size is {s['latent_size']}, expected at least {size}, the latent numbers that choose a position"
        )
    generator = _layers([size + s["latent_size"], *s["generator_widths"]], s["generator_slope"], rng)
    generator.append(Dense(s["generator_widths"][-1], size, rng, initializer=_tenth_of_glorot))
    (inputs,) = packed_shape(s, shape)
    features: list[Module] = []
    if s["frequencies"]:
        features.append(FourierFeatures(inputs, s["frequencies"], rng, highest=s["highest_frequency"]))
    discriminator = _layers([inputs + 2 * s["frequencies"], *s["discriminator_widths"]], s["slope"], rng)
    discriminator.append(Dense(s["discriminator_widths"][-1], 1, rng))
    return _Displacement(Sequential(*generator), s["spread"], size), Sequential(*features, *discriminator)


def _layers(widths: list[int], slope: float, rng: np.random.Generator) -> list[Module]:
    """Dense - LeakyReLU from each width to the next."""
    layers: list[Module] = []
    for inputs, outputs in _pairs(widths):
        layers += [Dense(inputs, outputs, rng, initializer=init.he_normal), LeakyReLU(slope)]
    return layers


def _pairs(widths: list[int]) -> Iterator[tuple[int, int]]:
    """Each width with the next one; raises ValueError if there is only one."""
    if len(widths) < 2:
        raise ValueError("each network needs at least one width; leave generator_widths and discriminator_widths out")
    return itertools.pairwise(widths)


def _tenth_of_glorot(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A tenth of Glorot's initial weights, so that the displacements are small at first."""
    return init.glorot_uniform(rng, shape) * 0.1


def _plain_networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """Generator: dense - batch norm - ReLU. Discriminator: maxout. All weights from N(0, 0.02^2)."""
    dense = functools.partial(Dense, rng=rng, initializer=init.dcgan_normal)
    generator: list[Module] = []
    for inputs, outputs in _pairs([s["latent_size"], *s["generator_widths"]]):
        norm = BatchNorm(outputs, momentum=s["norm_momentum"], eps=1e-4)
        generator += [dense(inputs, outputs, bias=False), norm, ReLU()]
    discriminator: list[Module] = []
    for inputs, outputs in _pairs([*packed_shape(s, shape), *s["discriminator_widths"]]):
        discriminator += [dense(inputs, s["pieces"] * outputs), Maxout(s["pieces"])]
    generator.append(dense(s["generator_widths"][-1], shape[0]))
    return Sequential(*generator), Sequential(*discriminator, dense(s["discriminator_widths"][-1], 1))


def _recipe(target: str, summary: str) -> Recipe:
    return Recipe(
        name=target, summary=summary, networks=_networks, settings=_SETTINGS, steps=_STEPS, domain=PointDomain(target)
    )


def _plain_recipe(target: str, summary: str) -> Recipe:
    name = f"{target}-plain"
    return Recipe(
        name=name,
        summary=summary,
        networks=_plain_networks,
        settings=_PLAIN,
        steps=_PLAIN_STEPS,
        domain=PointDomain(target, scaled=False),
    )


RING = _recipe("ring", "eight narrow Gaussians on a circle, by PacGAN's protocol")
GRID = _recipe("grid", "25 narrow Gaussians on a square grid, by PacGAN's protocol; the settings are those of ring")
TWO_GAUSSIANS = _recipe("two-gaussians", "two wide Gaussians, with means (-2, -2) and (2, 2)")
SWISS_ROLL = _recipe("swiss-roll", "a spiral with a little noise")
RING_PLAIN = _plain_recipe("ring", "the plain GAN that loses modes of the ring; packing=2 makes it PacGAN2")
GRID_PLAIN = _plain_recipe("grid", "the plain GAN that loses modes of the grid; packing=2 makes it PacGAN2")
POINT_RECIPES = (TWO_GAUSSIANS, RING, GRID, SWISS_ROLL, RING_PLAIN, GRID_PLAIN)
