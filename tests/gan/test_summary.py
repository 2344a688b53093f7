"""What a GAN says of itself."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.small_gan import CONDITION, DATA, LATENT, conditional_batch, make_conditional_gan, make_gan, real_batch

from minigan import Rules, Tensor, ops, penalties


def _rows(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_the_summary_has_the_shapes_and_counts_of_both_networks() -> None:
    gan = make_gan("hinge", rich=True)
    summary = gan.summary()
    for player, network in (("generator", gan.generator), ("discriminator", gan.discriminator)):
        count = sum(p.size for p in network.parameters().values())
        assert getattr(summary, player).parameters == count
        assert f"{player}, trained by Adam({count} parameters" in str(summary)
    rows = _rows(str(summary))
    for layer, shape in (("Dense(5, 4)", f"(n, {DATA})"), ("Dense(6, 1)", "(n, 1)"), ("BatchNorm(5)", "(n, 5)")):
        assert any(row[1:3] == [layer, shape] for row in rows), layer
    assert str(summary).startswith(f"GAN(loss='hinge', latent_size={LATENT}), 0 steps taken\n")
    assert repr(summary) == str(summary)
    page = summary._repr_html_()
    assert page.count("<table>") == 2
    assert "loss=&#x27;hinge&#x27;" in page


def test_a_summary_changes_nothing() -> None:
    gan, plain = make_gan(rich=True, ema_decay=0.9), make_gan(rich=True, ema_decay=0.9)
    for step in range(3):
        gan.summary()
        repr(gan)
        gan.train_step(real_batch(step))
        plain.train_step(real_batch(step))
    assert {n: v.tobytes() for n, v in gan.state().items()} == {n: v.tobytes() for n, v in plain.state().items()}
    assert all(module.training for module in gan.discriminator.modules())


def test_the_summary_of_a_conditional_gan() -> None:
    gan = make_conditional_gan(packing=2, rules=Rules(packing=2))
    assert [gan.summary((CONDITION,)), gan.summary(np.int64(CONDITION))] == [gan.summary(CONDITION)] * 2
    assert any(row[1:3] == ["Dense(10, 6)", "(n, 6)"] for row in _rows(str(gan.summary(CONDITION))))
    with pytest.raises(
        ValueError, match=r"fails on latent vectors of shape \(2, 3\): .*; summary takes the shape of a"
    ):
        gan.summary()
    with pytest.raises(ValueError, match=r"with conditions of shape \(2, 7\): "):
        gan.summary(7)


def _own(critic: object, real: Tensor, fake: Tensor, draws: object) -> Tensor:
    return ops.mean(real)


def test_the_settings_are_those_that_have_an_effect() -> None:
    gan = make_conditional_gan(
        loss="wasserstein", penalty=penalties.get("wgan-gp"), penalty_every=2, ema_decay=0.9, rules=Rules(n_critic=3)
    )
    gan.train_step(conditional_batch(0, 24))
    first, *players = repr(gan).splitlines()
    assert first == (
        "GAN(loss='wasserstein', penalty='wgan-gp', penalty_weight=10.0, penalty_every=2, latent_size=3, "
        "ema_decay=0.9, rules=Rules(n_critic=3)), 1 steps taken"
    )
    assert [line.strip().partition(":")[0] for line in players[::2]] == ["generator", "discriminator"]
    assert "penalty='r1+dragan'" in repr(make_gan(penalty="r1+dragan"))
    assert "penalty=_own," in repr(make_gan(penalty=_own))
