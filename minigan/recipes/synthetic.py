"""GANs of dense layers on points of the plane.

One recipe serves four distributions, ring and grid among them. What it knows of the data: that they are points of
the plane, the scale that `Points` measures, and that detail down to about a hundredth of that scale matters (the
highest frequency). Two numbers of the latent say which place on a square, which suits a square grid, and are stratified
in training; two more are noise. It is told neither how many modes there are nor where they lie, nor how wide.

Two more, ring-plain and grid-plain, are the plain GAN that PacGAN (Lin et al., 2018) starts from, which loses modes;
with packing=2 they are PacGAN2. Networks, initial weights and settings are those of the authors' code
(fjxmlzn/PacGAN, synthetic_data_experiments); only their 400,000 steps are not.
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

# Those of the authors' code, but for the steps: theirs are 400,000.
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


class _Placed(Module):
    """place + network(place, spread * z) of a latent z, whose first numbers say which place.

    place = sqrt(3) tanh(z / (2 scale)), uniform on a square where z is logistic: the generator begins with samples that
    lie on a square. Beside its place it sees z itself, which has no bounds where the square ends, and from which modes
    on the border can take their outer tails; and the further numbers of z, by which samples of one place differ.
    """

    def __init__(self, network: Module, spread: float, size: int) -> None:
        self.network, self.spread, self.size = network, spread, size

    def forward(self, x: Tensor) -> Tensor:
        place = tanh(x[:, : self.size] * (0.5 / LOGISTIC_SCALE)) * math.sqrt(3)
        return place + self.network(concatenate([place, x * self.spread], axis=1))


def _networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """A generator that moves the first numbers of its latent, and a discriminator of waves."""
    (size,) = shape
    if s["latent_size"] < size:
        raise ValueError(
            f"latent_size is {s['latent_size']}, and the generator places a point by as many numbers as it has, {size}"
        )
    generator = _layers([size + s["latent_size"], *s["generator_widths"]], s["generator_slope"], rng)
    generator.append(Dense(s["generator_widths"][-1], size, rng, initializer=_small))
    (seen,) = packed_shape(s, shape)
    waves: list[Module] = []
    if s["frequencies"]:
        waves.append(FourierFeatures(seen, s["frequencies"], rng, highest=s["highest_frequency"]))
    judge = _layers([seen + 2 * s["frequencies"], *s["discriminator_widths"]], s["slope"], rng)
    judge.append(Dense(s["discriminator_widths"][-1], 1, rng))
    return _Placed(Sequential(*generator), s["spread"], size), Sequential(*waves, *judge)


def _layers(widths: list[int], slope: float, rng: np.random.Generator) -> list[Module]:
    """Dense - LeakyReLU from each width to the next."""
    layers: list[Module] = []
    for inputs, outputs in _pairs(widths):
        layers += [Dense(inputs, outputs, rng, initializer=init.he_normal), LeakyReLU(slope)]
    return layers


def _pairs(widths: list[int]) -> Iterator[tuple[int, int]]:
    """Each width and the next; raises ValueError if there is but one."""
    if len(widths) < 2:
        raise ValueError("each network needs at least one width; leave generator_widths and discriminator_widths out")
    return itertools.pairwise(widths)


def _small(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A tenth of Glorot's weights: the generator begins near its latent."""
    return init.glorot_uniform(rng, shape) * 0.1


def _plain_networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """Dense - batch norm - ReLU against maxout, all weights from N(0, 0.02^2)."""
    dense = functools.partial(Dense, rng=rng, initializer=init.dcgan_normal)
    generator: list[Module] = []
    for inputs, outputs in _pairs([s["latent_size"], *s["generator_widths"]]):
        norm = BatchNorm(outputs, momentum=s["norm_momentum"], eps=1e-4)
        generator += [dense(inputs, outputs, bias=False), norm, ReLU()]
    judge: list[Module] = []
    for inputs, outputs in _pairs([*packed_shape(s, shape), *s["discriminator_widths"]]):
        judge += [dense(inputs, s["pieces"] * outputs), Maxout(s["pieces"])]
    generator.append(dense(s["generator_widths"][-1], shape[0]))
    return Sequential(*generator), Sequential(*judge, dense(s["discriminator_widths"][-1], 1))


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
TWO_GAUSSIANS = _recipe("two-gaussians", "the two Gaussians of an article, means (-2, -2) and (2, 2)")
SWISS_ROLL = _recipe("swiss-roll", "a spiral with a little noise")
RING_PLAIN = _plain_recipe("ring", "the plain GAN that loses modes of the ring; packing=2 makes it PacGAN2")
GRID_PLAIN = _plain_recipe("grid", "the plain GAN that loses modes of the grid; packing=2 makes it PacGAN2")
POINT_RECIPES = (TWO_GAUSSIANS, RING, GRID, SWISS_ROLL, RING_PLAIN, GRID_PLAIN)
