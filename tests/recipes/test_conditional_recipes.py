"""The networks and losses of conditional recipes, against the formulas of the papers in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigan import Tensor, losses, recipes
from minigan.core.errors import UsageError
from minigan.gan import GAN
from minigan.recipes.conditional import AuxiliaryClassifierLoss

TINY: dict[str, Any] = {"generator_widths": [4, 5], "discriminator_widths": [5, 6]}
RNG = np.random.default_rng(3)


def build(name: str, **changes: Any) -> GAN:
    return recipes.get(name).build(dtype="float64", **TINY | changes)


def batch(count: int, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    return RNG.uniform(-1, 1, (count, 784)), RNG.integers(classes, size=count).astype(float)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    rows = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels.astype(int)]
    return float(rows.mean())


@pytest.mark.parametrize("name", ["mnist-cgan", "mnist-acgan"])
def test_a_step_moves_every_parameter(name: str) -> None:
    gan = build(name)
    before = gan.state()
    metrics = gan.train_step(batch(40))
    assert all(np.isfinite(value.item()) for value in metrics.values())
    for player in ("generator", "discriminator"):
        for key, parameter in getattr(gan, player).parameters().items():
            assert not np.array_equal(parameter.numpy(), before[f"{player}.{key}"]), f"{player}.{key}"


def test_the_generator_takes_the_latent_vector_and_the_one_hot_class_side_by_side() -> None:
    generator = build("mnist-cgan").generator
    z, y = RNG.standard_normal((5, 32)), np.array([0.0, 3, 9, 3, 1])
    by_hand = generator.body(np.concatenate([z, np.eye(10)[y.astype(int)]], axis=1))
    np.testing.assert_array_equal(generator(z, y).numpy(), by_hand.numpy())
    assert by_hand.shape == (5, 784)


def test_latent_vectors_of_samples_are_shortened_and_those_of_training_are_not() -> None:
    generator = build("mnist-cgan", truncation=0.5).generator.eval()
    z, y = RNG.standard_normal((5, 32)), np.arange(5.0)
    shortened = generator.body(np.concatenate([z * 0.5, np.eye(10)[:5]], axis=1))
    np.testing.assert_array_equal(generator(z, y).numpy(), shortened.numpy())
    in_training = generator.train()(z, y).numpy()
    np.testing.assert_array_equal(in_training, generator.body(np.concatenate([z, np.eye(10)[:5]], axis=1)).numpy())


def test_the_logit_is_the_score_plus_the_projection_on_the_vector_of_the_class() -> None:
    """Miyato and Koyama, 2018, equation 3."""
    discriminator = build("mnist-cgan").discriminator
    discriminator.vectors.weight.assign(RNG.standard_normal(discriminator.vectors.weight.shape))
    x, y = batch(6)
    h = discriminator.features(Tensor(x)).numpy()
    vectors, score = discriminator.vectors.weight.numpy()[y.astype(int)], discriminator.score
    expected = h @ score.weight.numpy() + score.bias.numpy() + (vectors * h).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(discriminator(x, y).numpy(), expected, rtol=1e-12)


def test_the_discriminator_of_an_ac_gan_does_not_see_the_class() -> None:
    discriminator = build("mnist-acgan").discriminator
    x, y = batch(6)
    outputs, others = discriminator(x, y), discriminator(x, (y + 1) % 10)
    assert [head.shape for head in outputs] == [(6, 1), (6, 10)]
    for head, other in zip(outputs, others, strict=True):
        np.testing.assert_array_equal(head.numpy(), other.numpy())


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_losses_of_an_ac_gan_are_those_of_the_paper(weight: float) -> None:
    """Odena et al., 2017, section 3: D maximises L_S + L_C, and G maximises L_C - L_S in its non-saturating form."""
    loss = AuxiliaryClassifierLoss(losses.get("non-saturating"), weight)
    (real, fake), labels = RNG.standard_normal((2, 7, 1)), RNG.integers(4, size=7)
    real_classes, fake_classes = RNG.standard_normal((2, 7, 4))
    outputs = [(Tensor(a), Tensor(b)) for a, b in ((real, real_classes), (fake, fake_classes))]
    source = softplus(-real).mean() + softplus(fake).mean()
    of_classes = cross_entropy(real_classes, labels) + cross_entropy(fake_classes, labels)
    of_d = loss.discriminator(*outputs, condition=Tensor(labels.astype(float)))
    assert of_d.item() == pytest.approx(source + weight * of_classes, rel=1e-12)
    of_g = loss.generator(outputs[1], condition=Tensor(labels.astype(float)))
    expected = softplus(-fake).mean() + weight * cross_entropy(fake_classes, labels)
    assert of_g.item() == pytest.approx(expected, rel=1e-12)


def test_the_setting_class_weight_is_that_of_the_loss() -> None:
    gan = build("mnist-acgan", class_weight=0.25)
    assert isinstance(gan.loss, AuxiliaryClassifierLoss) and gan.loss.weight == 0.25


@pytest.mark.parametrize("name", ["mnist-cgan", "mnist-acgan"])
def test_classes_and_the_shape_of_the_pictures_are_settings(name: str) -> None:
    gan = build(name, classes=26, shape=(12, 7, 3))
    x, y = RNG.uniform(-1, 1, (8, 12 * 7 * 3)), np.arange(8.0) + 18
    assert np.isfinite(gan.train_step((x, y))["discriminator_loss"].item())
    assert gan.sample(3, [25, 0, 1]).shape == (3, 12 * 7 * 3)
    with pytest.raises(ValueError, match="the label 26; labels are whole numbers from 0 to 25"):
        gan.sample(1, [26])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"generator_widths": []}, "needs at least one width"),
        ({"discriminator_widths": []}, "needs at least one width"),
        ({"packing": 2}, "decides 'packing' itself"),
    ],
)
def test_networks_that_are_impossible_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build("mnist-cgan", **changes)


def test_a_batch_of_one_is_tried_with_its_condition() -> None:
    """Batch norm of one value is refused by the networks themselves, not because they lack a condition."""
    with pytest.raises(UsageError, match="batch"):
        recipes.get("mnist-cgan").build(batch_size=1)
