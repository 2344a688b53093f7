"""GANs of convolutions: the DCGAN of Radford, Metz and Chintala, 2016, for 64 x 64 pixels, and smaller ones for digits.

From their paper: initial weights from N(0, 0.02^2), and batch norm in all layers but those that take or make pixels.
Kernels are 4 x 4, as in the common implementations, so that with a stride of 2 each pixel gets equally many taps.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from minigan.domains import ImageDomain
from minigan.nn import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    Module,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
    Upsample2d,
    init,
)
from minigan.recipes.recipe import Recipe, packed_shape
from minigan.recipes.settings import Settings

_COMMON: Settings = {
    "latent_size": 100,
    "batch_size": 64,
    "rate": 2e-4,
    "beta1": 0.5,
    "slope": 0.2,
    "norm_momentum": 0.9,
    "average": 0.995,
    "dropout": 0.0,
}
_SHAPE: Settings = {"image_size": 0, "channels": 0, "fit": "crop"}  # 0: as in the data
_WEIGHTS: dict[str, Any] = {"initializer": init.dcgan_normal}
# With these arguments a 4 x 4 kernel halves or doubles both sides of an image.
_STRIDED: dict[str, Any] = {"stride": 2, "padding": 1, **_WEIGHTS}
_SIXTEENTH, _LARGEST_SIDE = 16, 128  # four halvings; with larger pictures the first layer would be most of the network
_SAME: dict[str, Any] = {"padding": "same", **_WEIGHTS}


def _small_dcgan(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """Generator: dense, then transposed convolutions. Discriminator: convolutions, then dense."""
    return transposed_generator(s, shape, rng), small_discriminator(s, shape, rng, norm=True)


def _upsampling_dcgan(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """Generator: dense, then upsampling and convolutions. Discriminator: convolutions without batch norm."""
    return upsampling_generator(s, shape, rng), small_discriminator(s, shape, rng, norm=False)


def transposed_generator(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> Module:
    """Dense, then transposed convolutions with batch norm, each of which doubles the image, to pixels of `shape`."""
    layers = _dense_to_image(s, shape, len(s["generator_widths"]), rng)
    layers += _doubling_layers(s, rng, LeakyReLU(s["slope"]))
    return Sequential(*layers, ConvTranspose2d(s["generator_widths"][-1], shape[2], 4, rng, **_STRIDED), Tanh())


def upsampling_generator(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> Module:
    """Dense, then upsampling and convolutions with batch norm, which double the image, to pixels of `shape`."""
    layers = _dense_to_image(s, shape, len(s["generator_widths"]) - 1, rng)
    for inputs, outputs in itertools.pairwise(s["generator_widths"]):
        layers += [Upsample2d(), Conv2d(inputs, outputs, 3, rng, bias=False, **_SAME)]
        layers += [_norm(outputs, s), LeakyReLU(s["slope"])]
    return Sequential(*layers, Conv2d(s["generator_widths"][-1], shape[2], 3, rng, **_SAME), Tanh())


def _dcgan64(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """Radford et al., figure 1, with half the channels and, like their code, without biases."""
    _require_four_widths(s)
    if shape[:2] != (64, 64):
        raise ValueError(
            f"its pictures are 64 x 64, not {shape[0]} x {shape[1]}; name a folder of pictures with --data-dir, which "
            "are cut and resized to that, or take the recipe mnist-dcgan, which follows the size of the data, or dcgan"
        )
    return _halved_four_times(s, shape, rng)


def _dcgan(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """The networks of dcgan64 for any multiple of 16: the smallest image is 1/16 of the sides, not always 4 x 4."""
    _require_four_widths(s)
    if not all(side % _SIXTEENTH == 0 and side <= _LARGEST_SIDE for side in shape[:2]):
        raise ValueError(
            f"both sides of its pictures are multiples of {_SIXTEENTH} up to {_LARGEST_SIDE}, not {shape[0]} x "
            f"{shape[1]}; set image_size, such as 64, or 48x64 for a height of 48"
        )
    return _halved_four_times(s, shape, rng)


def _halved_four_times(s: Settings, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Module, Module]:
    """Four doublings of an image that the first layer makes of the latent vector, against four halvings."""
    latent, (height, width, channels) = s["latent_size"], shape
    small = height // _SIXTEENTH, width // _SIXTEENTH
    first, last = s["generator_widths"][0], s["generator_widths"][-1]
    generator = Sequential(
        Reshape(1, 1, latent),
        ConvTranspose2d(latent, first, small, rng, bias=False, **_WEIGHTS), _norm(first, s), ReLU(),
        *_doubling_layers(s, rng, ReLU()),
        ConvTranspose2d(last, channels, 4, rng, bias=False, **_STRIDED), Tanh(),
    )  # fmt: skip
    logit = Conv2d(s["discriminator_widths"][-1], 1, small, rng, bias=False, **_WEIGHTS)
    return generator, Sequential(*_halving_layers(s, packed_shape(s, shape)[2], rng, norm=True), logit, Flatten())


def _dense_to_image(s: Settings, shape: tuple[int, ...], doublings: int, rng: np.random.Generator) -> list[Module]:
    """Dense layers with batch norm to the small image that becomes `shape` after `doublings` doublings of its sides."""
    height, width, _ = shape
    if not s["generator_widths"]:
        raise ValueError("the generator needs at least one width; leave generator_widths out")
    if height % 2**doublings or width % 2**doublings:
        raise ValueError(
            f"its generator doubles a small picture {doublings} times, so both sides of the pictures must be multiples "
            f"of {2**doublings}, not {height} x {width}; change image_size or the number of generator_widths"
        )
    small = height >> doublings, width >> doublings, s["generator_widths"][0]
    hidden, inputs = _optional_dense(s, s["latent_size"], s["generator_dense"], rng, norm=True)
    dense = Dense(inputs, math.prod(small), rng, bias=False, **_WEIGHTS)
    return [*hidden, dense, Reshape(*small), _norm(small[2], s), LeakyReLU(s["slope"])]


def _optional_dense(
    s: Settings, inputs: int, width: int, rng: np.random.Generator, *, norm: bool
) -> tuple[list[Module], int]:
    """Dense (- batch norm) - LeakyReLU, and the number of their outputs; no layers and `inputs` if `width` is 0."""
    if not width:
        return [], inputs
    dense = Dense(inputs, width, rng, bias=not norm, **_WEIGHTS)
    return [dense, *([_norm(width, s)] if norm else []), LeakyReLU(s["slope"])], width


def _doubling_layers(s: Settings, rng: np.random.Generator, activation: Module) -> list[Module]:
    """Transposed convolution - batch norm - `activation`, from each of generator_widths to the next."""
    layers: list[Module] = []
    for inputs, outputs in itertools.pairwise(s["generator_widths"]):
        layers += [ConvTranspose2d(inputs, outputs, 4, rng, bias=False, **_STRIDED), _norm(outputs, s), activation]
    return layers


def _halving_layers(s: Settings, channels: int, rng: np.random.Generator, *, norm: bool) -> list[Module]:
    """Convolution (- batch norm, not in the first) - LeakyReLU (- dropout) for each of discriminator_widths."""
    layers: list[Module] = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise([channels, *s["discriminator_widths"]])):
        layers.append(Conv2d(inputs, outputs, 4, rng, bias=not norm, **_STRIDED))
        layers += [_norm(outputs, s)] if norm and index else []
        layers.append(LeakyReLU(s["slope"]))
        layers += [Dropout(s["dropout"], seed=int(rng.integers(2**62)))] if s["dropout"] else []
    return layers


def small_discriminator(s: Settings, shape: tuple[int, ...], rng: np.random.Generator, *, norm: bool) -> Module:
    """Convolutions (- batch norm) that halve the image, then dense layers to one logit."""
    (height, width, channels), widths = packed_shape(s, shape), s["discriminator_widths"]
    if not widths:
        raise ValueError("the discriminator needs at least one width; leave discriminator_widths out")
    if min(height, width) >> len(widths) == 0:
        raise ValueError(
            f"its discriminator halves a picture {len(widths)} times, and nothing is left of {height} x {width}; give "
            "fewer discriminator_widths"
        )
    convolutions = _halving_layers(s, channels, rng, norm=norm)
    flattened = (height >> len(widths)) * (width >> len(widths)) * widths[-1]
    hidden, inputs = _optional_dense(s, flattened, s["discriminator_dense"], rng, norm=norm)
    return Sequential(*convolutions, Flatten(), *hidden, Dense(inputs, 1, rng, **_WEIGHTS))


def _norm(features: int, s: Settings) -> BatchNorm:
    return BatchNorm(features, momentum=s["norm_momentum"], eps=1e-5)


def _require_four_widths(s: Settings) -> None:
    for name in ("generator_widths", "discriminator_widths"):
        if len(s[name]) != 4:
            raise ValueError(f"{name} takes 4 numbers, one for each halving, not {len(s[name])}")


MNIST_DCGAN = Recipe(
    name="mnist-dcgan",
    # The hidden dense layers and the generator's larger rate are InfoGAN's (Chen et al., 2016, appendix C.1), with
    # narrower layers. Without the dense layers the strokes are right after 2,000 steps, but many samples are no digits:
    # the mean confidence of a classifier is 85%, with them it is 95%.
    summary="a small DCGAN: transposed convolutions against convolutions, batch norm and a dense layer in both",
    networks=_small_dcgan,
    settings={
        **_COMMON, **_SHAPE, "rate": 4e-4, "generator_rate": 2e-3, "generator_dense": 512,
        "generator_widths": [128, 64], "discriminator_widths": [64, 128], "discriminator_dense": 256,
    },
    steps=4000,
    domain=ImageDomain((28, 28, 1), value_range=(-1.0, 1.0), flat=False),
)  # fmt: skip

MNIST_DCGAN_UPSAMPLE = Recipe(
    name="mnist-dcgan-upsample",
    summary="upsampling and convolutions with batch norm in the generator, dropout in the discriminator",
    # Hidden dense layers, which help mnist-dcgan, collapse to three digits here, where D has no batch norm.
    networks=_upsampling_dcgan,
    settings={
        **_COMMON, **_SHAPE, "slope": 0.01, "dropout": 0.3, "generator_dense": 0, "generator_widths": [128, 64, 32],
        "discriminator_widths": [32, 64, 128], "discriminator_dense": 0,
    },
    steps=4000,
    domain=ImageDomain((28, 28, 1), value_range=(-1.0, 1.0), flat=False),
)  # fmt: skip

DCGAN64 = Recipe(
    name="dcgan64",
    summary="the DCGAN of Radford et al., for a folder of pictures",
    networks=_dcgan64,
    settings={
        **_COMMON, "generator_widths": [512, 256, 128, 64], "discriminator_widths": [64, 128, 256, 512], "channels": 0,
        "fit": "crop",
    },
    steps=3000,
    domain=ImageDomain((64, 64, 3), value_range=(-1.0, 1.0), flat=False),
)  # fmt: skip

DCGAN = Recipe(
    name="dcgan",
    summary="the networks of dcgan64 for pictures of any size: both sides multiples of 16, from 16 to 128",
    networks=_dcgan,
    settings={
        **_COMMON, **_SHAPE, "generator_widths": [256, 128, 64, 32], "discriminator_widths": [32, 64, 128, 256],
    },
    steps=3000,
    domain=ImageDomain((32, 32, 3), value_range=(-1.0, 1.0), flat=False),
)  # fmt: skip
