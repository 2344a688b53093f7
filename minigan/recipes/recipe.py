"""A recipe: networks, loss and settings that are known to train, under a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan import losses, random
from minigan.data import ImageShape
from minigan.data.dataset import CHANNELS
from minigan.errors import UsageError, did_you_mean
from minigan.gan import GAN
from minigan.nn import Module
from minigan.optim import Adam

Settings = dict[str, Any]
Networks = Callable[[Settings, ImageShape, np.random.Generator], tuple[Module, Module]]


@dataclass(frozen=True)
class Recipe:
    """What `minigan train NAME` trains.

    `networks(settings, image_shape, rng)` gives the generator, latent to pictures, and the discriminator, pictures
    to logits (batch, 1), for pictures of `image_shape` (H, W, C): those of the data at hand. They are
    (batch, H * W * C) if the recipe is `flat`, else (batch, H, W, C). It raises ValueError, with a sentence that
    says what to do, for a shape or settings that do not suit.

    `settings` holds the defaults of all that may be changed with `--set key=value`; the generator learns at
    "generator_rate" where a recipe has one, else at "rate" like the discriminator, and samples come from its moving
    average with decay "average" where a recipe has that. Pixels are scaled to `value_range`. A folder of pictures is
    cut and resized to `image_shape`, or to what the settings "image_size" and "channels" (1 or 3) say, where a recipe
    has them.
    """

    name: str
    summary: str
    networks: Networks
    settings: Settings
    steps: int
    value_range: tuple[float, float]
    image_shape: ImageShape
    flat: bool

    def build(
        self, *, image_shape: ImageShape | None = None, seed: int = 0, dtype: str = "float32", **changes: Any
    ) -> GAN:
        """The untrained GAN on the current backend, for pictures of `image_shape` (None: of the wanted shape).

        `changes` replace settings. Raises UsageError for unknown ones, and where the networks cannot be made.
        """
        settings = self.resolve(changes)
        try:
            return self._build(settings, image_shape or self.wanted_shape(settings), seed, dtype)
        except ValueError as error:
            changed = [f"{key}={value}" for key, value in settings.items() if value != self.settings[key]]
            raise UsageError(
                f"the recipe '{self.name}' cannot be built with {', '.join(changed) or 'its defaults'}: {error}."
            ) from None

    def _build(self, settings: Settings, image_shape: ImageShape, seed: int, dtype: str) -> GAN:
        generator, discriminator = self.networks(settings, image_shape, random.generator(seed, "initial weights"))
        rate: float = settings["rate"]
        beta1: float = settings["beta1"]
        return GAN(
            generator.astype(dtype),
            discriminator.astype(dtype),
            losses.get(settings["loss"]),
            Adam(generator.parameters(), settings.get("generator_rate", rate), beta1=beta1),
            Adam(discriminator.parameters(), rate, beta1=beta1),
            latent_size=settings["latent_size"],
            seed=seed,
            average=settings.get("average", 0.0),
        )

    def resolve(self, changes: Mapping[str, Any]) -> Settings:
        """All settings with `changes` applied; values may be text, as from `--set`. Raises UsageError."""
        settings = dict(self.settings)
        for key, value in changes.items():
            if key not in settings:
                raise UsageError(f"the recipe '{self.name}' has no setting '{key}'; {did_you_mean(key, settings)}")
            settings[key] = _like(self.settings[key], key, value)
        _require_a_picture(settings)
        return settings

    def wanted_shape(self, settings: Settings) -> ImageShape:
        """(H, W, C) to which a folder of pictures is cut and resized, by all `settings` as `resolve` gives them."""
        height, width, channels = self.image_shape
        size = settings.get("image_size")
        return size or height, size or width, settings.get("channels", channels)


def _require_a_picture(settings: Settings) -> None:
    if settings.get("image_size", 1) < 1:
        raise UsageError(f"the setting 'image_size' must be at least 1 pixel, not {settings['image_size']}.")
    if settings.get("channels", 1) not in CHANNELS:
        raise UsageError(f"the setting 'channels' must be 1 (grey) or 3 (colour), not {settings['channels']}.")


def _like(default: Any, key: str, value: Any) -> Any:
    """`value` as the type of `default`: a number, a word, or a list of whole numbers such as 256,512."""
    kind = "a list of whole numbers like 256,512" if isinstance(default, list) else f"a {_KINDS[type(default)]}"
    try:
        if isinstance(default, list):
            converted: Any = [int(part) for part in (value.split(",") if isinstance(value, str) else value)]
        else:
            converted = type(default)(value)
            if isinstance(default, int) and converted != float(value):
                raise ValueError
    except (TypeError, ValueError):
        raise UsageError(f"the setting '{key}' must be {kind}, not '{value}'; its default is {default}.") from None
    numbers = converted if isinstance(converted, list) else [converted]
    if not all(isinstance(number, str) or 0 <= number < float("inf") for number in numbers):
        raise UsageError(f"the setting '{key}' must be {kind}, finite and not negative, not '{value}'.")
    return converted


_KINDS = {int: "whole number", float: "number", str: "word"}
