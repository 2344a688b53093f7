"""The settings that all recipes have in common: defaults, meanings, dependencies and limits."""

from __future__ import annotations

from typing import Any

from minigan.core.errors import UsageError
from minigan.gan import latents, losses, penalties

Settings = dict[str, Any]

NONE = "none"

_TABLE: dict[str, tuple[Any, str]] = {
    "loss": ("non-saturating", "one of " + ", ".join(losses.LOSSES)),
    "latent": ("normal", "distribution of the latent vectors: " + ", ".join(latents.DISTRIBUTIONS)),
    "average": (0.0, "decay per step of the average of the generator that samples come from; 0: no average"),
    "optimizer": ("adam", "or sgd (with momentum beta1), rmsprop (with decay beta2)"),
    "beta1": (0.5, "decay of Adam's mean of the gradient"),
    "beta2": (0.999, "decay of Adam's mean of the squared gradient"),
    "generator_rate": (0.0, "learning rate of the generator; 0: the setting rate, which is that of the discriminator"),
    "rate_schedule": ("constant", "or linear, cosine, exponential: down to rate_end times the rate at the last step"),
    "rate_end": (0.01, ""),
    "gradient_limit": (0.0, "largest norm of the gradient of a network (clipping); 0: no limit"),
    "weight_limit": (0.0, "the discriminator's weights are clipped to +-this (WGAN); 0: no clipping"),
    "spectral_norm": (0, "1: spectral normalisation in every layer of the discriminator"),
    "penalty": (NONE, "gradient penalty: none, " + ", ".join(penalties.PENALTIES) + ", or a sum such as r1+r2"),
    "penalty_weight": (10.0, ""),
    "penalty_anneal": (0.0, "fraction of the run in which the weight falls exponentially to penalty_end; 0: constant"),
    "penalty_end": (0.0, ""),
    "penalty_every": (1, "k: computed at every k-th update of the discriminator, with k times the weight"),
    "n_critic": (1, "updates of the discriminator per step, each on its own batch"),
    "simultaneous": (0, "1: both networks are updated simultaneously, not alternately"),
    "packing": (1, "examples that the discriminator sees together (PacGAN)"),
    "unroll_steps": (0, "steps of the discriminator that the generator looks ahead (unrolled GAN); 0: none"),
    "unroll_rate": (0.1, "learning rate of the unrolled steps"),
    "label_smoothing": (0.0, "the label of real examples is 1 minus this"),
    "instance_noise": (0.0, "standard deviation of noise on the discriminator's inputs; it falls to 0 over the run"),
}
COMMON: Settings = {key: default for key, (default, _) in _TABLE.items()}
"""The default of each setting that all recipes have in common."""

MEANINGS = {key: meaning for key, (_, meaning) in _TABLE.items()}
"""The meaning of each of these settings, for people to read."""

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
"""For each setting that depends on others: the pairs (other setting, value) under which it has no effect."""

_MOST_LAYERS = 100
_MOST_ROWS = 1 << 20, "a layer or a batch with so many rows takes gigabytes"
_LIMITS: dict[str, tuple[int, str]] = {
    "unroll_steps": (100, "each step of the run would make so many passes of the discriminator and keep all of them"),
    "n_critic": (1000, "each step of the run would make so many updates of the discriminator, all on new batches"),
    "packing": (1000, "the discriminator's first layer would be so many times as large"),
    **dict.fromkeys(
        (
            "batch_size", "latent_size", "generator_widths", "discriminator_widths", "generator_dense",
            "discriminator_dense", "pieces", "frequencies",
        ),
        _MOST_ROWS,
    ),
}  # fmt: skip
"""The largest sensible value of each setting that sets the amount of work, and what a larger one would cost."""


def require_feasible(s: Settings) -> None:
    """Raise UsageError, which says what it would cost, for a setting so large that training is impossible."""
    for key, (limit, cost) in _LIMITS.items():
        value = s.get(key, 0)
        numbers = value if isinstance(value, list) else [value]
        if (largest := max(numbers, default=0)) > limit:
            raise UsageError(f"the setting '{key}' is {largest:,}, and {cost}; take at most {limit:,}.")
        if len(numbers) > _MOST_LAYERS:
            raise UsageError(f"the setting '{key}' asks for {len(numbers):,} layers; take at most {_MOST_LAYERS}.")


def is_scheduled(s: Settings) -> bool:
    """Whether a schedule depends on the length of the run, so that the length must not change later."""
    return s["rate_schedule"] != "constant" or s["penalty_anneal"] > 0 or s["instance_noise"] > 0
