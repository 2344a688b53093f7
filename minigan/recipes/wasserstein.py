"""Wasserstein GANs of digits: with clipped weights (Arjovsky et al., 2017), and with a gradient penalty (Gulrajani et
al., 2017). The generator has batch norm; the critic has none, since it is to judge each picture by itself."""

from __future__ import annotations

from minigan.domains import WassersteinDigitDomain
from minigan.nn import Tanh
from minigan.recipes.mnist_mlp import dense_networks
from minigan.recipes.recipe import Recipe
from minigan.recipes.settings import Settings

_SETTINGS: Settings = {
    "latent_size": 100, "batch_size": 64, "slope": 0.2, "norm_momentum": 0.8, "dropout": 0.0,
    "generator_widths": [256, 512], "discriminator_widths": [512, 256], "loss": "wasserstein", "n_critic": 5,
}  # fmt: skip


def _recipe(name: str, summary: str, settings: Settings) -> Recipe:
    return Recipe(
        name=name,
        summary=summary,
        networks=lambda s, shape, rng: dense_networks(s, shape, rng, Tanh()),
        settings=_SETTINGS | settings,
        steps=5000,
        domain=WassersteinDigitDomain((28, 28, 1), value_range=(-1.0, 1.0), flat=True),
    )


MNIST_WGAN = _recipe(
    "mnist-wgan",
    "a Wasserstein GAN: weights clipped to 0.01, RMSprop at 5e-5, five updates of the critic per step",
    {"optimizer": "rmsprop", "rate": 5e-5, "beta2": 0.99, "weight_limit": 0.01},
)
MNIST_WGAN_GP = _recipe(
    "mnist-wgan-gp",
    "a Wasserstein GAN with a gradient penalty of weight 10, Adam at 1e-4, five updates of the critic per step",
    {"rate": 1e-4, "beta1": 0.0, "beta2": 0.9, "penalty": "wgan-gp"},
)
