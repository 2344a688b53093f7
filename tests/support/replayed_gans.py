"""GANs under every rule of training, in small, and their steps with and without replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigan as mg
from minigan import GAN, Rules, Tensor
from minigan.core import backend
from minigan.gan import losses, penalties
from minigan.nn import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    Module,
    Reshape,
    Sequential,
    Tanh,
    spectral_norm,
)
from minigan.ops import concatenate, reshape
from minigan.optim import SGD, Adam, RMSprop, schedules

STEPS = 20


def dense_network(outputs: int, dropout: float = 0.0, norm: bool = False, inputs: int = 2) -> Sequential:
    rng = np.random.default_rng(outputs)
    layers: list[Module] = [Dense(inputs, 24, rng), LeakyReLU(0.2)]
    layers += [BatchNorm(24)] if norm else []
    layers += [Dropout(dropout, seed=5)] if dropout else []
    return Sequential(*layers, Dense(24, 17, rng), LeakyReLU(0.2), Dense(17, outputs, rng))


def make_gan(dtype: str = "float32", *, networks: tuple[Module, Module] | None = None, **options: Any) -> GAN:
    optimizer = options.pop("optimizer", lambda p, rate: Adam(p, rate))
    generator, discriminator = networks or (dense_network(2, norm=True), dense_network(1))
    generator, discriminator = generator.astype(dtype), discriminator.astype(dtype)
    return GAN(
        generator,
        discriminator,
        options.pop("loss", losses.get("non-saturating")),
        optimizer(generator.parameters(), 0.01),
        optimizer(discriminator.parameters(), 0.02),
        latent_size=2,
        **options,
    )


class BesideClass(Module):
    """A network of its input and of a class number beside it."""

    def __init__(self, network: Module) -> None:
        self.network = network

    def forward(self, x: Tensor, y: Tensor) -> Any:
        return self.network(concatenate([x, reshape(y, (len(y), 1))], axis=1))


def image_networks() -> tuple[Module, Module]:
    rng = np.random.default_rng(3)
    generator = Sequential(
        Dense(2, 4 * 4 * 16, rng), BatchNorm(4 * 4 * 16), LeakyReLU(0.2), Reshape(4, 4, 16),
        ConvTranspose2d(16, 16, 4, rng, stride=2, padding=1), LeakyReLU(0.2),
        ConvTranspose2d(16, 2, 4, rng, stride=2, padding=1), Tanh(),
    )  # fmt: skip
    discriminator = Sequential(
        Conv2d(2, 16, 4, rng, stride=2, padding=1), LeakyReLU(0.2),
        Conv2d(16, 16, 4, rng, stride=2, padding=1), BatchNorm(16), LeakyReLU(0.2),
        Flatten(), Dense(4 * 4 * 16, 1, rng),
    )  # fmt: skip
    return generator, discriminator


GANS: dict[str, Callable[[str], GAN]] = {
    "plain": lambda dtype: make_gan(dtype),
    "critic": lambda dtype: make_gan(
        dtype, loss=losses.get("wasserstein"), penalty=penalties.wgan_gp, rules=Rules(n_critic=3)
    ),
    "clipped weights": lambda dtype: make_gan(
        dtype, loss=losses.get("wasserstein"), rules=Rules(n_critic=2),
        optimizer=lambda p, rate: RMSprop(p, rate, weight_limit=0.05),
    ),
    "clipped gradients": lambda dtype: make_gan(
        dtype, loss=losses.get("least-squares"),
        optimizer=lambda p, rate: SGD(p, rate, momentum=0.5, gradient_limit=0.1),
    ),
    "lazy penalty": lambda dtype: make_gan(
        dtype, penalty=penalties.get("r1+dragan"), penalty_every=3,
        penalty_weight=schedules.Exponential(1.0, 0.01, STEPS),
    ),
    "zero-centred": lambda dtype: make_gan(dtype, penalty=penalties.zero_centred, rules=Rules(simultaneous=True)),
    "average": lambda dtype: make_gan(dtype, ema_decay=0.9, loss=losses.get("relativistic-average")),
    "packed and unrolled": lambda dtype: make_gan(
        dtype, networks=(dense_network(2), dense_network(1, inputs=4)), rules=Rules(packing=2, unroll_steps=2)
    ),
    "noise that decays to 0": lambda dtype: make_gan(
        dtype, rules=Rules(label_smoothing=0.1, instance_noise=schedules.Linear(0.5, 0.0, 8)),
        optimizer=lambda p, rate: Adam(p, schedules.Cosine(rate, 0.0, STEPS)),
    ),
    "dropout": lambda dtype: make_gan(
        dtype, networks=(dense_network(2, dropout=0.2), dense_network(1, dropout=0.5)), penalty=penalties.r2,
        rules=Rules(unroll_steps=1),
    ),
    "spectral norm": lambda dtype: make_gan(
        dtype, loss=losses.get("hinge"),
        networks=(dense_network(2), spectral_norm(dense_network(1), np.random.default_rng(0))),
    ),
    "images": lambda dtype: make_gan(dtype, networks=image_networks(), ema_decay=0.9),
    "conditional": lambda dtype: make_gan(
        dtype, networks=(BesideClass(dense_network(2, inputs=3)), BesideClass(dense_network(1, inputs=3))),
        penalty=penalties.r1_and_r2, rules=Rules(n_critic=2),
    ),
}  # fmt: skip


def real_batch(gan: GAN, step: int, count: int = 12) -> Any:
    """Real examples, with their class numbers for a conditional GAN."""
    conditional = isinstance(gan.discriminator, BesideClass)
    shape = (16, 16, 2) if not conditional and isinstance(gan.discriminator[0], Conv2d) else (2,)
    rng = np.random.default_rng([step, count])
    dtype = gan.discriminator_optimizer.parameters[0].dtype
    x = rng.standard_normal((count * gan.rules.n_critic, *shape)).astype(dtype)
    return (x, rng.integers(0, 3, len(x))) if conditional else x


def train(gan: GAN, steps: range, replay: bool) -> list[dict[str, bytes]]:
    mg.use(backend.current(), backend.current().kernels, replay=replay)
    reports = [gan.train_step(real_batch(gan, step)) for step in steps]
    return [{name: value.numpy().tobytes() for name, value in report.items()} for report in reports]


def bits(gan: GAN) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in gan.state().items()}
