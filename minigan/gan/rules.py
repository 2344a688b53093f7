"""The rules of training: the order of the updates, and what the discriminator sees of an example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.gan.batches import Batch, parts
from minigan.ops import reshape, transpose
from minigan.optim.numbers import require_number
from minigan.optim.schedules import Schedule, value_at


@dataclass(frozen=True)
class Rules:
    """The rules of a GAN's training; by default those of Algorithm 1 of Goodfellow et al., 2014, with k = 1.

    n_critic: updates of the discriminator in a step, each on its own batch: k in Goodfellow et al., 2014, n_critic in
        Arjovsky et al., 2017.
    simultaneous: whether the discriminator's last update and the generator's are computed from the same weights; by
        default the generator's update uses the updated discriminator.
    packing: number of examples that the discriminator sees as one input (PacGAN, Lin et al., 2018): they are
        concatenated along the last axis, (batch / packing, ..., packing * channels). In a conditional GAN the examples
        of a pack must have the same condition.
    unroll_steps, unroll_rate: the generator's loss is computed with the discriminator as it would be after
        `unroll_steps` further gradient steps with this learning rate, and differentiated through these steps (Metz et
        al., 2017).
    label_smoothing: reals have the label 1 - label_smoothing, fakes keep 0 (one-sided: Salimans et al., 2016).
    instance_noise: standard deviation of the Gaussian noise on everything that the discriminator sees, a number or a
        schedule over the steps (Arjovsky and Bottou, 2017).

    Raises ValueError for settings out of range, TypeError for those that are no numbers.
    """

    n_critic: int = 1
    simultaneous: bool = False
    packing: int = 1
    unroll_steps: int = 0
    unroll_rate: float = 0.1
    label_smoothing: float = 0.0
    instance_noise: float | Schedule = 0.0

    def __post_init__(self) -> None:
        for name, minimum in (("n_critic", 1), ("packing", 1), ("unroll_steps", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < minimum:
                raise ValueError(f"{name} is {value!r}, expected a whole number of at least {minimum}")
        if self.simultaneous not in (False, True):
            raise ValueError(f"simultaneous is {self.simultaneous!r}, expected 0 (alternating updates) or 1")
        for name in ("unroll_rate", "label_smoothing"):
            require_number(name, getattr(self, name))
        if not callable(self.instance_noise):
            require_number("instance_noise", self.instance_noise)
        if self.unroll_steps and not self.unroll_rate > 0:
            raise ValueError(f"unroll_rate is {self.unroll_rate!r}, expected a number above 0")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing is {self.label_smoothing!r}, expected 0 up to but not including 0.5")
        if not callable(self.instance_noise) and not self.instance_noise >= 0:
            raise ValueError(f"instance_noise is {self.instance_noise!r}, expected a number of at least 0")

    def batches(self, batch: Batch) -> list[Batch]:
        """The batch of each update of the discriminator, from that of a step: x, or a pair (x, y).

        Raises ValueError unless it can be divided evenly, and all examples of a pack have one condition.
        """
        real, condition = parts(batch)
        if len(real) == 0 or len(real) % (self.n_critic * self.packing):
            raise ValueError(
                f"a step takes {self.n_critic} batches (n_critic) of packs of {self.packing} (packing), so the number "
                f"of real examples must be a multiple of {self.n_critic * self.packing}, not {len(real)}"
            )
        if condition is not None and self.packing > 1:
            _require_equal_in_packs(condition.numpy(), self.packing)
        if self.n_critic == 1:
            return [batch]
        size = len(real) // self.n_critic
        each = [slice(i, i + size) for i in range(0, len(real), size)]
        return [real[rows] if condition is None else (real[rows], condition[rows]) for rows in each]

    def draw_noise(self, like: Tensor, seed: int, kind: str, update: int) -> Tensor | None:
        """Instance noise of the shape of `like`, for the examples of a kind, "real" or "fake"; None if it is 0.

        update: the number of the discriminator's update, from 0.
        """
        deviation = value_at(self.instance_noise, update // self.n_critic)
        if not deviation:
            return None
        rng = random.generator(seed, f"instance noise/{kind}", update)
        return Tensor(rng.standard_normal(like.shape, dtype=like.dtype.type) * float(deviation))

    def discriminator_input(self, examples: Tensor, noise: Tensor | None = None) -> Tensor:
        """`examples` as the discriminator sees them: with `noise` added, and packed."""
        return pack(examples if noise is None else examples + noise, self.packing)

    def discriminator_condition(self, condition: Tensor | None) -> Tensor | None:
        """The condition of each input of the discriminator: of a pack, that of its examples, which have the same."""
        return condition if condition is None or self.packing == 1 else condition[:: self.packing]

    def discriminator_input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of `discriminator_input` for examples of `shape`."""
        return (shape[0] // self.packing, *shape[1:-1], shape[-1] * self.packing)


def pack(examples: Tensor, count: int) -> Tensor:
    """Concatenate `count` examples each along the last axis, (n, ..., c) to (n / count, ..., count * c)."""
    if count == 1:
        return examples
    *middle, channels = examples.shape[1:]
    packs = reshape(examples, (len(examples) // count, count, *middle, channels))
    order = (0, *range(2, packs.ndim - 1), 1, packs.ndim - 1)
    return reshape(transpose(packs, order), (len(packs), *middle, count * channels))


def _require_equal_in_packs(condition: np.ndarray, packing: int) -> None:
    packs = condition.reshape(-1, packing, *condition.shape[1:])
    if (packs != packs[:, :1]).any():
        raise ValueError(
            f"the discriminator sees packs of {packing} examples (packing) under one condition, but examples of a pack "
            f"have different ones; order the batch such that every {packing} neighbours share theirs, or leave packing "
            "at 1"
        )
