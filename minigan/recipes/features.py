"""Features without labels (Radford et al., 2016, section 5): a DCGAN whose discriminator is used as a classifier."""

from __future__ import annotations

import numpy as np

from minigan.domains.learned_features import LearnedFeaturesDomain
from minigan.nn import Module
from minigan.recipes.dcgan import MNIST_DCGAN
from minigan.recipes.recipe import Recipe
from minigan.recipes.settings import Settings


def _discriminator(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> Module:
    return MNIST_DCGAN.networks(s, shape, rng)[1]


FEATURES = Recipe(
    name="features",
    summary="what the discriminator of mnist-dcgan learns of digits without labels, asked by a linear classifier",
    networks=MNIST_DCGAN.networks,
    settings={**MNIST_DCGAN.settings, "labels": 1000, "label_seed": 0, "classes": 10},
    steps=2000,
    domain=LearnedFeaturesDomain((28, 28, 1), (-1.0, 1.0), flat=False, untrained=_discriminator),
)
