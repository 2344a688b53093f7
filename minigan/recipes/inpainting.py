"""Inpainting by a context encoder with an adversarial loss (Pathak et al., 2016)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.domains.holes import HoleDomain
from minigan.nn import Conv2d, ConvTranspose2d, Dense, Flatten, LeakyReLU, Module, Reshape, Sequential, init
from minigan.recipes.pair_networks import PairDiscriminator, pixel_and_adversarial
from minigan.recipes.recipe import Recipe
from minigan.recipes.settings import Settings

_HE: dict[str, Any] = {"stride": 2, "padding": 1, "initializer": init.he_normal}
_LAST: dict[str, Any] = {**_HE, "initializer": init.dcgan_normal}


class ContextEncoder(Module):
    """The generator: y, a picture with a hole and a channel that marks it, (n, H, W, C + 1), to x (n, H, W, C).

    Halvings, two dense layers in which every part of the picture meets every other, and doublings; the features before
    the dense layers go beside those of the same size after them, as in a U-Net (Ronneberger et al., 2015). Known pixels
    are copied from y. The latent vector z is not used.
    """

    def __init__(self, shape: tuple[int, ...], s: Settings, rng: np.random.Generator) -> None:
        (height, width, channels), widths, dense = shape, s["generator_widths"], s["generator_dense"]
        activation = LeakyReLU(s["slope"])
        self.halvings = [
            Sequential(Conv2d(inputs, outputs, 4, rng, **_HE), activation)
            for inputs, outputs in itertools.pairwise([channels + 1, *widths])
        ]
        small = height >> len(widths), width >> len(widths), widths[-1]
        numbers = small[0] * small[1] * small[2]
        self.context = Sequential(
            Flatten(), Dense(numbers, dense, rng, initializer=init.he_normal), activation,
            Dense(dense, numbers, rng, initializer=init.he_normal), activation, Reshape(*small),
        )  # fmt: skip
        self.doublings = [
            Sequential(ConvTranspose2d(2 * inputs, outputs, 4, rng, **_HE), activation)
            for outputs, inputs in reversed(list(itertools.pairwise(widths)))
        ]
        self.pixels = ConvTranspose2d(2 * widths[0], channels, 4, rng, **_LAST)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        features = [y]
        for halve in self.halvings:
            features.append(halve(features[-1]))
        x = self.context(features[-1])
        for double in (*self.doublings, self.pixels):
            x = double(ops.concatenate([x, features.pop()], axis=-1))
        is_hole = (y[..., -1:] + 1) * 0.5  # the channel is -1 or 1
        return y[..., :-1] * (1 - is_hole) + ops.tanh(x) * is_hole


def networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """The networks for pictures of `shape` (H, W, C); raises ValueError for impossible settings."""
    halvings = len(s["generator_widths"])
    if not halvings:
        raise ValueError("the generator needs at least one width; leave generator_widths out")
    if any(side % 2**halvings for side in shape[:2]):
        raise ValueError(
            f"its generator halves a picture {halvings} times, so both sides must be multiples of {2**halvings}, not "
            f"{shape[0]} x {shape[1]}; change image_size or the number of generator_widths"
        )
    return ContextEncoder(shape, s, rng), PairDiscriminator(s, shape, rng, channels=shape[2] + 1)


_SETTINGS: Settings = {
    "hole": "centre", "image_size": 0, "channels": 0, "fit": "crop", "latent_size": 1, "batch_size": 64, "rate": 2e-4,
    "generator_rate": 1e-3, "rate_schedule": "cosine", "adversarial": 0.001, "pixel_steps": 400, "slope": 0.2,
    "generator_widths": [32, 64], "generator_dense": 256, "discriminator_widths": [32, 64, 128],
}  # fmt: skip
MNIST_INPAINT = Recipe(
    name="mnist-inpaint",
    summary="a context encoder that fills a hole in digits, with squared error and an adversarial loss",
    networks=networks,
    settings=_SETTINGS,
    steps=3000,
    domain=HoleDomain((28, 28, 1)),
    objective=pixel_and_adversarial,
)
FACES_INPAINT = Recipe(
    name="faces-inpaint",
    summary="the same for a folder of pictures, by default grey ones of 64 x 64 pixels with a smaller hole anywhere",
    networks=networks,
    settings={**_SETTINGS, "hole": "random", "batch_size": 16, "generator_widths": [32, 64, 128]},
    steps=2000,
    domain=HoleDomain((64, 64, 1)),
    objective=pixel_and_adversarial,
)
