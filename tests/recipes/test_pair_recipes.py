"""Super-resolution and inpainting: what the generators compute, and when the adversarial loss counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigan import GAN, recipes
from minigan.core.errors import UsageError
from minigan.domains.holes import random_boxes, with_hole
from minigan.domains.low_resolution import enlarged, shrunk

TINY: dict[str, Any] = {"generator_widths": [3, 4], "discriminator_widths": [3], "dtype": "float64", "batch_size": 4}
RNG = np.random.default_rng(0)
DIGITS = RNG.integers(0, 256, (4, 28, 28, 1), dtype=np.uint8)


def with_random_weights(gan: GAN) -> GAN:
    for network in (gan.generator, gan.discriminator):
        for parameter in network.parameters().values():
            parameter.assign(RNG.standard_normal(parameter.shape) / 3)
    return gan


def pairs(recipe: str, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    domain = recipes.get(recipe).domain
    y = domain.condition_of(DIGITS, recipes.get(recipe).resolve(settings), RNG)
    return domain.as_input(DIGITS, "float64"), domain.as_input(y, "float64")


@pytest.mark.parametrize("scale", [2, 4])
def test_the_enlarger_adds_a_residue_to_repeated_pixels(scale):
    gan = with_random_weights(recipes.get("mnist-sr").build(scale=scale, blocks=1, **TINY))
    _, y = pairs("mnist-sr", scale=scale)
    latent = RNG.standard_normal((4, 1))
    output = gan.sample(latent, y).numpy()
    np.testing.assert_array_equal(gan.sample(-latent, y).numpy(), output)
    repeated = enlarged(shrunk(DIGITS, scale), scale, "nearest") * (2 / 255) - 1
    np.testing.assert_allclose(output - gan.generator.residue(y).numpy(), repeated, atol=1e-12)


def test_the_context_encoder_copies_known_pixels_and_does_not_see_the_others():
    gan = with_random_weights(recipes.get("mnist-inpaint").build(generator_dense=5, **TINY))
    domain = recipes.get("mnist-inpaint").domain
    hole = random_boxes(4, 28, 28, RNG)
    y = domain.as_input(with_hole(DIGITS, hole), "float64")
    output = gan.sample(np.zeros((4, 1)), y).numpy()
    np.testing.assert_array_equal(output[~hole], domain.as_input(DIGITS, "float64")[~hole])
    assert (abs(output[hole]) < 1).all()
    assert output[hole].std() > 0.01


@pytest.mark.parametrize("recipe", ["mnist-sr", "mnist-inpaint"])
def test_the_generator_minimises_the_squared_error_and_later_the_adversarial_loss_too(recipe):
    small = {"generator_dense": 5} if recipe == "mnist-inpaint" else {"blocks": 1}
    gan = with_random_weights(recipes.get(recipe).build(pixel_steps=4, adversarial=0.5, **small, **TINY))
    x, y = pairs(recipe)
    for step, weight in ((0, 0.0), (4, 0.0), (6, 0.25), (8, 0.5), (9, 0.5)):
        gan.step = step
        inputs = gan.draw((x, y)).updates[0]
        fake = gan.generator(inputs.latent, inputs.condition).numpy()
        loss = np.log1p(np.exp(-gan.discriminator(fake, y).numpy())).mean()
        expected = ((fake - x) ** 2).mean() + weight * loss
        assert gan.generator_pass(inputs).objective.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        ("mnist-sr", {"generator_widths": [8]}, "takes 2 numbers"),
        ("mnist-sr", {"shape": (30, 30, 1)}, "multiples of scale 4"),
        ("mnist-sr", {"discriminator_widths": [4] * 6}, "give fewer discriminator_widths"),
        ("mnist-inpaint", {"generator_widths": []}, "at least one width"),
        ("mnist-inpaint", {"shape": (30, 28, 1)}, "must be multiples of 4"),
    ],
)
def test_impossible_networks_are_refused(recipe, changes, words):
    with pytest.raises(UsageError, match=words):
        recipes.get(recipe).build(**changes)
