"""What a user writes, with types: `mypy --strict` accepts it against the installed package, and it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import minigan as mg
from minigan import data, figures, nn, ops, optim, training


class Generator(nn.Module):
    """A network of the user's own with two inputs: (latent vectors, classes) to points (n, 2)."""

    def __init__(self, classes: int) -> None:
        self.classes = nn.Embedding(classes, 4)
        self.gain = mg.Parameter(np.ones(2, np.float32))
        self.body = nn.Sequential(nn.Dense(8, 16), nn.LeakyReLU(0.2), nn.Dense(16, 2))

    def forward(self, z: mg.Tensor, y: mg.Tensor) -> mg.Tensor:
        """Points, one for each latent vector."""
        return self.body(ops.concatenate([z, self.classes(y)], axis=1)) * self.gain


class Discriminator(nn.Module):
    """(points, classes) to logits (n, 1)."""

    def __init__(self, classes: int) -> None:
        self.features = nn.mlp([2, 16, 16], output=nn.LeakyReLU)
        self.score, self.classes = nn.Dense(16, 1), nn.Embedding(classes, 16)

    def forward(self, x: mg.Tensor, y: mg.Tensor) -> mg.Tensor:
        """Logits, by projection."""
        h = self.features(x)
        return self.score(h) + ops.sum(self.classes(y) * h, axis=1, keepdims=True)


class Printer:
    """A callback."""

    def step(self, loop: object, step: int, metrics: dict[str, float]) -> None:
        """At every recorded step."""
        print(step, metrics["generator_loss"])


def train(steps: int) -> dict[str, float]:
    """The last metrics of a GAN built by hand, on points of a circle."""
    rng = np.random.default_rng(0)
    generator = nn.Sequential(nn.Dense(4, 16, rng), nn.LeakyReLU(0.2), nn.Dense(16, 2, rng))
    discriminator = nn.Sequential([nn.Dense(2, 16, 1), nn.LeakyReLU(0.2), nn.Dense(16, 1, 2)])
    gan = mg.GAN(
        generator,
        discriminator,
        mg.losses.get("hinge"),
        optim.Adam(generator.parameters(), 1e-3, beta1=0.5),
        optim.Adam(discriminator, 1e-3, beta1=0.5),
        latent_size=4,
        penalty=mg.penalties.get("r1"),
    )
    metrics: dict[str, mg.Tensor] = {}
    for _ in range(steps):
        angle = rng.uniform(0, 2 * np.pi, 32)
        metrics = gan.train_step(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))
    return {name: float(value) for name, value in metrics.items()}


def fit_conditional(folder: Path) -> None:
    """Fit, save, load and draw a conditional GAN."""
    rng = np.random.default_rng(0)
    points, classes = rng.standard_normal((100, 2)), rng.integers(3, size=100)
    examples = data.Dataset(points, classes, name="points")
    gan = mg.GAN(Generator(3), Discriminator(3), loss="hinge", penalty="r1", latent_size=4)
    history = gan.fit(examples, steps=20, log_every=10, callbacks=[Printer()], progress=False)
    last: float = history[-1]["generator_loss"]
    losses: np.ndarray = history["generator_loss"]
    print(len(history), last, losses.shape)
    samples: np.ndarray = gan.sample(gan.latent(5, "look"), np.arange(5) % 3).numpy()
    mg.save(folder / "generator.safetensors", gan.generator)
    generator: Generator = mg.load(folder / "generator.safetensors", Generator(3))
    print(samples.shape, generator.predict(np.zeros((2, 4)), np.zeros(2)).shape, str(gan.summary(()))[:5])
    figures.save_grid(folder / "grid.png", np.zeros((4, 8, 8, 1)), value_range=(-1, 1), columns=2)


def own_loop(steps: int) -> int:
    """A loop of the user's own."""
    network = nn.mlp([2, 4, 1])
    adam = optim.Adam(network, 1e-3)

    def step(n: int) -> dict[str, mg.Tensor]:
        loss = ops.mean(network(np.full((4, 2), n, np.float32)) ** 2)
        adam.step(mg.grad(loss, adam.parameters))
        return {"loss": loss}

    return len(training.Loop(step, {"network": network, "adam": adam}, steps=steps, progress=False).run())


def gradient_at(x: mg.Tensor) -> mg.Tensor:
    """The derivative of sum(softplus(x))."""
    return mg.grad(ops.sum(ops.softplus(x)), x)


def derivatives() -> None:
    """Functions of Tensors, differentiated."""

    def f(x: mg.Tensor) -> mg.Tensor:
        return ops.sum(x**3)

    x = np.array([1.0, 2.0])
    value, gradient = mg.value_and_grad(f)(x)
    second: mg.Tensor = mg.hvp(f, x, np.ones(2))
    jacobian: mg.Tensor = mg.jacobian(lambda t: t * t, x)
    along: mg.Tensor = mg.jvp(f, x, np.ones(2))
    print(f"{value:.1f}", gradient, second.numpy(), jacobian.shape, float(along), x @ gradient)
    assert float(value) == 9.0
    assert (2.0**second).max().item() > 1


def main() -> None:
    """Train by hand, by `fit` and by a recipe, and check a gradient."""
    print(train(steps=3))
    recipe = mg.recipes.get("ring")
    gan: mg.GAN = recipe.build(generator_widths=[8], discriminator_widths=[8])
    samples: np.ndarray = gan.sample(gan.latent(5, "look")).numpy()
    print(samples.shape)
    x = mg.Tensor([0.0, 1.0])
    print(gradient_at(x).numpy())
    report = mg.gradcheck(lambda t: ops.sum(ops.tanh(t)), [x.numpy()])
    assert report.ok, report.verdict
    derivatives()
    print(own_loop(steps=20))
    fit_conditional(Path())


if __name__ == "__main__":
    main()
