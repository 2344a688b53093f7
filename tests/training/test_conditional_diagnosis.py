"""The diagnosis of GANs with conditions, of several heads, and of generators that also minimise another term."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.small_gan import TwoHeads, conditional_batch, make_conditional_gan

from minigan import GAN, Tensor, losses, ops
from minigan.gan.conditions import loss_given
from minigan.recipes.conditional import AuxiliaryClassifierLoss
from minigan.training.diagnosis import Diagnosis
from minigan.training.statistics import ConstantDiscriminator, TrainingMonitor


def towards_data(fake: Tensor, real: Tensor, condition: Tensor | None) -> Tensor:
    return ops.mean((fake - real) ** 2)


class ClassOfCondition(AuxiliaryClassifierLoss):
    """The loss of an AC-GAN whose classes are signs of the condition's first number."""

    def discriminator(self, real: Any, fake: Any, condition: Any = None) -> Tensor:
        return super().discriminator(real, fake, condition=_classes(condition))

    def generator(self, fake: Any, real: Any = None, condition: Any = None) -> Tensor:
        return super().generator(fake, real, condition=_classes(condition))


def _classes(condition: Tensor) -> Tensor:
    return Tensor((condition.numpy()[:, 0] > 0).astype(float))


def two_heads() -> GAN:
    discriminator = TwoHeads(np.random.default_rng(1))
    return make_conditional_gan(loss=ClassOfCondition(losses.get("non-saturating")), discriminator=discriminator)


GANS = {
    "condition": make_conditional_gan,
    "two heads": two_heads,
    "term": lambda: make_conditional_gan(
        generator_term=towards_data, generator_term_weight=30.0, adversarial_weight=0.1
    ),
}


@pytest.mark.parametrize("kind", GANS)
def test_the_gradients_of_training_are_those_that_the_monitor_expects(kind: str) -> None:
    gan = GANS[kind]()
    monitor = TrainingMonitor(gan)
    monitor.measure(tuple(map(Tensor, conditional_batch(0, 64))))  # type: ignore[arg-type]
    gan.train_step(conditional_batch(0, 64), monitor.observe)
    now = monitor.measure(tuple(map(Tensor, conditional_batch(1, 64))))  # type: ignore[arg-type]
    assert now.all_finite
    assert now.discriminator_gradient.cosine > 0.8
    assert now.generator_gradient.cosine > 0.8


def test_a_generator_with_a_term_does_not_stand_still_where_its_loss_does() -> None:
    batch = tuple(map(Tensor, conditional_batch(0, 64)))
    with_term, without = (TrainingMonitor(GANS[kind]()).measure(batch) for kind in ("term", "condition"))  # type: ignore[arg-type]
    for name in ("sample_gradient", "generator_logit_gradient"):
        assert math.isnan(getattr(with_term, name)) and not math.isnan(getattr(without, name))


def test_a_constant_discriminator_knows_no_class() -> None:
    loss = AuxiliaryClassifierLoss(losses.get("non-saturating"))
    given = loss_given(loss, Tensor(np.array([0.0, 1, 2, 1, 0])))
    constant = ConstantDiscriminator.of(given, (Tensor(np.ones((5, 1))), Tensor(np.ones((5, 3)))))
    assert constant.loss == pytest.approx(2 * math.log(2) + 2 * math.log(3))
    plain = ConstantDiscriminator.of(losses.get("non-saturating"))
    slopes = ("real_slope", "fake_slope", "generator_slope")
    assert [getattr(constant, s) for s in slopes] == pytest.approx([getattr(plain, s) for s in slopes])


@pytest.mark.parametrize("kind", GANS)
def test_a_diagnosis_changes_no_bit_and_finds_nothing_in_a_sound_run(kind: str) -> None:
    watched, plain = GANS[kind](), GANS[kind]()
    diagnosis = Diagnosis(watched)
    for step in range(12):
        batch = conditional_batch(step, 32)
        watched.train_step(batch, diagnosis.gradient_observer())
        plain.train_step(batch, lambda player, gradients: None)
        if step % 3 == 2:
            assert [f.name for f in diagnosis.check(batch) if f.name != "mode-collapse"] == []
    states = watched.state(), plain.state()
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
