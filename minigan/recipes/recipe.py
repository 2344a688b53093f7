"""A recipe: networks, loss and settings that are known to train, under a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError, did_you_mean
from minigan.data import ImageShape, mixtures
from minigan.data.dataset import CHANNELS
from minigan.data.points import Points
from minigan.gan import GAN
from minigan.nn import Module
from minigan.recipes.game import COMMON, IDLE, Settings, gan_of, require_feasible

Networks = Callable[[Settings, tuple[int, ...], np.random.Generator], tuple[Module, Module]]


@dataclass(frozen=True)
class Recipe(ABC):
    """What `minigan train NAME` trains; subclasses say on what kind of data.

    `networks(settings, shape, rng)` gives the generator, latent to examples, and the discriminator, examples to logits
    (batch, 1), for examples of `shape`: those of the data at hand. Where the setting "packing" is not 1 the
    discriminator takes so many times the channels (see `packed_shape`). It raises ValueError, with a sentence that
    says what to do, for a shape or settings that do not suit.

    `settings` holds the defaults of all that may be changed with `--set key=value`: its own, and after them those
    that all recipes have in common (see minigan.recipes.game).
    """

    name: str
    summary: str
    networks: Networks
    settings: Settings
    steps: int

    def __post_init__(self) -> None:
        common = {key: value for key, value in COMMON.items() if key not in self.settings}
        object.__setattr__(self, "settings", self.settings | common)

    @abstractmethod
    def wanted_shape(self, settings: Settings) -> tuple[int, ...]:
        """The shape of an example, where the data do not say otherwise, by all `settings` as `resolve` gives them."""

    def build(
        self,
        *,
        shape: tuple[int, ...] | None = None,
        steps: int | None = None,
        seed: int = 0,
        dtype: str = "float32",
        **changes: Any,
    ) -> GAN:
        """The untrained GAN on the current backend, for examples of `shape` (None: of the wanted shape).

        Schedules are laid out over `steps` (None: the recipe's). `changes` replace settings. Raises UsageError for
        unknown ones, and where the networks cannot be made.
        """
        settings = self.resolve(changes)
        try:
            networks = self.networks(
                settings, shape or self.wanted_shape(settings), random.generator(seed, "initial weights")
            )
            return gan_of(networks, settings, steps or self.steps, seed, dtype)
        except ValueError as error:
            changed = [f"{key}={value}" for key, value in settings.items() if value != self.settings[key]]
            said = f"the recipe '{self.name}' cannot be built with {', '.join(changed) or 'its defaults'}: {error}"
            raise UsageError(said if said.endswith((".", "?")) else f"{said}.") from None

    def resolve(self, changes: Mapping[str, Any]) -> Settings:
        """All settings with `changes` applied; values may be text, as from `--set`. Raises UsageError."""
        settings = dict(self.settings)
        for key, value in changes.items():
            if key not in settings:
                raise UsageError(f"the recipe '{self.name}' has no setting '{key}'; {did_you_mean(key, settings)}")
            settings[key] = _like(self.settings[key], key, value)
        require_feasible(settings)
        return settings

    def require_effect(self, named: Iterable[str], settings: Settings) -> None:
        """Raise UsageError if a setting that somebody `named`, not at its default, has no effect in all `settings`."""
        for key in named:
            for other, value in IDLE.get(key, ()):
                if settings[other] == value and settings[key] != self.settings[key]:
                    raise UsageError(
                        f"the setting '{key}' has no effect while {other} is {value}; leave it out, or change {other}."
                    )


@dataclass(frozen=True)
class PictureRecipe(Recipe):
    """A recipe for pictures.

    They are (batch, H * W * C) if it is `flat`, else (batch, H, W, C), their pixels scaled to `value_range`. A folder
    of pictures is cut and resized to `image_shape`; pictures that come as an array, as from IDX files, keep the shape
    that they have. Of both, where a recipe has the settings "image_size" (of a side) and "channels" (1 or 3), these say
    otherwise unless they are 0.
    """

    value_range: tuple[float, float]
    image_shape: ImageShape
    flat: bool

    def resolve(self, changes: Mapping[str, Any]) -> Settings:
        """All settings with `changes` applied; values may be text, as from `--set`. Raises UsageError."""
        settings = super().resolve(changes)
        if settings.get("channels", 0) not in (0, *CHANNELS):
            raise UsageError(
                f"the setting 'channels' must be 1 (grey) or 3 (colour), or 0 (as the data are), not "
                f"{settings['channels']}."
            )
        return settings

    def wanted_shape(self, settings: Settings) -> ImageShape:
        """(H, W, C) to which a folder of pictures is cut and resized, by all `settings` as `resolve` gives them."""
        return self.fitted_shape(settings, self.image_shape)

    def fitted_shape(self, settings: Settings, found: ImageShape) -> ImageShape:
        """(H, W, C) to which pictures of the shape `found` are cut and resized: what `settings` name, else `found`."""
        height, width, channels = found
        size = settings.get("image_size")
        return size or height, size or width, settings.get("channels") or channels


@dataclass(frozen=True)
class PointRecipe(Recipe):
    """A recipe for points of the plane, drawn anew at each step from the distribution `target` (see data.mixtures).

    Unless it is `scaled` the networks see the points as they are, else at unit root mean square.
    """

    target: str
    scaled: bool = True

    def wanted_shape(self, settings: Settings) -> tuple[int, ...]:
        """(2,)."""
        return (2,)

    def points(self) -> Points:
        """The data."""
        return Points(mixtures.get(self.target), scaled=self.scaled)


def packed_shape(settings: Settings, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what the discriminator judges at once: `packing` examples of `shape`, side by side in the last axis.

    Raises ValueError if the packing is below 1.
    """
    if settings["packing"] < 1:
        raise ValueError(f"packing is {settings['packing']}, expected a whole number of at least 1")
    return (*shape[:-1], shape[-1] * settings["packing"])


def _like(default: Any, key: str, value: Any) -> Any:
    """`value` as the type of `default`: a number, a word, or a list of whole numbers such as 256,512."""
    kind = "a list of whole numbers like 256,512" if isinstance(default, list) else f"a {_KINDS[type(default)]}"
    try:
        if isinstance(value, bool) or (isinstance(default, str) and not isinstance(value, str)):
            raise TypeError
        if isinstance(default, list):
            converted: Any = [_whole(part) for part in (value.split(",") if isinstance(value, str) else value)]
        else:
            converted = _whole(value) if isinstance(default, int) else type(default)(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"the setting '{key}' must be {kind}, not '{value}'; its default is {default}.") from None
    numbers = converted if isinstance(converted, list) else [converted]
    if not all(isinstance(number, str) or 0 <= number < float("inf") for number in numbers):
        raise UsageError(f"the setting '{key}' must be {kind}, finite and not negative, not '{value}'.")
    return converted


def _whole(value: Any) -> int:
    """`value`, a number or its text, as a whole number; raises ValueError, TypeError or OverflowError if it is none."""
    number = int(value)
    if number != float(value):
        raise ValueError
    return number


_KINDS = {int: "whole number", float: "number", str: "word"}
