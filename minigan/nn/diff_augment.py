"""Differentiable augmentation of what a discriminator sees (DiffAugment, Zhao et al., 2020)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigan import ops
from minigan.autodiff import Tensor
from minigan.core.errors import did_you_mean
from minigan.nn.module import Module
from minigan.nn.random_layer import RandomLayer
from minigan.nn.seeds import Seed, as_generator


class DiffAugment(Module):
    """In training, random changes of images that pass gradients on to them (Zhao et al., 2020, section 4).

    (batch, height, width, channels) to the same shape; in evaluation nothing changes. As the first layer of a
    discriminator, `Sequential(DiffAugment(), ...)`, it changes real and generated images alike, anew in each pass: so a
    discriminator learns from few images without remembering them, and the generator does not learn the changes. Each
    image gets its own. policy: some of these, joined by commas, in their order:

    - "color": brightness + u - 1/2, saturation times 2 u, contrast times u + 1/2, each u uniform from 0 to 1;
    - "translation": moved down and across by up to 1/8 of the side, zeros (grey, in a range from -1 to 1) enter;
    - "cutout": a rectangle of half of each side, anywhere, becomes zeros.

    `seed`: see `nn.manual_seed`. Draw number n is a pure function of (seed, n) (see `RandomLayer`). Raises ValueError
    or TypeError for another policy, ValueError for an input that is no batch of images.
    """

    def __init__(self, policy: str = "color,translation,cutout", seed: Seed = None) -> None:
        if not isinstance(policy, str):
            raise TypeError(f"DiffAugment's policy is a text such as 'color,translation', got {policy!r}")
        names = [name.strip() for name in policy.split(",")]
        for name in names:
            if name not in _KINDS:
                raise ValueError(f"DiffAugment has no policy '{name}'; {did_you_mean(name, _KINDS)}")
        rng = as_generator(seed)
        self.policy = ",".join(names)
        self.parts: list[RandomLayer] = [make(rng) for name in names for make in _KINDS[name]]

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"{self} takes images (batch, height, width, channels), got shape {x.shape}")
        for part in self.parts if self.training else ():
            x = part(x)
        return x

    def _channels_out(self, channels: int | None) -> int | None:
        return channels

    def __repr__(self) -> str:
        return f"DiffAugment({self.policy!r})"


class _Part(RandomLayer):
    def __repr__(self) -> str:
        return f"DiffAugment's {self.purpose.partition('/')[2]}"


class _Color(_Part):
    """Brightness, saturation and contrast of each image, by three uniform numbers from 0 to 1."""

    purpose = "augmentation/color"

    def drawn_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], 1, 1, 3)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return rng.random(self.drawn_shape(shape), dtype=dtype.type)

    def forward(self, x: Tensor) -> Tensor:
        u = self.next_draw(x)
        x = x + (u[..., :1] - 0.5)
        x = _scale_around(ops.mean(x, 3, keepdims=True), x, u[..., 1:2] * 2.0)
        return _scale_around(ops.mean(x, (1, 2, 3), keepdims=True), x, u[..., 2:] + 0.5)


def _scale_around(centre: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    return (x - centre) * factor + centre


class _Translation(_Part):
    """Each image moved along `axis` by a whole number of pixels, as a product with a matrix of zeros and ones.

    So it is linear in the image, and differentiable to any order. The drawn array holds a matrix for each image.
    """

    purpose = "augmentation/translation"

    def __init__(self, axis: int, seed: Seed) -> None:
        super().__init__(seed)
        self.axis = axis

    def drawn_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], shape[self.axis], shape[self.axis])

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        extent = shape[self.axis]
        farthest = int(extent / 8 + 0.5)
        shifts = rng.integers(-farthest, farthest + 1, (shape[0], 1, 1))
        return (np.arange(extent)[:, None] - np.arange(extent) == shifts).astype(dtype)

    def forward(self, x: Tensor) -> Tensor:
        matrices = self.next_draw(x)
        if self.axis == 1:
            return _product(matrices, x)
        return ops.transpose(_product(matrices, ops.transpose(x, (0, 2, 1, 3))), (0, 2, 1, 3))


def _product(matrices: Tensor, x: Tensor) -> Tensor:
    """The (n, h, h) matrices times the columns of x (n, h, w, c)."""
    count, extent = x.shape[:2]
    return ops.reshape(ops.matmul(matrices, ops.reshape(x, (count, extent, -1))), x.shape)


class _Cutout(_Part):
    """A rectangle of half the height and half the width of each image set to zero, some of it perhaps outside."""

    purpose = "augmentation/cutout"

    def drawn_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:3], 1)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        rows, columns = (self._covered(rng, shape[0], extent) for extent in shape[1:3])
        return (~(rows[:, :, None, None] & columns[:, None, :, None])).astype(dtype)

    def _covered(self, rng: np.random.Generator, count: int, extent: int) -> np.ndarray:
        """Which pixels along a side of each of `count` images lie in its rectangle: (count, extent)."""
        size = int(extent / 2 + 0.5)
        first = rng.integers(0, extent + 1 - size % 2, (count, 1)) - size // 2
        pixels = np.arange(extent)
        return (pixels >= first) & (pixels < first + size)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.next_draw(x)


_KINDS: dict[str, tuple[Callable[[Seed], RandomLayer], ...]] = {
    "color": (_Color,),
    "translation": (lambda seed: _Translation(1, seed), lambda seed: _Translation(2, seed)),
    "cutout": (_Cutout,),
}
