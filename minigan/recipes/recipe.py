"""A recipe: a named choice of networks, loss and settings that is known to train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core import random, user_file
from minigan.core.errors import UsageError, did_you_mean
from minigan.domains import Domain
from minigan.gan import GAN
from minigan.nn import Module
from minigan.recipes import values
from minigan.recipes.build import build_gan
from minigan.recipes.settings import COMMON, INEFFECTIVE_WITH, MEANINGS, Settings, is_scheduled, require_feasible

Networks = Callable[[Settings, tuple[int, ...], np.random.Generator], tuple[Module, Module]]
Objective = Callable[[Settings, Module, Module], Mapping[str, Any]]


@dataclass(frozen=True)
class RecipeFile:
    """The Python file of a recipe of the user's: its absolute path, and the SHA-256 of its content in hex."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Recipe:
    """A choice of networks, loss and settings that `minigan train NAME` trains on the kind of data of `domain`.

    summary: one line for `minigan recipes`. steps: the default number of training steps.

    networks(settings, shape, rng): the generator, latent vectors to examples, and the discriminator, examples to
    logits (batch, 1), for examples of `shape`. If the setting "packing" is not 1, the discriminator takes that many
    times the channels (see `packed_shape`). The function raises ValueError, saying what to do, for an impossible shape
    or settings.

    settings: the defaults of all that `--set key=value` can change, the recipe's own first, then those that all recipes
    have in common (see minigan.recipes.settings). meanings: what the recipe's own settings mean, for `minigan recipes
    NAME`; those of minigan's recipes are known.

    objective(settings, generator, discriminator): further arguments of the GAN, by name, such as {"loss": ...} or
    {"generator_term": ...}; fixed: the common settings that it decides, which the recipe then does not have.

    file: where a recipe of the user's comes from (see minigan.recipes.user_recipe); None for minigan's.
    """

    name: str
    summary: str
    networks: Networks
    settings: Settings
    steps: int
    domain: Domain[Any]
    meanings: Mapping[str, str] = field(default_factory=dict)
    objective: Objective | None = None
    fixed: tuple[str, ...] = ()
    file: RecipeFile | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        common = {key: value for key, value in COMMON.items() if key not in (*self.settings, *self.fixed)}
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
        length = settings["schedule_steps"] or steps or self.steps
        try:
            return self._build(settings, shape or self.domain.wanted_shape(settings), length, seed, dtype)
        except ValueError as error:
            changed = [f"{key}={value}" for key, value in settings.items() if value != self.settings[key]]
            sentence = f"the recipe '{self.name}' cannot be built with {', '.join(changed) or 'its defaults'}: {error}"
            sentence = sentence.rstrip(".") + self.place(error)
            raise UsageError(sentence if sentence.endswith((".", "?")) else f"{sentence}.") from None

    def _build(self, settings: Settings, shape: tuple[int, ...], steps: int, seed: int, dtype: str) -> GAN:
        """The GAN with all `settings`; raises ValueError for settings or a shape that are impossible."""
        networks = self.networks(settings, shape, random.generator(seed, "initial weights"))
        rng = random.generator(seed, "conditions of the networks")
        return build_gan(
            networks,
            COMMON | settings,
            steps,
            seed,
            dtype,
            objective=self.objective,
            conditions=lambda count: self.domain.noise_condition(count, settings, rng, dtype),
        )

    def place(self, error: BaseException) -> str:
        """The line of the user's file in which `error` was raised, in brackets after a space; "" if there is none."""
        line = user_file.last_line(Path(self.file.path), error)[0] if self.file else None
        return f" ({Path(self.file.path).name}, line {line})" if self.file and line else ""

    def meaning(self, key: str) -> str:
        """What the setting `key` means, for people to read; "" if nobody has said so."""
        for meanings in (self.meanings, self.domain.setting_meanings, MEANINGS):
            if key in meanings:
                return meanings[key]
        return ""

    def is_scheduled(self, settings: Settings) -> bool:
        """Whether a schedule under `settings` depends on the length of the run, unless "schedule_steps" is set."""
        return is_scheduled(COMMON | settings)

    def resolve(self, changes: Mapping[str, Any]) -> Settings:
        """All settings, with `changes` applied; their values may be text, as from `--set`.

        Raises UsageError for unknown names and for values of the wrong type or out of range.
        """
        settings = dict(self.settings)
        for key, value in changes.items():
            if key in self.fixed:
                raise UsageError(f"the recipe '{self.name}' decides '{key}' itself; leave the setting '{key}' out.")
            if key not in settings:
                raise UsageError(f"the recipe '{self.name}' has no setting '{key}'; {did_you_mean(key, settings)}")
            settings[key] = values.converted(self.settings[key], key, value)
        require_feasible(settings)
        self.domain.check_settings(settings)
        return settings

    def require_effect(self, named: Iterable[str], settings: Settings) -> None:
        """Raise UsageError if a setting in `named` differs from its default but has no effect, given all `settings`."""
        named = list(named)
        if "schedule_steps" in named and settings["schedule_steps"] and not self.is_scheduled(settings):
            raise UsageError(
                "the setting 'schedule_steps' has no effect while nothing is scheduled; leave it out, or set "
                "rate_schedule, penalty_anneal or instance_noise."
            )
        for key in named:
            for other, value in INEFFECTIVE_WITH.get(key, ()):
                if settings.get(other) == value and settings[key] != self.settings[key]:
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
