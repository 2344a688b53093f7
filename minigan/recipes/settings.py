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
    "optimizer": ("adam", "adam, sgd (with momentum beta1) or rmsprop (with decay beta2)"),
    "beta1": (0.5, "decay of Adam's mean of the gradient"),
    "beta2": (0.999, "decay of Adam's mean of the squared gradient"),
    "generator_rate": (0.0, "learning rate of the generator; 0: the setting rate, which is that of the discriminator"),
    "rate_schedule": (
        "constant",
        "constant, linear, cosine or exponential: down to rate_end times the rate at the last step",
    ),
    "rate_end": (0.01, "what the rate is multiplied by at the end of its schedule"),
    "schedule_steps": (0, "the length of all schedules in steps, after which they stay; 0: the steps of the run"),
    "gradient_limit": (0.0, "largest norm of the gradient of a network (clipping); 0: no limit"),
    "weight_limit": (0.0, "the discriminator's weights are clipped to +-this (WGAN); 0: no clipping"),
    "spectral_norm": (0, "1: spectral normalisation in every layer of the discriminator"),
    "penalty": (NONE, "gradient penalty: none, " + ", ".join(penalties.PENALTIES) + ", or a sum such as r1+r2"),
    "penalty_weight": (10.0, "what the penalty is multiplied by in the discriminator's objective"),
    "penalty_anneal": (0.0, "fraction of the run in which the weight falls exponentially to penalty_end; 0: constant"),
    "penalty_end": (0.0, "the penalty weight at the end of its annealing"),
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

MEANINGS = {key: meaning for key, (_, meaning) in _TABLE.items()} | {
    "latent_size": "length of the generator's input, a vector of random numbers",
    "batch_size": "real examples, and samples, in each update of the discriminator",
    "rate": "learning rate, of the discriminator if generator_rate is not 0, else of both networks",
    "generator_widths": "outputs of each of the generator's layers before the last",
    "discriminator_widths": "outputs of each of the discriminator's layers before the last",
    "generator_dense": "width of a dense layer before the generator's convolutions; 0: none",
    "discriminator_dense": "width of a dense layer after the discriminator's convolutions; 0: none",
    "slope": "slope of LeakyReLU below 0",
    "generator_slope": "slope of the generator's LeakyReLU below 0",
    "norm_momentum": "share of the old running mean and variance that batch norm keeps at each step",
    "dropout": "share of the discriminator's activations that is dropped at each step; 0: no dropout",
    "spread": "how strongly the latent vector itself, beside the position it chooses, enters the generator",
    "frequencies": "random Fourier features that the discriminator sees beside the points; 0: none",
    "highest_frequency": "the highest frequency of these features, in radians per unit of the scaled points",
    "adversarial": "what the generator's adversarial loss is multiplied by; its other term has weight 1",
    "pixel_steps": "steps without the adversarial loss; its weight then rises along a line for as many steps",
    "blocks": "residual blocks of the generator at the size of the small pictures",
    "pieces": "linear pieces of each maxout unit of the discriminator",
}
"""The meaning of each setting of minigan's recipes, for people to read; those of a kind of data are in its domain."""

CHANGEABLE = (
    "rate", "generator_rate", "rate_schedule", "rate_end", "schedule_steps", "batch_size", "gradient_limit",
    "weight_limit", "penalty_weight", "penalty_anneal", "penalty_end", "label_smoothing", "instance_noise",
)  # fmt: skip
"""The settings that may change when a run is resumed: no weight and no state of an optimiser depends on their kind."""

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
