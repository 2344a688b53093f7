"""The settings that all recipes have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigan import recipes
from minigan.core.errors import UsageError


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "wasserstein", "penalty": "wgan-gp", "n_critic": 5, "beta1": 0.0},
        {"loss": "wasserstein", "optimizer": "rmsprop", "weight_limit": 0.01, "n_critic": 5, "penalty": "none"},
        {"loss": "hinge", "spectral_norm": 1, "penalty": "none", "generator_rate": 1e-4},
        {"loss": "non-saturating", "label_smoothing": 0.1, "instance_noise": 0.2, "latent": "normal"},
        {"loss": "minimax", "optimizer": "sgd", "simultaneous": 1, "gradient_limit": 1.0},
        {"loss": "non-saturating", "packing": 2, "unroll_steps": 2, "rate_schedule": "linear"},
        {"loss": "relativistic-average", "penalty": "dragan", "penalty_every": 2, "penalty_anneal": 0.0},
    ],
    ids=lambda changes: "+".join(changes),
)
@pytest.mark.parametrize("name", ["ring", "mnist-mlp", "mnist-dcgan-upsample"])
def test_every_common_setting_trains_every_kind_of_recipe(name, changes):
    small: dict[str, Any] = {"generator_widths": [8], "discriminator_widths": [8], "batch_size": 4}
    if name == "mnist-dcgan-upsample":
        small |= {"generator_widths": [4, 3, 2], "discriminator_widths": [2, 3, 4]}
    gan = recipes.get(name).build(steps=3, **small | changes)
    rng = np.random.default_rng(0)
    shape = {"ring": (2,), "mnist-mlp": (784,), "mnist-dcgan-upsample": (28, 28, 1)}[name]
    before = gan.state()
    for _ in range(3):
        gan.train_step(rng.uniform(-1, 1, (4 * gan.rules.n_critic, *shape)).astype(np.float32))
    assert gan.first_nonfinite_gradient() is None
    for key, value in gan.state().items():
        assert np.isfinite(value).all(), key
        if key.startswith(("generator.", "discriminator.")) and key.endswith("weight"):
            assert not np.array_equal(value, before[key]), key
    if limit := changes.get("weight_limit"):
        assert max(np.abs(p.numpy()).max() for p in gan.discriminator.parameters().values()) <= limit * (1 + 1e-6)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"optimizer": "adamm"}, "no optimizer 'adamm'; did you mean 'adam'"),
        ({"rate_schedule": "cosin"}, "no rate_schedule 'cosin'; did you mean 'cosine'"),
        ({"penalty": "r3"}, "no penalty 'r3'"),
        ({"latent": "gauss"}, "no latent distribution 'gauss'"),
        ({"packing": 5}, "batch size 192 is not a multiple of packing 5"),
        ({"spectral_norm": 2}, "spectral_norm is 2, expected 0 (off) or 1 (on)"),
        ({"label_smoothing": 0.1}, "'relativistic-pairing' uses no labels"),
        ({"penalty_anneal": 2}, "penalty_anneal is 2.0, expected a fraction of the run"),
        ({"n_critic": 0}, "n_critic is 0, expected a whole number of at least 1"),
        ({"generator_widths": ""}, "must be a list of whole numbers"),
        ({"latent": "square"}, "there is no latent distribution 'square'; known: logistic, normal, uniform"),
        ({"latent": "norml"}, "there is no latent distribution 'norml'; did you mean 'normal'?"),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(changes, part):
    with pytest.raises(UsageError) as caught:
        recipes.get("ring").build(**changes)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith(("..", "?."))
