"""Hints go by meaning: what a word of another library is called here."""

from __future__ import annotations

import pytest

from minigan import cli, recipes
from minigan.cli import parser
from minigan.core.errors import did_you_mean
from minigan.core.synonyms import meant, normalised
from minigan.gan import latents, losses, penalties
from minigan.recipes.settings import CHANGEABLE, COMMON, MEANINGS

SETTINGS = {key for recipe in recipes.RECIPES.values() for key in recipe.settings}


@pytest.mark.parametrize(
    ("wrong", "known", "right"),
    [
        ("lr", SETTINGS, "rate"),
        ("learning-rate", SETTINGS, "rate"),
        ("G_LR", SETTINGS, "generator_rate"),
        ("batch", SETTINGS, "batch_size"),
        ("z_dim", SETTINGS, "latent_size"),
        ("nz", SETTINGS, "latent_size"),
        ("gp", SETTINGS, "penalty"),
        ("lambda_gp", SETTINGS, "penalty_weight"),
        ("critic_iters", SETTINGS, "n_critic"),
        ("ema", SETTINGS, "average"),
        ("clip_value", SETTINGS, "weight_limit"),
        ("img_size", SETTINGS, "image_size"),
        ("sn", SETTINGS, "spectral_norm"),
        ("wgan", losses.LOSSES, "wasserstein"),
        ("lsgan", losses.LOSSES, "least-squares"),
        ("BCE", losses.LOSSES, "non-saturating"),
        ("rpgan", losses.LOSSES, "relativistic-pairing"),
        ("non_saturating", losses.LOSSES, "non-saturating"),
        ("gp", penalties.PENALTIES, "wgan-gp"),
        ("zero_centered", penalties.PENALTIES, "zero-centred"),
        ("gaussian", latents.DISTRIBUTIONS, "normal"),
        ("fp32", ("float32", "float64"), "float32"),
        ("gpu", ("numpy", "cupy", "auto"), "cupy"),
        ("cpu", ("numpy", "cupy", "auto"), "numpy"),
        ("mnist", recipes.RECIPES, "mnist-mlp"),
        ("8gaussians", recipes.RECIPES, "ring"),
        ("generate", parser.COMMANDS, "sample"),
        ("eval", parser.COMMANDS, "evaluate"),
        ("enlarge", parser.COMMANDS, "upscale"),
        ("srgan", recipes.RECIPES, "mnist-sr"),
    ],
)
def test_a_word_from_elsewhere_is_understood(wrong, known, right):
    assert did_you_mean(wrong, known) == f"did you mean '{right}'?"


def test_spelling_decides_where_no_meaning_is_known():
    assert did_you_mean("ratee", SETTINGS) == "did you mean 'rate'?"
    assert did_you_mean("qqq", ["a", "b"]) == "known: a, b."
    assert meant("qqq", SETTINGS) is None


def test_a_word_that_is_known_means_itself():
    for names in (SETTINGS, losses.LOSSES, penalties.PENALTIES, recipes.RECIPES, parser.COMMANDS):
        for name in names:
            assert meant(name.upper().replace("-", "_"), names) == name
        assert len({normalised(name) for name in names}) == len(set(names))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["train", "--lr", "1e-3"], "did you mean '--set rate=...'?"),
        (["train", "--lr=1e-3"], "did you mean '--set rate=...'?"),
        (["train", "--batch-size", "3"], "did you mean '--set batch_size=...'?"),
        (["train", "--epochs", "3"], "did you mean '--steps'?"),
        (["train", "--dataset", "x"], "did you mean '--data-dir'?"),
        (["train", "--output", "x"], "did you mean '--out'?"),
        (["train", "--device", "x"], "did you mean '--backend'?"),
        (["sample", "x", "--num-samples", "3"], "did you mean '--n'?"),
        (["train", "--set", "lr=1"], "did you mean 'rate'?"),
        (["train", "--set", "loss=wgan"], "did you mean 'wasserstein'?"),
        (["train", "--set", "penalty=gp"], "did you mean 'wgan-gp'?"),
    ],
)
def test_the_command_line_gives_such_hints(arguments, part, capsys):
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert part in err and err.count("\n") == 1


def test_every_setting_has_a_meaning_and_the_changeable_ones_exist():
    for recipe in recipes.RECIPES.values():
        for key in recipe.settings:
            assert recipe.meaning(key), (recipe.name, key)
    assert set(CHANGEABLE) <= SETTINGS
    assert all(MEANINGS[key] for key in COMMON)
