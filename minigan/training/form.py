"""What examples are: pictures or points. How they are fed to networks, shown to people, and measured on the way."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minigan.autodiff import Tensor
from minigan.data import Dataset
from minigan.data.feed import Feed
from minigan.data.points import Points
from minigan.figures import density_map
from minigan.figures.image_grid import image_grid, to_bytes
from minigan.metrics import modes
from minigan.recipes import PictureRecipe, PointRecipe, Recipe
from minigan.training.config import RunConfig

Data = Dataset | Points
_PIXELS_AT_ONCE = 1 << 20  # in the pictures of one pass, so that memory stays small: 1,000 digits and some
_POINTS_AT_ONCE = 10_000


class Form(Protocol):
    """The form of a run's examples, all of one `shape`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def at_once(self) -> int:
        """How many examples to make in one pass."""

    @property
    def shown(self) -> int:
        """How many samples a picture of progress shows."""

    def feed(self, data: Any, config: RunConfig) -> Callable[[int], Tensor]:
        """What gives the real examples of each step: n_critic batches of them."""

    def present(self, values: np.ndarray) -> np.ndarray:
        """What a network made, (N, ...), as people know it, (N, *shape)."""

    def picture(self, examples: np.ndarray) -> np.ndarray:
        """The examples in one picture (height, width, channels) uint8."""

    def measure(self, examples: np.ndarray) -> dict[str, float]:
        """How good they are, as far as that is cheap to tell."""

    def score(self, measured: Mapping[str, float]) -> float | None:
        """One number of what `measure` found, the larger the better, to choose a checkpoint by; None if there is
        none."""


@dataclass(frozen=True)
class PictureForm:
    """Pictures (H, W, C), of bytes where people see them."""

    shape: tuple[int, int, int]
    value_range: tuple[float, float]
    flat: bool
    shown: int = 64

    @property
    def at_once(self) -> int:
        return max(1, _PIXELS_AT_ONCE // math.prod(self.shape))

    def feed(self, data: Dataset, config: RunConfig) -> Callable[[int], Tensor]:
        batch_size, per_step = config.settings["batch_size"], config.settings["n_critic"]
        return Feed(
            data, batch_size, config.seed, self.value_range, config.dtype, flat=self.flat, per_step=per_step
        ).batch

    def present(self, values: np.ndarray) -> np.ndarray:
        return to_bytes(values.reshape(-1, *self.shape), self.value_range)

    def picture(self, examples: np.ndarray) -> np.ndarray:
        return image_grid(examples)

    def measure(self, examples: np.ndarray) -> dict[str, float]:
        return {}

    def score(self, measured: Mapping[str, float]) -> float | None:
        return None


@dataclass(frozen=True)
class PointForm:
    """Points of the plane (2,), in the units of the distribution that the data come from."""

    data: Points
    shape: tuple[int] = (2,)
    at_once: int = _POINTS_AT_ONCE
    shown: int = modes.SAMPLES

    def feed(self, data: Points, config: RunConfig) -> Callable[[int], Tensor]:
        count = config.settings["batch_size"] * config.settings["n_critic"]
        return lambda step: data.batch(count, config.seed, step, config.dtype)

    def present(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float64) * self.data.scale

    def picture(self, examples: np.ndarray) -> np.ndarray:
        return self._map.with_points(examples)

    def measure(self, examples: np.ndarray) -> dict[str, float]:
        """How they fall on the modes, where there are any; else how likely the distribution makes them on average."""
        if not len(self.data.target.modes):
            return {"log_density": float(self.data.target.log_density(examples).mean())}
        scores = modes.score_samples(examples, self.data.target)
        return {
            "modes": scores.covered,
            "high_quality": scores.high_quality,
            "reverse_kl": scores.reverse_kl if any(scores.counts) else math.log(scores.modes),
        }

    def score(self, measured: Mapping[str, float]) -> float | None:
        return measured["log_density"] if "log_density" in measured else -measured["reverse_kl"]

    @functools.cached_property
    def _map(self) -> density_map.DensityMap:
        return density_map.DensityMap(self.data.target.box, self.data.target.log_density)


def form_of(recipe: Recipe, shape: tuple[int, ...]) -> Form:
    """The form of the recipe's examples, pictures of `shape` or points."""
    if isinstance(recipe, PictureRecipe):
        height, width, channels = shape
        return PictureForm((height, width, channels), recipe.value_range, recipe.flat)
    assert isinstance(recipe, PointRecipe)
    return PointForm(recipe.points())
