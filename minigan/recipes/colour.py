"""GANs of digits in colour, 28 x 28 x 3: dense layers, and upsampling with convolutions."""

from __future__ import annotations

import dataclasses

from minigan.domains import ColouredDigitDomain
from minigan.recipes.dcgan import MNIST_DCGAN_UPSAMPLE
from minigan.recipes.mnist_mlp import MNIST_MLP
from minigan.recipes.recipe import Recipe

_SHAPE = (28, 28, 3)
_CONVOLUTIONS = {key: value for key, value in MNIST_DCGAN_UPSAMPLE.settings.items() if key != "channels"}

# With the lower rates of the recipes for grey digits, pixels of all colours are mixed for much longer.
COLOUR_MNIST: Recipe = dataclasses.replace(
    MNIST_MLP,
    name="colour-mnist",
    summary="dense layers for digits that are each in one of six colours",
    settings={
        **MNIST_MLP.settings, "rate": 1e-3, "generator_widths": [256, 512], "discriminator_widths": [256, 128],
    },
    steps=20_000,
    domain=ColouredDigitDomain(_SHAPE, value_range=(-1.0, 1.0), flat=True),
)  # fmt: skip

COLOUR_MNIST_DCGAN: Recipe = dataclasses.replace(
    MNIST_DCGAN_UPSAMPLE,
    name="colour-mnist-dcgan",
    summary="upsampling and convolutions for digits that are each in one of six colours",
    settings={
        **_CONVOLUTIONS, "rate": 1e-3, "slope": 0.2, "dropout": 0.0, "batch_size": 32,
        "generator_widths": [64, 32, 16], "discriminator_widths": [32, 64],
    },
    domain=ColouredDigitDomain(_SHAPE, value_range=(-1.0, 1.0), flat=False),
)  # fmt: skip
