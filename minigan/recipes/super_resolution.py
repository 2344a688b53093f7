"""Super-resolution: a generator that enlarges pictures, against a discriminator that sees both sizes.

After the SRGAN of Ledig et al., 2017: the generator first learns by the squared error alone, then also to deceive the
discriminator. Without the second part its pictures are the means of all that are possible, and blurred.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.domains.low_resolution import LowResolutionDomain
from minigan.nn import Conv2d, LeakyReLU, Module, Residual, Sequential, Upsample2d, init
from minigan.recipes.pair_networks import PairDiscriminator, pixel_and_adversarial
from minigan.recipes.recipe import Recipe
from minigan.recipes.settings import Settings

_SAME: dict[str, Any] = {"padding": "same", "initializer": init.he_normal}


class Enlarger(Module):
    """The generator: y (n, h, w, C) to (n, h * scale, w * scale, C), which is fully convolutional.

    Residual blocks at the size of y, then doublings up to the size of x; the output is added to y enlarged by repeating
    pixels, so only what is missing there is learned. The latent vector z is not used: one y has one x.
    """

    def __init__(self, channels: int, s: Settings, rng: np.random.Generator) -> None:
        self.scale, (low, high) = s["scale"], s["generator_widths"]
        layers: list[Module] = [Conv2d(channels, low, 3, rng, **_SAME), LeakyReLU(s["slope"])]
        for _ in range(s["blocks"]):
            block = Conv2d(low, low, 3, rng, **_SAME), LeakyReLU(s["slope"]), Conv2d(low, low, 3, rng, **_SAME)
            layers.append(Residual(*block))
        for doubling in range(self.scale.bit_length() - 1):
            inputs = low if doubling == 0 else high
            layers += [Upsample2d(), Conv2d(inputs, high, 3, rng, **_SAME), LeakyReLU(s["slope"])]
        pixels = Conv2d(high, channels, 3, rng, padding="same", initializer=init.dcgan_normal)  # little at first
        self.residue = Sequential(*layers, pixels)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return ops.upsample2d(y, self.scale) + self.residue(y)


def networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """The networks for pictures of `shape` (H, W, C); raises ValueError for impossible settings."""
    if len(s["generator_widths"]) != 2:
        raise ValueError("generator_widths takes 2 numbers, for the small size and for the larger ones")
    if any(side % s["scale"] for side in shape[:2]):
        raise ValueError(f"the sides of its pictures must be multiples of scale {s['scale']}, not {shape[:2]}")
    return Enlarger(shape[2], s, rng), PairDiscriminator(s, shape, rng, channels=shape[2], enlargement=s["scale"])


def reach(s: Settings) -> int:
    """How many pixels of y away from its place an output pixel of the generator may depend on.

    One for the first convolution, two for each block, and less than two for all convolutions after doublings.
    """
    return 3 + 2 * int(s["blocks"])


_SETTINGS: Settings = {
    "scale": 4, "image_size": 0, "channels": 0, "fit": "crop", "latent_size": 1, "batch_size": 32, "rate": 2e-4,
    "generator_rate": 1e-3, "rate_schedule": "cosine", "adversarial": 0.01, "pixel_steps": 400, "blocks": 4,
    "slope": 0.2, "generator_widths": [64, 32], "discriminator_widths": [32, 64, 128],
}  # fmt: skip
MNIST_SR = Recipe(
    name="mnist-sr",
    summary="super-resolution of digits, 4 times or 2 times, with squared error and an adversarial loss",
    networks=networks,
    settings=_SETTINGS,
    steps=2000,
    domain=LowResolutionDomain((28, 28, 1)),
    objective=pixel_and_adversarial,
)
FACES_SR = Recipe(
    name="faces-sr",
    summary="the same for a folder of pictures, by default grey ones of 64 x 64 pixels",
    networks=networks,
    settings={**_SETTINGS, "batch_size": 8},
    steps=1500,
    domain=LowResolutionDomain((64, 64, 1)),
    objective=pixel_and_adversarial,
)
