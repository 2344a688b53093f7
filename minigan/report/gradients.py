"""The norms of weights and gradients, layer by layer, in a training step of a GAN as it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minigan.autodiff import grad
from minigan.figures.html_parts import table, text
from minigan.gan import GAN
from minigan.gan.batches import Batch
from minigan.nn.module import preserve_state


@dataclass(frozen=True)
class WeightNorms:
    """The Euclidean norms of a weight and of its gradient; each divided by the root of the number of its elements."""

    player: str
    name: str
    shape: tuple[int, ...]
    weight: float
    gradient: float


def gradient_norms(gan: GAN, batch: Batch) -> list[WeightNorms]:
    """The norms of both players' weights, with the gradients of their objectives on `batch`; `gan` stays as it is.

    batch: as `GAN.train_step` takes it. Both gradients are those before an update of the step, under the first batch of
    several.
    """
    inputs = gan.draw(batch).updates[0]
    with preserve_state(gan.generator, gan.discriminator), np.errstate(all="ignore"):
        d_pass = gan.discriminator_pass(inputs)
        objectives = {"discriminator": d_pass.objective, "generator": gan.generator_pass(inputs, d_pass).objective}
        norms = []
        for player in ("generator", "discriminator"):
            weights = getattr(gan, player).trainable_parameters()
            gradients = grad(objectives[player], list(weights.values()))
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
                norms.append(WeightNorms(player, name, weight.shape, _rms(weight.numpy()), _rms(gradient.numpy())))
    return norms


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0


def norms_table(norms: list[WeightNorms]) -> str:
    """Both players' norms as tables in HTML, with a bar for the logarithm of each gradient's norm."""
    return "".join(
        _table(player, [n for n in norms if n.player == player]) for player in ("generator", "discriminator")
    )


def _table(player: str, norms: list[WeightNorms]) -> str:
    logarithms = [math.log(n.gradient) for n in norms if 0 < n.gradient < math.inf]
    low, high = min(logarithms, default=0.0), max(logarithms, default=0.0)
    rows = [list(_cells(n, low, high)) for n in norms]
    return table(["weight", "rms of gradient", "rms of weight", "gradient / weight", "shape"], rows, player)


def _cells(n: WeightNorms, low: float, high: float) -> Iterator[str]:
    inside = 0 < n.gradient < math.inf and high > low
    share = (math.log(n.gradient) - low) / (high - low) if inside else 0.0
    yield text(n.name)
    yield f'{n.gradient:.3g}<div class="bar" style="width:{100 * share:.0f}%"></div>'
    yield f"{n.weight:.3g}"
    yield f"{n.gradient / n.weight:.2g}" if n.weight else ""
    yield text(" x ".join(map(str, n.shape)))
