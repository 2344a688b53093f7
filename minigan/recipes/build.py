"""Builds the GAN of two networks with the settings of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minigan import optim
from minigan.autodiff import Tensor, no_grad
from minigan.autodiff.parameter import Parameter
from minigan.core import random
from minigan.core.errors import did_you_mean
from minigan.gan import GAN, losses, penalties
from minigan.gan.conditions import as_arguments
from minigan.gan.rules import Rules, pack
from minigan.nn import Module, spectral_norm
from minigan.nn.module import preserve_state
from minigan.optim import schedules
from minigan.recipes.settings import NONE, Settings


def build_gan(
    networks: tuple[Module, Module],
    s: Settings,
    steps: int,
    seed: int,
    dtype: str,
    *,
    objective: Callable[[Settings, Module, Module], Mapping[str, Any]] | None = None,
    conditions: Callable[[int], np.ndarray | None] = lambda count: None,
) -> GAN:
    """The GAN of (generator, discriminator) with all settings `s` and schedules over `steps`.

    objective: see Recipe; the networks that it gets have `dtype`. conditions(count): conditions (count, ...) such as
    the networks get, None for a GAN without.

    Raises ValueError for settings that are impossible or contradict each other.
    """
    generator, discriminator = networks
    rules = Rules(
        n_critic=s["n_critic"],
        simultaneous=bool(_switch("simultaneous", s)),
        packing=s["packing"],
        unroll_steps=s["unroll_steps"],
        unroll_rate=s["unroll_rate"],
        label_smoothing=s["label_smoothing"],
        instance_noise=schedules.Linear(s["instance_noise"], 0.0, steps) if s["instance_noise"] else 0.0,
    )
    if s["batch_size"] < 1:
        raise ValueError(f"the batch size is {s['batch_size']}, expected at least 1")
    if s["batch_size"] % s["packing"]:
        raise ValueError(f"the batch size {s['batch_size']} is not a multiple of packing {s['packing']}; change one")
    if _switch("spectral_norm", s):
        discriminator = spectral_norm(discriminator, random.generator(seed, "spectral norm"))
    generator, discriminator = generator.astype(dtype), discriminator.astype(dtype)
    if s["batch_size"] <= s["packing"]:
        _require_batch_statistics(generator, discriminator, s, conditions(s["batch_size"]))
    weight_limit = s["weight_limit"] or None
    rate = s["rate"]
    further = dict(objective(s, generator, discriminator)) if objective else {}
    loss = further.pop("loss", None) or losses.get(s["loss"])
    return GAN(
        generator,
        discriminator,
        loss,
        _optimizer(generator.parameters(), s, s["generator_rate"] or rate, steps),
        _optimizer(discriminator.parameters(), s, rate, steps * rules.n_critic, weight_limit=weight_limit),
        latent_size=s["latent_size"],
        latent_distribution=s["latent"],
        seed=seed,
        ema_decay=s["average"],
        penalty=None if s["penalty"] == NONE else penalties.get(s["penalty"]),
        penalty_weight=_penalty_weight(s, steps),
        penalty_every=s["penalty_every"],
        rules=rules,
        **further,
    )


def _require_batch_statistics(
    generator: Module, discriminator: Module, s: Settings, condition: np.ndarray | None
) -> None:
    """Raise ValueError if a batch norm gets one value of each channel, which happens only in a batch of one."""
    dtype = next(iter(generator.parameters().values())).dtype
    y = None if condition is None else Tensor(condition)
    with preserve_state(generator, discriminator), no_grad():
        fake = generator(np.zeros((s["batch_size"], s["latent_size"]), dtype), *as_arguments(y))
        discriminator(pack(fake, s["packing"]), *as_arguments(None if y is None else y[:: s["packing"]]))


def _optimizer(
    parameters: Mapping[str, Parameter], s: Settings, rate: float, steps: int, weight_limit: float | None = None
) -> optim.Optimizer:
    schedule, gradient_limit = _learning_rate(s, rate, steps), s["gradient_limit"] or None
    make: Any
    match s["optimizer"]:
        case "adam":
            make, options = optim.Adam, {"beta1": s["beta1"], "beta2": s["beta2"]}
        case "sgd":
            make, options = optim.SGD, {"momentum": s["beta1"]}
        case "rmsprop":
            make, options = optim.RMSprop, {"decay": s["beta2"]}
        case unknown:
            raise ValueError(f"there is no optimizer '{unknown}'; {did_you_mean(unknown, _OPTIMIZERS)}")
    optimizer: optim.Optimizer = make(
        parameters, schedule, gradient_limit=gradient_limit, weight_limit=weight_limit, **options
    )
    return optimizer


_OPTIMIZERS = ("adam", "sgd", "rmsprop")


def _learning_rate(s: Settings, rate: float, steps: int) -> float | schedules.Schedule:
    if s["rate_schedule"] == "constant":
        return rate
    if s["rate_schedule"] not in schedules.SCHEDULES:
        names = ["constant", *schedules.SCHEDULES]
        raise ValueError(f"there is no rate_schedule '{s['rate_schedule']}'; {did_you_mean(s['rate_schedule'], names)}")
    return schedules.get(s["rate_schedule"])(rate, rate * s["rate_end"], steps)


def _penalty_weight(s: Settings, steps: int) -> float | schedules.Schedule:
    fraction, weight = s["penalty_anneal"], s["penalty_weight"]
    if not 0 <= fraction <= 1:
        raise ValueError(f"penalty_anneal is {fraction}, expected a fraction of the run, 0 (a constant weight) to 1")
    return schedules.Exponential(weight, s["penalty_end"], max(1, round(fraction * steps))) if fraction else weight


def _switch(name: str, s: Settings) -> int:
    if s[name] not in (0, 1):
        raise ValueError(f"{name} is {s[name]}, expected 0 (off) or 1 (on)")
    return int(s[name])
