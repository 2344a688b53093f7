"""What a training step is computed from besides the memory that it changes: what is random, or differs between steps.

It is made before the step, on the host; the step draws nothing. What is random is a pure function of (seed, purpose,
step), or of a dropout layer's seed and count of draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from minigan.autodiff import Tensor
from minigan.gan.penalties import Draws
from minigan.nn import Dropout
from minigan.nn.masks import Supply


@dataclass(frozen=True)
class UpdateInputs:
    """Those of one update of the discriminator, and of the generator's where that follows.

    real: (batch, ...). latent: (batch, latent_size). real_noise, fake_noise: what is added to both, None for nothing.
    penalty_draws: what the penalty draws. penalty_weight: what it weighs, a scalar; None where it is not computed.
    update_scalars: of the discriminator's optimiser, see `Optimizer.numbers`.
    """

    real: Tensor
    latent: Tensor
    real_noise: Tensor | None
    fake_noise: Tensor | None
    penalty_draws: Draws
    penalty_weight: Tensor | None
    update_scalars: Tensor


@dataclass(frozen=True)
class StepInputs:
    """Those of a training step: of each update of the discriminator, and of what follows these.

    update_scalars: of the generator's optimiser. ema_weight: of the generator in its moving average, None if not now.
    masks: what each dropout layer needs.
    """

    updates: tuple[UpdateInputs, ...]
    update_scalars: Tensor
    ema_weight: Tensor | None
    masks: tuple[Supply, ...] = ()

    @property
    def dropout_draws(self) -> list[tuple[Dropout, int]]:
        """By how much the count of draws of each dropout layer grows in the step."""
        return [(supply.layer, supply.counted) for supply in self.masks]


_PARTS = {kind: tuple(part.name for part in fields(kind)) for kind in (StepInputs, UpdateInputs)} | {Supply: ("masks",)}


def leaves(inputs: Any) -> list[Any]:
    """What lies in `inputs`, dataclasses and tuples to any depth, in order; None where there is nothing."""
    if type(inputs) in _PARTS:
        inputs = tuple(getattr(inputs, name) for name in _PARTS[type(inputs)])
    if not isinstance(inputs, tuple):
        return [inputs]
    found: list[Any] = []
    for part in inputs:
        if part is None or isinstance(part, Tensor):
            found.append(part)
        else:
            found += leaves(part)
    return found


def tree_map(inputs: Any, change: Callable[[Any], Any]) -> Any:
    """`inputs` with change(leaf) in place of every leaf but None."""
    if type(inputs) in _PARTS:
        return replace(inputs, **{name: tree_map(getattr(inputs, name), change) for name in _PARTS[type(inputs)]})
    if isinstance(inputs, tuple):
        return tuple(tree_map(part, change) for part in inputs)
    return None if inputs is None else change(inputs)


def signature(of: Sequence[Any]) -> tuple[Any, ...]:
    """What the `leaves` of two inputs have in common for which a step does the same: their shapes and types."""
    return tuple([(x.data.shape, x.data.dtype) if isinstance(x, Tensor) else type(x) for x in of])
