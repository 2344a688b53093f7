"""What the recipes for pairs of pictures share: a discriminator of both pictures, and the squared error."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.nn import Conv2d, Dense, Flatten, LeakyReLU, Module, Sequential, init
from minigan.optim.schedules import Rise
from minigan.recipes.recipe import packed_shape
from minigan.recipes.settings import Settings

_STRIDED: dict[str, Any] = {"stride": 2, "padding": 1, "initializer": init.dcgan_normal}


class PairDiscriminator(Module):
    """A discriminator of pictures x (n, H, W, C) beside their conditions y (n, h, w, c).

    Halving convolutions of x beside y, which is enlarged `enlargement` times by repeating pixels, and a dense layer to
    one logit. channels: those of y. Raises ValueError if nothing is left of a picture after all halvings.
    """

    def __init__(
        self, s: Settings, shape: tuple[int, ...], rng: np.random.Generator, *, channels: int, enlargement: int = 1
    ) -> None:
        height, width, inputs = packed_shape(s, shape)
        self.enlargement, inputs = enlargement, inputs + s["packing"] * channels
        layers: list[Module] = []
        for outputs in s["discriminator_widths"]:
            layers += [Conv2d(inputs, outputs, 4, rng, **_STRIDED), LeakyReLU(s["slope"])]
            inputs, height, width = outputs, height // 2, width // 2
        if not (height and width):
            raise ValueError(
                f"its discriminator halves a picture {len(s['discriminator_widths'])} times, and nothing is left of "
                f"{shape[0]} x {shape[1]}; give fewer discriminator_widths"
            )
        self.body = Sequential(*layers, Flatten(), Dense(height * width * inputs, 1, rng))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.body(ops.concatenate([x, ops.upsample2d(y, self.enlargement)], axis=-1))


def squared_error(fake: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
    """The mean squared difference of the pixels, a further term of the generator's objective."""
    difference = fake - real
    return ops.mean(difference * difference)


def pixel_and_adversarial(s: Settings, generator: Module, discriminator: Module) -> dict[str, Any]:
    """The objective squared error + adversarial * loss of the generator.

    The second weight is 0 for the first `pixel_steps` steps and rises to the setting "adversarial" in as many again.
    """
    weight = Rise(s["adversarial"], s["pixel_steps"], max(1, s["pixel_steps"]))
    return {"generator_term": squared_error, "adversarial_weight": weight}
