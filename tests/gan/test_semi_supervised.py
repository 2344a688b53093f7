"""K + 1 classes and feature matching: the closed forms of Salimans et al., 2016, and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from support.differences import derivative

from minigan import Tensor, grad, ops
from minigan.gan.semi_supervised import UNLABELLED, SemiSupervised

CLASSES = 3
LABELS = np.array([2.0, 0.0, UNLABELLED, UNLABELLED, UNLABELLED])
RNG = np.random.default_rng(0)
REAL, FAKE = RNG.standard_normal((5, CLASSES)) * 3, RNG.standard_normal((4, CLASSES)) * 3
REAL_FEATURES, FAKE_FEATURES = RNG.standard_normal((5, 6)), RNG.standard_normal((4, 6))


def outputs(class_logits: np.ndarray | Tensor, features: np.ndarray | Tensor) -> tuple[Tensor, ...]:
    logits = class_logits if isinstance(class_logits, Tensor) else Tensor(class_logits)
    return ops.logsumexp(logits, keepdims=True), logits, features if isinstance(features, Tensor) else Tensor(features)


def log_softmax_of_all(class_logits: np.ndarray) -> np.ndarray:
    """log p of the K classes and of the class of samples, whose logit is 0: (n, K + 1)."""
    logits = np.concatenate([class_logits, np.zeros((len(class_logits), 1))], axis=1)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_the_discriminators_loss_is_that_of_a_softmax_over_k_plus_one_classes(weight: float) -> None:
    real, fake = log_softmax_of_all(REAL), log_softmax_of_all(FAKE)
    p_real = 1 - np.exp(real[:, -1])
    labelled = LABELS >= 0
    of_class = real[labelled, LABELS[labelled].astype(int)] - np.log(p_real[labelled])  # log p(y | x, y < K + 1)
    expected = -of_class.mean() + weight * (-np.log(p_real[~labelled]).mean() - fake[:, -1].mean())
    loss = SemiSupervised(weight).discriminator(
        outputs(REAL, REAL_FEATURES), outputs(FAKE, FAKE_FEATURES), condition=Tensor(LABELS)
    )
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_class_logits_of_a_large_size_give_an_exact_loss() -> None:
    real, fake = np.full((2, CLASSES), -800.0), np.full((2, CLASSES), 800.0)
    labels = Tensor(np.array([0.0, UNLABELLED]))
    loss = SemiSupervised(1.0).discriminator(outputs(real, real), outputs(fake, fake), condition=labels)
    assert loss.item() == pytest.approx(np.log(3) + (800 - np.log(3)) + (800 + np.log(3)))


def test_the_generator_matches_the_mean_features_of_unlabelled_examples() -> None:
    expected = ((REAL_FEATURES[2:].mean(axis=0) - FAKE_FEATURES.mean(axis=0)) ** 2).mean()
    loss = SemiSupervised().generator(
        outputs(FAKE, FAKE_FEATURES), outputs(REAL, REAL_FEATURES), condition=Tensor(LABELS)
    )
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_gradients_are_those_of_finite_differences(player: str) -> None:
    loss, labels = SemiSupervised(), Tensor(LABELS)

    def value(class_logits: np.ndarray | Tensor, features: np.ndarray | Tensor) -> Tensor:
        real, fake = outputs(REAL, REAL_FEATURES), outputs(class_logits, features)
        if player == "discriminator":
            return loss.discriminator(real, fake, condition=labels)
        return loss.generator(fake, real, condition=labels)

    at = Tensor(FAKE), Tensor(FAKE_FEATURES)
    gradients = grad(value(*at), list(at))
    direction = np.random.default_rng(1).standard_normal(FAKE.shape), np.random.default_rng(2).standard_normal((4, 6))
    expected, _ = derivative(lambda t: value(FAKE + t * direction[0], FAKE_FEATURES + t * direction[1]).item())
    along = sum((g.numpy() * d).sum() for g, d in zip(gradients, direction, strict=True))
    assert along == pytest.approx(expected, rel=1e-7)


def test_a_term_without_examples_is_zero() -> None:
    real, fake = outputs(REAL, REAL_FEATURES), outputs(FAKE, FAKE_FEATURES)
    unlabelled = Tensor(np.full(5, UNLABELLED, float))
    one = SemiSupervised(1.0).discriminator(real, fake, condition=unlabelled).item()
    p_fake = log_softmax_of_all(FAKE)[:, -1]
    assert one == pytest.approx(-np.log(1 - np.exp(log_softmax_of_all(REAL)[:, -1])).mean() - p_fake.mean())
    labelled = Tensor(np.zeros(5))
    assert np.isfinite(SemiSupervised().discriminator(real, fake, condition=labelled).item())


def test_labels_may_have_another_dtype_than_the_outputs() -> None:
    real, fake = outputs(REAL, REAL_FEATURES), outputs(FAKE, FAKE_FEATURES)
    exact = SemiSupervised().discriminator(real, fake, condition=Tensor(LABELS)).item()
    assert SemiSupervised().discriminator(real, fake, condition=Tensor(LABELS.astype("float32"))).item() == exact
