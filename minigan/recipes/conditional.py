"""Conditional GANs of digits: a projection discriminator, and an auxiliary classifier.

Both generators take a latent vector and the class side by side, (z, one-hot(y)), as in Mirza and Osindero, 2014. The
discriminators use y in two ways of the literature. All layers are dense.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.domains import LabelledImageDomain
from minigan.gan import losses
from minigan.gan.losses import Loss
from minigan.nn import BatchNorm, Dense, Embedding, LeakyReLU, Module, Sequential, Tanh, init
from minigan.ops import concatenate, cross_entropy, one_hot
from minigan.ops import sum as sum_
from minigan.recipes.recipe import Recipe
from minigan.recipes.settings import Settings


class ConditionalGenerator(Module):
    """(z (n, latent), class numbers (n,)) to pictures (n, pixels): `body` of z and the one-hot class side by side.

    In evaluation mode z is multiplied by `truncation` first: below 1, samples are less varied and more often what was
    asked for (compare Brock et al., 2019, section 3.1, who draw from a truncated distribution).
    """

    def __init__(self, classes: int, body: Module, truncation: float) -> None:
        self.classes, self.body, self.truncation = classes, body, truncation

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        z = z if self.training else z * self.truncation
        return self.body(concatenate([z, one_hot(y, self.classes, z.dtype)], axis=1))


class ProjectionDiscriminator(Module):
    """logit = score(h) + <v_y, h> with h = features(x) (Miyato and Koyama, 2018, equation 3)."""

    def __init__(self, classes: int, features: Module, width: int, rng: np.random.Generator) -> None:
        self.features, self.score = features, Dense(width, 1, rng)
        self.vectors = Embedding(classes, width, rng, initializer=init.dcgan_normal)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.features(x)
        return self.score(h) + sum_(self.vectors(y) * h, axis=1, keepdims=True)


class ClassifyingDiscriminator(Module):
    """(logit (n, 1), class logits (n, classes)): it does not see the class, but names it (Odena et al., 2017)."""

    def __init__(self, classes: int, features: Module, width: int, rng: np.random.Generator) -> None:
        self.features, self.score = features, Dense(width, 1, rng)
        self.classify = Dense(width, classes, rng)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(x)
        return self.score(h), self.classify(h)


class AuxiliaryClassifierLoss(Loss):
    """The losses of an AC-GAN (Odena et al., 2017, section 3): both players maximise L_C, the likelihood of the class.

    source: the loss of the logits, L_S in the paper. weight: of the class loss, 1 in the paper. L_C is about real and
    generated pictures; the generator can change only the second part.
    """

    name = "auxiliary-classifier"
    multi_head = uses_condition = True

    def __init__(self, source: Loss, weight: float = 1.0) -> None:
        self.source, self.weight = source, weight

    def discriminator(self, real: Any, fake: Any, condition: Any = None) -> Tensor:
        """The source's loss + weight * (cross-entropy of the class on real + on generated pictures)."""
        of_class = cross_entropy(real[1], condition) + cross_entropy(fake[1], condition)
        return self.source.discriminator(real[0], fake[0]) + of_class * self.weight

    def generator(self, fake: Any, real: Any = None, condition: Any = None) -> Tensor:
        """The source's loss + weight * cross-entropy of the class on generated pictures."""
        return self.source.generator(fake[0]) + cross_entropy(fake[1], condition) * self.weight


def _networks(
    discriminator: type[ProjectionDiscriminator | ClassifyingDiscriminator],
    s: Settings,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[Module, Module]:
    """Generator: dense - batch norm - LeakyReLU. Discriminator: dense - LeakyReLU."""
    if not (s["generator_widths"] and s["discriminator_widths"]):
        raise ValueError("each network needs at least one width; leave generator_widths and discriminator_widths out")
    pixels, classes = math.prod(shape), s["classes"]
    body: list[Module] = []
    for inputs, outputs in itertools.pairwise([s["latent_size"] + classes, *s["generator_widths"]]):
        norm = BatchNorm(outputs, momentum=s["norm_momentum"])
        body += [Dense(inputs, outputs, rng), norm, LeakyReLU(s["slope"])]
    body += [Dense(s["generator_widths"][-1], pixels, rng), Tanh()]
    features: list[Module] = []
    for inputs, outputs in itertools.pairwise([pixels, *s["discriminator_widths"]]):
        features += [Dense(inputs, outputs, rng), LeakyReLU(s["slope"])]
    generator = ConditionalGenerator(classes, Sequential(*body), s["truncation"])
    return generator, discriminator(classes, Sequential(*features), s["discriminator_widths"][-1], rng)


_DIGITS = LabelledImageDomain((28, 28, 1), value_range=(-1.0, 1.0), flat=True)
# A larger penalty makes samples more varied, up to the data's spread, and less often what was asked for.
_SETTINGS: Settings = {
    "classes": 10, "latent_size": 32, "batch_size": 64, "rate": 1e-3, "rate_schedule": "linear", "slope": 0.2,
    "norm_momentum": 0.9, "penalty": "r1", "penalty_weight": 0.1, "average": 0.99, "generator_widths": [256, 512],
    "discriminator_widths": [512, 256], "truncation": 0.8,
}  # fmt: skip
_MEANINGS = {
    "truncation": "what the latent vectors of samples are multiplied by: below 1 less varied, more often as asked",
    "class_weight": "what the cross-entropy of the class is multiplied by in both players' objectives",
}

MNIST_CGAN = Recipe(
    name="mnist-cgan",
    summary="a conditional GAN: the class beside the latent vector, projected on in the discriminator",
    networks=lambda s, shape, rng: _networks(ProjectionDiscriminator, s, shape, rng),
    settings=_SETTINGS,
    steps=15_000,
    domain=_DIGITS,
    meanings=_MEANINGS,
    fixed=("packing",),
)

MNIST_ACGAN = Recipe(
    name="mnist-acgan",
    summary="a conditional GAN whose discriminator also names the class (AC-GAN)",
    networks=lambda s, shape, rng: _networks(ClassifyingDiscriminator, s, shape, rng),
    settings={**_SETTINGS, "penalty_weight": 0.3, "truncation": 0.85, "class_weight": 1.0},
    steps=12_000,
    domain=_DIGITS,
    meanings=_MEANINGS,
    objective=lambda s, generator, discriminator: {
        "loss": AuxiliaryClassifierLoss(losses.get("non-saturating"), s["class_weight"])
    },
    fixed=("loss", "packing", "label_smoothing"),
)
