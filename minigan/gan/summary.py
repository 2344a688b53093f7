"""A GAN in words: its networks layer by layer, its optimisers and its settings."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.core.errors import clause
from minigan.gan.interface import GANInterface
from minigan.gan.penalties import PENALTIES
from minigan.gan.rules import Rules
from minigan.nn.summary import Summary


@dataclass(frozen=True)
class GANSummary:
    """Both networks of a GAN as tables of layers: `str` and `repr` give text, notebooks show HTML.

    settings: loss, penalty, rules and so on in one line. generator, discriminator: see `Module.summary`.
    generator_optimizer, discriminator_optimizer: in one line.
    """

    settings: str
    generator: Summary
    generator_optimizer: str
    discriminator: Summary
    discriminator_optimizer: str

    def _parts(self) -> list[tuple[str, Summary]]:
        return [
            (f"generator, trained by {self.generator_optimizer}", self.generator),
            (f"discriminator, trained by {self.discriminator_optimizer}", self.discriminator),
        ]

    def __str__(self) -> str:
        return "\n\n".join([self.settings, *(f"{title}\n{table}" for title, table in self._parts())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [f"<p>{html.escape(title)}</p>{table._repr_html_()}" for title, table in self._parts()]
        return f"<p>{html.escape(self.settings)}</p>{''.join(parts)}"


def summarize(gan: GANInterface, condition_shape: int | tuple[int, ...] | None) -> GANSummary:
    """The summary of `gan`; see `GAN.summary`."""
    conditions: list[tuple[int, ...]] = []
    if condition_shape is not None:
        whole = isinstance(condition_shape, (int, np.integer))
        conditions = [(int(condition_shape),) if whole else tuple(condition_shape)]  # type: ignore[arg-type]
    packing = gan.rules.packing
    try:
        latent = np.zeros((packing, gan.latent_size))
        samples = gan.sample(latent, *[np.zeros((packing, *shape)) for shape in conditions])
    except ValueError as error:
        raise ValueError(
            f"{clause(error)}; summary takes the shape of a condition, such as condition_shape=() for class numbers"
        ) from error
    data_shape = gan.rules.discriminator_input_shape(samples.shape)[1:]
    return GANSummary(
        settings(gan),
        gan.generator.summary(gan.latent_size, *conditions),
        repr(gan.generator_optimizer),
        gan.discriminator.summary(data_shape, *conditions),
        repr(gan.discriminator_optimizer),
    )


def settings(gan: GANInterface) -> str:
    """The settings of `gan` in one line, without those that have no effect."""
    parts = [f"loss='{gan.loss.name}'"]
    if gan.penalty is not None:
        parts += [f"penalty={_name(gan.penalty)}", f"penalty_weight={gan.penalty_weight!r}"]
        parts += [f"penalty_every={gan.penalty_every}"] if gan.penalty_every > 1 else []
    if gan.generator_term is not None:
        parts += [f"generator_term={_name(gan.generator_term)}", f"generator_term_weight={gan.generator_term_weight!r}"]
    parts += [f"adversarial_weight={gan.adversarial_weight!r}"] if gan.adversarial_weight != 1.0 else []
    parts.append(f"latent_size={gan.latent_size}")
    parts += [f"ema_decay={gan.ema.decay}"] if gan.ema else []
    parts += [f"rules={_changed(gan.rules)}"] if gan.rules != Rules() else []
    return f"GAN({', '.join(parts)}), {gan.step:,} steps taken"


def description(gan: GANInterface) -> str:
    """The settings, networks and optimisers of `gan`, a line each."""
    lines = [settings(gan)]
    for player in ("generator", "discriminator"):
        lines.append(f"  {player}: {getattr(gan, player)!r}")
        lines.append(f"    {getattr(gan, f'{player}_optimizer')!r}")
    return "\n".join(lines)


def _name(function: Any) -> str:
    names = [name for name, known in PENALTIES.items() if known is function]
    return f"'{names[0]}'" if names else getattr(function, "__name__", type(function).__name__)


def _changed(rules: Rules) -> str:
    """Rules with the settings that are not those of Algorithm 1."""
    changed = {name: value for name, value in vars(rules).items() if value != getattr(Rules, name)}
    return f"Rules({', '.join(f'{name}={value!r}' for name, value in changed.items())})"
