"""The settings that all recipes have in common: defaults, meanings, dependencies and limits."""

from __future__ import annotations

from typing import Any

from minigan.core.errors import UsageError
from minigan.gan import latents, losses, penalties

Settings = dict[str, Any]

NONE = "none"

_TABLE: dict[str, tuple[Any, str]] = {
    "loss": ("non-saturating", "what the players minimise: " + ", ".join(losses.LOSSES)),
    "latent": ("normal", "law of the latent vectors: " + ", ".join(latents.DISTRIBUTIONS)),
    "average": (0.0, "samples come from a moving average of the generator with this decay a step; 0: from itself"),
    "optimizer": ("adam", "or sgd (with momentum beta1), rmsprop (with decay beta2)"),
    "beta1": (0.5, "of Adam: decay of the mean gradient"),
    "beta2": (0.999, "of Adam: decay of the mean squared gradient"),
    "generator_rate": (0.0, "the generator's learning rate; 0: that of the discriminator, rate"),
    "rate_schedule": ("constant", "or linear, cosine, exponential: down to rate_end times the rate at the last step"),
    "rate_end": (0.01, ""),
    "gradient_limit": (0.0, "of the norm of a player's whole gradient; 0: none"),
    "weight_limit": (0.0, "each of the discriminator's weights is clipped to +-this (WGAN); 0: none is"),
    "spectral_norm": (0, "1: in every layer of the discriminator"),
    "penalty": (NONE, "on the discriminator's slope: " + ", ".join(penalties.PENALTIES) + ", or a sum such as r1+r2"),
    "penalty_weight": (10.0, ""),
    "penalty_anneal": (0.0, "over this share of the run the weight falls, exponentially, to penalty_end; 0: it stays"),
    "penalty_end": (0.0, ""),
    "penalty_every": (1, "k: computed at every k-th update of the discriminator, with k times the weight"),
    "n_critic": (1, "updates of the discriminator in a step, each on a batch of its own"),
    "simultaneous": (0, "1: both players move at once, not in turn"),
    "packing": (1, "examples that are judged together (PacGAN)"),
    "unroll_steps": (0, "the generator looks so many steps of the discriminator ahead"),
    "unroll_rate": (0.1, "the learning rate of those steps"),
    "label_smoothing": (0.0, "reals are labelled 1 less this"),
    "instance_noise": (0.0, "standard deviation of noise on all that is judged; it falls to 0 over the run"),
}
COMMON: Settings = {key: default for key, (default, _) in _TABLE.items()}
MEANINGS = {key: meaning for key, (_, meaning) in _TABLE.items()}

_WITHOUT_PENALTY = ("penalty", NONE)
INEFFECTIVE_WITH: dict[str, tuple[tuple[str, Any], ...]] = {
    "beta1": (("optimizer", "rmsprop"),),
    "beta2": (("optimizer", "sgd"),),
    "rate_end": (("rate_schedule", "constant"),),
    "penalty_weight": (_WITHOUT_PENALTY,),
    "penalty_anneal": (_WITHOUT_PENALTY,),
    "penalty_end": (_WITHOUT_PENALTY, ("penalty_anneal", 0.0)),
    "penalty_every": (_WITHOUT_PENALTY,),
    "unroll_rate": (("unroll_steps", 0),),
    "highest_frequency": (("frequencies", 0),),
}
"""Of each setting that depends on others: which of them, with which values, leave it without effect."""

_LAYERS = 100
_SIZE = 1 << 20, "a layer or a batch with so many rows takes gigabytes"
_LIMITS: dict[str, tuple[int, str]] = {
    "unroll_steps": (100, "each step of the run would make so many passes of the discriminator and keep all of them"),
    "n_critic": (1000, "each step of the run would make so many updates of the discriminator, all on new batches"),
    "packing": (1000, "the discriminator's first layer would be so many times as large"),
    "image_size": (4096, "one picture with so many rows and columns takes more than 16 million pixels"),
    **dict.fromkeys(
        (
            "batch_size", "latent_size", "generator_widths", "discriminator_widths", "generator_dense",
            "discriminator_dense", "pieces", "frequencies",
        ),
        _SIZE,
    ),
}  # fmt: skip
"""The largest value of a setting that only makes work, and what a larger one would take."""


def require_feasible(s: Settings) -> None:
    """Raise UsageError, saying what it would take, for a setting so large that no training could be done with it."""
    for key, (most, cost) in _LIMITS.items():
        value = s.get(key, 0)
        numbers = value if isinstance(value, list) else [value]
        if (largest := max(numbers, default=0)) > most:
            raise UsageError(f"the setting '{key}' is {largest:,}, and {cost}; take at most {most:,}.")
        if len(numbers) > _LAYERS:
            raise UsageError(f"the setting '{key}' asks for {len(numbers):,} layers; take at most {_LAYERS}.")


def is_scheduled(s: Settings) -> bool:
    """Whether the settings lay something out over the whole run, so that its length must be known from the start."""
    return s["rate_schedule"] != "constant" or s["penalty_anneal"] > 0 or s["instance_noise"] > 0
