"""A recipe: networks, loss and settings that are known to train, under a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan import losses, random
from minigan.errors import UsageError, did_you_mean
from minigan.gan import GAN
from minigan.nn import Module
from minigan.optim import Adam

Settings = dict[str, Any]
Networks = Callable[[Settings, int, np.random.Generator], tuple[Module, Module]]


@dataclass(frozen=True)
class Recipe:
    """What `minigan train NAME` trains.

    `networks(settings, features, rng)` gives the generator, latent to (batch, features), and the discriminator,
    (batch, features) to logits (batch, 1); features is the number of pixels. `settings` holds the defaults of all
    that may be changed with `--set key=value`; pixels are scaled to `value_range`.
    """

    name: str
    summary: str
    networks: Networks
    settings: Settings
    steps: int
    value_range: tuple[float, float]

    def build(self, *, features: int = 784, seed: int = 0, dtype: str = "float32", **changes: Any) -> GAN:
        """The untrained GAN on the current backend; `changes` replace settings. Raises UsageError for unknown ones."""
        settings = self.resolve(changes)
        try:
            return self._build(settings, features, seed, dtype)
        except ValueError as error:
            changed = [f"{key}={value}" for key, value in settings.items() if value != self.settings[key]]
            raise UsageError(
                f"the recipe '{self.name}' cannot be built with {', '.join(changed) or 'its defaults'}: {error}."
            ) from None

    def _build(self, settings: Settings, features: int, seed: int, dtype: str) -> GAN:
        generator, discriminator = self.networks(settings, features, random.generator(seed, "initial weights"))
        rate, beta1 = settings["rate"], settings["beta1"]
        return GAN(
            generator.astype(dtype),
            discriminator.astype(dtype),
            losses.get(settings["loss"]),
            Adam(generator.parameters(), rate, beta1=beta1),
            Adam(discriminator.parameters(), rate, beta1=beta1),
            latent_size=settings["latent_size"],
            seed=seed,
        )

    def resolve(self, changes: Mapping[str, Any]) -> Settings:
        """All settings with `changes` applied; values may be text, as from `--set`. Raises UsageError."""
        settings = dict(self.settings)
        for key, value in changes.items():
            if key not in settings:
                raise UsageError(f"the recipe '{self.name}' has no setting '{key}'; {did_you_mean(key, settings)}")
            settings[key] = _like(self.settings[key], key, value)
        return settings


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
