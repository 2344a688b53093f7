"""How the game is played: who moves when, and what the discriminator is shown."""

from __future__ import annotations

from dataclasses import dataclass

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.ops import reshape, transpose
from minigan.optim.schedules import Schedule, at


@dataclass(frozen=True)
class Rules:
    """The rules of a GAN; by default those of Algorithm 1 of Goodfellow et al., 2014, with k = 1.

    n_critic: updates of the discriminator in a step, each on a batch of its own (their k; Arjovsky et al., 2017).
    simultaneous: in the last of them both players move from where they stand; else the generator sees its result.
    packing: so many examples are judged together (PacGAN, Lin et al., 2018): the discriminator takes them side by side
        in the last axis, (batch / packing, ..., packing * channels).
    unroll_steps, unroll_rate: the generator plays against the discriminator as it would be so many gradient steps
        ahead, and its gradient goes through them (Metz et al., 2017).
    label_smoothing: reals are labelled 1 - label_smoothing; fakes stay 0 (one-sided: Salimans et al., 2016).
    instance_noise: standard deviation of the Gaussian noise on all that the discriminator sees, a number or a schedule
        over the steps (Arjovsky and Bottou, 2017).

    Raises ValueError for what makes no sense.
    """

    n_critic: int = 1
    simultaneous: bool = False
    packing: int = 1
    unroll_steps: int = 0
    unroll_rate: float = 0.1
    label_smoothing: float = 0.0
    instance_noise: float | Schedule = 0.0

    def __post_init__(self) -> None:
        for name, least in (("n_critic", 1), ("packing", 1), ("unroll_steps", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}, expected a whole number of at least {least}")
        if self.simultaneous not in (False, True):
            raise ValueError(f"simultaneous is {self.simultaneous!r}, expected 0 (take turns) or 1")
        if self.unroll_steps and not self.unroll_rate > 0:
            raise ValueError(f"unroll_rate is {self.unroll_rate!r}, expected a number above 0")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing is {self.label_smoothing!r}, expected 0 up to but not including 0.5")
        if isinstance(self.instance_noise, (int, float)) and not self.instance_noise >= 0:
            raise ValueError(f"instance_noise is {self.instance_noise!r}, expected a number of at least 0")

    def batches(self, real: Tensor) -> list[Tensor]:
        """The batch of each update of the discriminator; raises ValueError unless `real` can be dealt out evenly."""
        if len(real) == 0 or len(real) % (self.n_critic * self.packing):
            raise ValueError(
                f"a step takes {self.n_critic} batches (n_critic) of packs of {self.packing} (packing), so the number "
                f"of real examples must be a multiple of {self.n_critic * self.packing}, not {len(real)}"
            )
        size = len(real) // self.n_critic
        return [real] if self.n_critic == 1 else [real[i : i + size] for i in range(0, len(real), size)]

    def draw_noise(self, like: Tensor, seed: int, kind: str, update: int) -> Tensor | None:
        """What is added at `update` to examples of a kind, "real" or "fake", shaped as `like`; None for nothing."""
        deviation = at(self.instance_noise, update // self.n_critic)
        if not deviation:
            return None
        rng = random.generator(seed, f"instance noise/{kind}", update)
        return Tensor(rng.standard_normal(like.shape, dtype=like.dtype.type) * float(deviation))

    def discriminator_input(self, examples: Tensor, noise: Tensor | None = None) -> Tensor:
        """`examples` as the discriminator sees them: with `noise`, and packed."""
        return pack(examples if noise is None else examples + noise, self.packing)

    def discriminator_input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what the discriminator sees of examples of `shape`."""
        return (shape[0] // self.packing, *shape[1:-1], shape[-1] * self.packing)


def pack(examples: Tensor, count: int) -> Tensor:
    """`count` examples side by side in the last axis: (n, ..., channels) to (n / count, ..., count * channels)."""
    if count == 1:
        return examples
    *middle, channels = examples.shape[1:]
    packs = reshape(examples, (len(examples) // count, count, *middle, channels))
    order = (0, *range(2, packs.ndim - 1), 1, packs.ndim - 1)
    return reshape(transpose(packs, order), (len(packs), *middle, count * channels))
