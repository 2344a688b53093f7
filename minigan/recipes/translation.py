"""Translation of pictures by pairs of examples: pix2pix (Isola et al., 2017), from outlines to digits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.domains.outlines import OutlineDomain
from minigan.nn import BatchNorm, Conv2d, ConvTranspose2d, LeakyReLU, Module, ReLU, Sequential, Tanh
from minigan.ops import absolute, concatenate, mean
from minigan.recipes.recipe import Recipe
from minigan.recipes.settings import Settings

_HALVED: dict[str, Any] = {"stride": 2, "padding": 1}  # with a 4 x 4 kernel; a transposed convolution doubles the sides


class UNet(Module):
    """Pictures (n, H, W, inputs) to pictures (n, H, W, outputs) in [-1, 1] (Ronneberger et al., 2015, figure 1).

    A convolution halves the sides for each of `widths`, one more sees the small picture, transposed convolutions double
    the sides again, and each size gets what was there before beside it (skip connections). Raises ValueError unless
    both sides of `shape`, (H, W, inputs), can be halved so often.
    """

    def __init__(self, shape: tuple[int, ...], outputs: int, widths: list[int], rng: np.random.Generator) -> None:
        height, width, inputs = shape
        _require_halvings("generator", height, width, widths)
        coming_down = [inputs, *widths[:-1]]
        self.down = [_halving(a, b, rng, norm=i > 0) for i, (a, b) in enumerate(zip(coming_down, widths, strict=True))]
        self.middle = Sequential(Conv2d(widths[-1], widths[-1], 3, rng, padding="same"), ReLU())
        coming_up = [widths[-1], *(2 * channels for channels in widths[-2::-1])]  # beside a skip connection from there
        going_up = [*widths[-2::-1], widths[0]]
        self.up = [_doubling(a, b, rng) for a, b in zip(coming_up, going_up, strict=True)]
        self.last = Sequential(Conv2d(widths[0] + inputs, outputs, 3, rng, padding="same"), Tanh())

    def forward(self, picture: Tensor) -> Tensor:
        before = list(itertools.accumulate(self.down, lambda x, layers: layers(x), initial=picture))
        x = self.middle(before.pop())
        for layers in self.up:
            x = concatenate([layers(x), before.pop()], axis=-1)
        return self.last(x)


class PatchDiscriminator(Module):
    """Logits (n, h, w, 1) of pictures, each about a patch of 18 x 18 pixels if there are two `widths`.

    Isola et al., 2017, section 3.2.2. Without batch norm, so that reals and fakes share a pass.
    """

    def __init__(self, shape: tuple[int, ...], widths: list[int], rng: np.random.Generator) -> None:
        height, width, channels = shape
        _require_halvings("discriminator", height, width, widths)
        layers = [_halving(a, b, rng, norm=False) for a, b in itertools.pairwise([channels, *widths])]
        self.layers = Sequential(*layers, Conv2d(widths[-1], 1, 3, rng, padding="same"))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures)


class Translator(Module):
    """The generator G(z, y) = network(y). The latent vector z has no effect.

    Isola et al., 2017, section 2.1: generators with both learn to ignore z; what they say of an outline is its most
    likely picture.
    """

    def __init__(self, network: Module) -> None:
        self.network = network

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.network(y)


class PatchPairDiscriminator(Module):
    """D(x, y): the logits (n, h, w, 1) of pictures x beside their conditions y, of the same height and width."""

    def __init__(self, network: Module) -> None:
        self.network = network

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.network(concatenate([x, y], axis=-1))


def l1_distance(fake: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
    """The mean absolute difference of the pixels (Isola et al., 2017, equation 3)."""
    return mean(absolute(fake - real))


def _halving(inputs: int, outputs: int, rng: np.random.Generator, *, norm: bool) -> Sequential:
    convolution = Conv2d(inputs, outputs, 4, rng, bias=not norm, **_HALVED)
    return Sequential(convolution, *([BatchNorm(outputs, momentum=0.9)] if norm else []), LeakyReLU(0.2))


def _doubling(inputs: int, outputs: int, rng: np.random.Generator) -> Sequential:
    convolution = ConvTranspose2d(inputs, outputs, 4, rng, bias=False, **_HALVED)
    return Sequential(convolution, BatchNorm(outputs, momentum=0.9), ReLU())


def _require_halvings(player: str, height: int, width: int, widths: list[int]) -> None:
    """Raise ValueError unless both sides can be halved once for each of `widths`."""
    if not widths:
        raise ValueError(f"the {player} needs at least one width; leave {player}_widths out")
    if height % 2 ** len(widths) or width % 2 ** len(widths):
        raise ValueError(
            f"its {player} halves a picture {len(widths)} times, so both sides of the pictures must be multiples of "
            f"{2 ** len(widths)}, not {height} x {width}; change image_size or the number of {player}_widths"
        )


def _networks(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    both = (*shape[:2], 2 * shape[2])
    return (
        Translator(UNet(shape, shape[2], s["generator_widths"], rng)),
        PatchPairDiscriminator(PatchDiscriminator(both, s["discriminator_widths"], rng)),
    )


EDGES_TO_DIGITS = Recipe(
    name="edges-to-digits",
    summary="pix2pix: from the outlines of digits to the digits, a U-Net against a discriminator of patches, with L1",
    networks=_networks,
    settings={
        "latent_size": 1, "batch_size": 32, "rate": 2e-3, "rate_schedule": "linear", "average": 0.99,
        "generator_widths": [32, 64], "discriminator_widths": [32, 64], "l1_weight": 20.0, "adversarial_weight": 1.0,
        "image_size": 0, "channels": 0, "fit": "crop",
    },
    steps=1000,
    domain=OutlineDomain((28, 28, 1)),
    meanings={
        "l1_weight": "what the mean absolute difference from the real picture is multiplied by in G's objective",
        "adversarial_weight": "what the loss against the discriminator is multiplied by there; 0: L1 alone",
    },
    objective=lambda s, generator, discriminator: {
        "generator_term": l1_distance,
        "generator_term_weight": s["l1_weight"],
        "adversarial_weight": s["adversarial_weight"],
    },
    fixed=("packing",),
)  # fmt: skip
