"""Dropout, and Gaussian and uniform noise."""

from __future__ import annotations

import numpy as np

from minigan.autodiff import Tensor
from minigan.nn.layers import is_number
from minigan.nn.random_layer import RandomLayer
from minigan.nn.seeds import Seed


class Dropout(RandomLayer):
    """In training, zero each element with probability `rate` and divide the rest by 1 - rate (Srivastava et al., 2014).

    (batch, ...) to the same shape; in evaluation nothing changes. `seed`: see `nn.manual_seed`. Mask number n is a
    pure function of (seed, n) (see `RandomLayer`). Raises ValueError unless 0 <= rate < 1.
    """

    purpose = "dropout"

    def __init__(self, rate: float, seed: Seed = None) -> None:
        if not is_number(rate) or not 0 <= rate < 1:
            raise ValueError(f"Dropout's rate must lie in [0, 1), got {rate!r}")
        super().__init__(seed)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.next_draw(x) if self.training and self.rate else x

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """A mask: 0 where dropped, 1 / (1 - rate) elsewhere."""
        kept = rng.random(shape, dtype=np.float32) >= self.rate
        return kept.astype(dtype) / np.asarray(1 - self.rate, dtype)

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"


class GaussianNoise(RandomLayer):
    """In training, x + deviation * e with e standard normal; in evaluation x (Salimans et al., 2016, section 3.4).

    (batch, ...) to the same shape. The noise is in the units of x. `seed`: see `nn.manual_seed`. Array number n is a
    pure function of (seed, n) (see `RandomLayer`). Raises ValueError unless the deviation is a number from 0 up.
    """

    purpose = "gaussian noise"

    def __init__(self, deviation: float, seed: Seed = None) -> None:
        if not is_number(deviation) or not 0 <= deviation < np.inf:
            raise ValueError(f"{type(self).__name__}'s deviation must be a finite number from 0 up, got {deviation!r}")
        super().__init__(seed)
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        return x + self.next_draw(x) * self.deviation if self.training and self.deviation else x

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Standard normal numbers."""
        return rng.standard_normal(shape, dtype=dtype.type)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.deviation})"


class UniformNoise(GaussianNoise):
    """In training, x + deviation * u with u uniform, of mean 0 and variance 1; in evaluation x.

    (batch, ...) to the same shape. A layer that sums hundreds of inputs sees nearly Gaussian noise, which takes a
    quarter of the time to draw. Arguments and errors are those of `GaussianNoise`.
    """

    purpose = "uniform noise"

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Uniform numbers from -sqrt(3) to sqrt(3), whose variance is 1."""
        numbers = rng.random(shape, dtype=dtype.type)
        numbers -= dtype.type(0.5)
        numbers *= dtype.type(12**0.5)
        return numbers
