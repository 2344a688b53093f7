"""A recipe: a named choice of networks, loss and settings that is known to train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError, did_you_mean
from minigan.domains import Domain
from minigan.gan import GAN
from minigan.nn import Module
from minigan.recipes.build import build_gan
from minigan.recipes.settings import COMMON, INEFFECTIVE_WITH, Settings, require_feasible

Networks = Callable[[Settings, tuple[int, ...], np.random.Generator], tuple[Module, Module]]


@dataclass(frozen=True)
class Recipe:
    """A choice of networks, loss and settings that `minigan train NAME` trains on the kind of data of `domain`.

    summary: one line for `minigan recipes`. steps: the default number of training steps.

    networks(settings, shape, rng): the generator, latent vectors to examples, and the discriminator, examples to
    logits (batch, 1), for examples of `shape`. If the setting "packing" is not 1, the discriminator takes that many
    times the channels (see `packed_shape`). The function raises ValueError, saying what to do, for an impossible shape
    or settings.

    settings: the defaults of all that `--set key=value` can change, the recipe's own first, then those that all recipes
    have in common (see minigan.recipes.settings).
    """

    name: str
    summary: str
    networks: Networks
    settings: Settings
    steps: int
    domain: Domain[Any]

    def __post_init__(self) -> None:
        common = {key: value for key, value in COMMON.items() if key not in self.settings}
        object.__setattr__(self, "settings", self.settings | common)

    def build(
        self,
        *,
        shape: tuple[int, ...] | None = None,
        steps: int | None = None,
        seed: int = 0,
        dtype: str = "float32",
        **changes: Any,
    ) -> GAN:
        """The untrained GAN on the current backend, for examples of `shape` (None: that of the settings).

        steps: the length of schedules (None: the recipe's number of steps). changes: settings other than the defaults.
        Raises UsageError for unknown settings and if the networks cannot be built.
        """
        settings = self.resolve(changes)
        try:
            networks = self.networks(
                settings, shape or self.domain.wanted_shape(settings), random.generator(seed, "initial weights")
            )
            return build_gan(networks, settings, steps or self.steps, seed, dtype)
        except ValueError as error:
            changed = [f"{key}={value}" for key, value in settings.items() if value != self.settings[key]]
            sentence = f"the recipe '{self.name}' cannot be built with {', '.join(changed) or 'its defaults'}: {error}"
            raise UsageError(sentence if sentence.endswith((".", "?")) else f"{sentence}.") from None

    def resolve(self, changes: Mapping[str, Any]) -> Settings:
        """All settings, with `changes` applied; their values may be text, as from `--set`.

        Raises UsageError for unknown names and for values of the wrong type or out of range.
        """
        settings = dict(self.settings)
        for key, value in changes.items():
            if key not in settings:
                raise UsageError(f"the recipe '{self.name}' has no setting '{key}'; {did_you_mean(key, settings)}")
            settings[key] = _converted(self.settings[key], key, value)
        require_feasible(settings)
        self.domain.check_settings(settings)
        return settings

    def require_effect(self, named: Iterable[str], settings: Settings) -> None:
        """Raise UsageError if a setting in `named` differs from its default but has no effect, given all `settings`."""
        for key in named:
            for other, value in INEFFECTIVE_WITH.get(key, ()):
                if settings[other] == value and settings[key] != self.settings[key]:
                    raise UsageError(
                        f"the setting '{key}' has no effect while {other} is {value}; leave it out, or change {other}."
                    )


def packed_shape(settings: Settings, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that the discriminator takes: `packing` examples of `shape`, concatenated along the last axis.

    Raises ValueError if the packing is below 1.
    """
    if settings["packing"] < 1:
        raise ValueError(f"packing is {settings['packing']}, expected a whole number of at least 1")
    return (*shape[:-1], shape[-1] * settings["packing"])


def _converted(default: Any, key: str, value: Any) -> Any:
    """`value` of the setting `key` in the type of `default`: a number, a word or a list of whole numbers (256,512)."""
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
    """`value`, a number or text, as an int; raises ValueError, TypeError or OverflowError if it is not whole."""
    number = int(value)
    if number != float(value):
        raise ValueError
    return number


_KINDS = {int: "whole number", float: "number", str: "word"}
