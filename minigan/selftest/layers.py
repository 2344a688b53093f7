"""Cases of every layer, in training and in eval mode, and of the layers that Sequential fuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.nn import (
    AveragePool2d,
    BatchNorm,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Dense,
    DiffAugment,
    Dropout,
    Embedding,
    Flatten,
    FourierFeatures,
    GaussianNoise,
    GlobalAveragePool2d,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    Maxout,
    MaxPool2d,
    MinibatchStandardDeviation,
    Module,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    SpectralNorm,
    Tanh,
    UniformNoise,
    Upsample2d,
    mlp,
)
from minigan.selftest.case import Case, CheckedFunction
from minigan.selftest.sampler import Sampler

_Make = Callable[[np.random.Generator], Module]


def _with_spectral_norm(
    layer: Callable[..., Module], *arguments: Any, rng: np.random.Generator, **settings: Any
) -> SpectralNorm:
    """SpectralNorm of the layer; positive weights make one singular value dominate, so that 40 iterations converge."""
    positive = layer(*arguments, rng, initializer=lambda rng, shape: rng.uniform(0.5, 1.5, shape), **settings)
    return SpectralNorm(positive, rng, power_iterations=40)


class _TimesEmbedding(Module):
    """x times the vectors of given labels, in which the embedding alone has no derivative to check."""

    def __init__(self, labels: list[int], embedding: Embedding) -> None:
        self.labels, self.embedding = labels, embedding

    def forward(self, x: Tensor) -> Tensor:
        return x * self.embedding(self.labels)


# By name: a function that makes the layer, and the shape of its input. _FUSED has Sequentials of several layers.
_LAYERS: dict[str, tuple[_Make, tuple[int, ...]]] = {
    "Dense": (lambda rng: Dense(3, 4, rng), (5, 3)),
    "Dense/without-bias": (lambda rng: Dense(3, 4, rng, bias=False), (5, 3)),
    "Conv2d": (lambda rng: Conv2d(2, 3, 3, rng, padding="same"), (2, 4, 5, 2)),
    "Conv2d/without-bias": (lambda rng: Conv2d(2, 3, 4, rng, stride=2, padding=1, bias=False), (2, 6, 4, 2)),
    "Conv2d/fast": (lambda rng: Conv2d(2, 3, 4, rng, stride=2, padding=1, precision="fast"), (2, 4, 6, 2)),
    "ConvTranspose2d": (lambda rng: ConvTranspose2d(3, 2, 4, rng, stride=2, padding=1), (2, 2, 3, 3)),
    "ConvTranspose2d/output-size": (
        lambda rng: ConvTranspose2d(3, 2, 3, rng, stride=2, padding=1, output_size=(4, 6)),
        (2, 2, 3, 3),
    ),
    "BatchNorm": (lambda rng: BatchNorm(3), (6, 3)),
    "BatchNorm/pictures": (lambda rng: BatchNorm(3, eps=1e-5), (2, 3, 2, 3)),
    "LeakyReLU": (lambda rng: LeakyReLU(), (4, 3)),
    "LeakyReLU/negative-slope": (lambda rng: LeakyReLU(-0.5), (4, 3)),
    "ReLU": (lambda rng: ReLU(), (4, 3)),
    "Tanh": (lambda rng: Tanh(), (4, 3)),
    "Sigmoid": (lambda rng: Sigmoid(), (4, 3)),
    "Dropout": (lambda rng: Dropout(0.4, seed=3), (5, 6)),
    "GaussianNoise": (lambda rng: GaussianNoise(0.5, seed=3), (5, 6)),
    "UniformNoise": (lambda rng: UniformNoise(0.5, seed=3), (5, 6)),
    "LayerNorm": (lambda rng: LayerNorm(4), (3, 4)),
    "LayerNorm/pictures": (lambda rng: LayerNorm(2), (2, 3, 2, 2)),
    "InstanceNorm": (lambda rng: InstanceNorm(2), (2, 3, 2, 2)),
    "MinibatchStandardDeviation": (lambda rng: MinibatchStandardDeviation(2), (4, 3)),
    "MinibatchStandardDeviation/pictures": (lambda rng: MinibatchStandardDeviation(), (3, 2, 2, 2)),
    "Embedding": (lambda rng: _TimesEmbedding([2, 0, 2, 3], Embedding(4, 3, rng)), (4, 3)),
    "Residual": (lambda rng: Residual(Dense(3, 3, rng), Tanh()), (4, 3)),
    "Residual/shortcut": (lambda rng: Residual(Dense(3, 2, rng), Tanh(), shortcut=Dense(3, 2, rng)), (4, 3)),
    "Concatenate": (lambda rng: Concatenate(Sequential(), Dense(3, 2, rng)), (4, 3)),
    "DiffAugment/color": (lambda rng: DiffAugment("color", seed=3), (2, 3, 2, 2)),
    "DiffAugment/translation": (lambda rng: DiffAugment("translation", seed=3), (2, 5, 4, 2)),
    "DiffAugment/cutout": (lambda rng: DiffAugment("cutout", seed=3), (2, 5, 4, 2)),
    "GlobalAveragePool2d": (lambda rng: GlobalAveragePool2d(), (2, 3, 2, 3)),
    "Flatten": (lambda rng: Flatten(), (2, 3, 2, 2)),
    "Reshape": (lambda rng: Reshape(2, 3), (4, 6)),
    "FourierFeatures": (lambda rng: FourierFeatures(2, 5, rng, highest=10.0), (4, 2)),
    "Maxout": (lambda rng: Maxout(3), (4, 6)),
    "Upsample2d": (lambda rng: Upsample2d((2, 3)), (2, 2, 3, 2)),
    "Upsample2d/bilinear": (lambda rng: Upsample2d((2, 3), mode="bilinear"), (2, 2, 3, 2)),
    "AveragePool2d": (lambda rng: AveragePool2d(3, stride=2, padding=1), (2, 5, 4, 2)),
    "MaxPool2d": (lambda rng: MaxPool2d(3, stride=2, padding="same"), (2, 5, 4, 2)),
    "SpectralNorm": (lambda rng: _with_spectral_norm(Dense, 3, 4, rng=rng), (5, 3)),
    "SpectralNorm/Conv2d": (lambda rng: _with_spectral_norm(Conv2d, 2, 3, 3, rng=rng, stride=2), (2, 5, 5, 2)),
    "SpectralNorm/ConvTranspose2d": (
        lambda rng: _with_spectral_norm(ConvTranspose2d, 3, 2, 2, rng=rng, stride=2),
        (2, 2, 3, 3),
    ),
}
_FUSED: dict[str, tuple[_Make, tuple[int, ...]]] = {
    "Dense+LeakyReLU": (lambda rng: Sequential(Dense(3, 4, rng), LeakyReLU()), (5, 3)),
    "Dense+ReLU": (lambda rng: Sequential(Dense(3, 4, rng), ReLU()), (5, 3)),
    "mlp": (lambda rng: mlp([3, 4, 2], rng, output=Tanh), (5, 3)),
    "Dense+Maxout": (lambda rng: Sequential(Dense(3, 10, rng), Maxout(5)), (5, 3)),
    "Conv2d+LeakyReLU": (lambda rng: Sequential(Conv2d(2, 3, 3, rng), LeakyReLU()), (2, 4, 4, 2)),
    "Conv2d+ReLU/without-bias": (
        lambda rng: Sequential(Conv2d(2, 3, 4, rng, stride=2, padding=1, bias=False), ReLU()),
        (2, 4, 4, 2),
    ),
    "ConvTranspose2d+LeakyReLU": (
        lambda rng: Sequential(ConvTranspose2d(3, 2, 4, rng, stride=2, padding=1), LeakyReLU()),
        (2, 2, 2, 3),
    ),
    "SpectralNorm+LeakyReLU": (lambda rng: Sequential(_with_spectral_norm(Dense, 3, 4, rng=rng), LeakyReLU()), (5, 3)),
    "BatchNorm+LeakyReLU": (lambda rng: Sequential(BatchNorm(3), LeakyReLU()), (6, 3)),
    "Conv2d+BatchNorm+LeakyReLU": (
        lambda rng: Sequential(Conv2d(2, 3, 4, rng, stride=2, padding=1, bias=False), BatchNorm(3), LeakyReLU()),
        (2, 4, 4, 2),
    ),
    "Dense+LeakyReLU+BatchNorm+Dropout+Dense+Tanh": (
        lambda rng: Sequential(
            Dense(3, 4, rng), LeakyReLU(), BatchNorm(4), Dropout(0.3, seed=1), Dense(4, 2, rng), Tanh()
        ),
        (6, 3),
    ),
}


def cases(seed: int = 0, dtype: str = "float64") -> Iterator[Case]:
    """A case for each layer in training mode (`train`) and in eval mode (`eval`).

    The order is 2, except for spectral norm in training: its derivative treats the singular vectors as constants. If
    they have converged, this gives the right first derivative, but not the right second one.
    """
    for group, table in (("layers", _LAYERS), ("fused-layers", _FUSED)):
        for name, (make, shape) in table.items():
            for mode in ("train", "eval"):
                order = 1 if "SpectralNorm" in name and mode == "train" else 2
                yield Case(
                    f"{group}/{name}/{mode}", order, _function(f"{group}/{name}", make, shape, mode, seed, dtype)
                )


def _function(
    purpose: str, make: _Make, shape: tuple[int, ...], mode: str, seed: int, dtype: str
) -> Callable[[], CheckedFunction]:
    def make_function() -> CheckedFunction:
        sampler = Sampler(seed, purpose, dtype)
        layer = randomize(make(sampler.rng), sampler).train(mode == "train")
        return CheckedFunction(layer, [sampler.distinct(*shape)], names=["x"])

    return make_function


def randomize(module: Module, sampler: Sampler) -> Module:
    """`module` in the sampler's dtype, with random biases, scales and running statistics, which start as 0 or 1."""
    module.astype(sampler.dtype)
    for parameter in module.parameters().values():
        if parameter.ndim == 1:
            parameter.assign(sampler.signed(parameter.size))
    for part in module.modules():
        if isinstance(part, BatchNorm):
            part.running_mean.assign(sampler.signed(part.features))
            part.running_variance.assign(sampler.positive(part.features))
    return module
