"""What a user writes, with types: `mypy --strict` accepts it against the installed package, and it runs."""

from __future__ import annotations

import numpy as np

import minigan as mg
from minigan import nn, optim


def train(steps: int) -> dict[str, float]:
    """The last metrics of a GAN built by hand, on points of a circle."""
    rng = np.random.default_rng(0)
    generator = nn.Sequential(nn.Dense(4, 16, rng), nn.LeakyReLU(0.2), nn.Dense(16, 2, rng))
    discriminator = nn.Sequential(nn.Dense(2, 16, rng), nn.LeakyReLU(0.2), nn.Dense(16, 1, rng))
    gan = mg.GAN(
        generator,
        discriminator,
        mg.losses.get("hinge"),
        optim.Adam(generator.parameters(), 1e-3, beta1=0.5),
        optim.Adam(discriminator.parameters(), 1e-3, beta1=0.5),
        latent_size=4,
        penalty=mg.penalties.get("r1"),
    )
    metrics: dict[str, mg.Tensor] = {}
    for _ in range(steps):
        angle = rng.uniform(0, 2 * np.pi, 32)
        metrics = gan.train_step(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))
    return {name: value.item() for name, value in metrics.items()}


def gradient_at(x: mg.Tensor) -> mg.Tensor:
    """The derivative of sum(softplus(x))."""
    return mg.grad(mg.ops.sum(mg.ops.softplus(x)), x)


def main() -> None:
    """Train by hand and by a recipe, and check a gradient."""
    print(train(steps=3))
    recipe = mg.recipes.get("ring")
    gan: mg.GAN = recipe.build(generator_widths=[8], discriminator_widths=[8])
    samples: np.ndarray = gan.sample(gan.latent(5, "look")).numpy()
    print(samples.shape)
    x = mg.Tensor([0.0, 1.0])
    print(gradient_at(x).numpy())
    report = mg.gradcheck(lambda t: mg.ops.sum(mg.ops.tanh(t)), [x.numpy()])
    assert report.ok, report.verdict


if __name__ == "__main__":
    main()
