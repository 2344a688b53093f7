"""What a training step is computed from besides the memory that it changes: what is random, or differs between steps.

It is made before the step, on the host, each part a pure function of (seed, purpose, step); the step draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from minigan.autodiff import Tensor
from minigan.nn import Dropout
from minigan.penalties import Draws

_ON_THE_HOST = {"on the host": True}  # marks what no array takes part in


@dataclass(frozen=True)
class UpdateInputs:
    """Those of one update of the discriminator, and of the generator's where that follows.

    real: (batch, ...). latent: (batch, latent_size). real_noise, fake_noise: what is added to both, None for nothing.
    penalty_draws: what the penalty draws. penalty_weight: what it weighs, a scalar; None where it is not computed.
    numbers: of the discriminator's optimiser, see `Optimizer.numbers`.
    """

    real: Tensor
    latent: Tensor
    real_noise: Tensor | None
    fake_noise: Tensor | None
    penalty_draws: Draws
    penalty_weight: Tensor | None
    numbers: Tensor


@dataclass(frozen=True)
class StepInputs:
    """Those of a training step: of each update of the discriminator, and of what follows these.

    numbers: of the generator's optimiser. share: of the generator in its moving average, None where it is not taken in.
    masks: of the dropout layers, in the order in which the passes need them. draws: by how much each layer's count of
    draws grows in the step.
    """

    updates: tuple[UpdateInputs, ...]
    numbers: Tensor
    share: Tensor | None
    masks: tuple[Tensor, ...] = ()
    draws: Sequence[tuple[Dropout, int]] = field(default=(), metadata=_ON_THE_HOST)


def leaves(inputs: Any) -> Iterator[Any]:
    """What lies in `inputs`, dataclasses and tuples to any depth, in order; None where there is nothing."""
    if isinstance(inputs, (StepInputs, UpdateInputs)):
        for name in _parts(inputs):
            yield from leaves(getattr(inputs, name))
    elif isinstance(inputs, tuple):
        for part in inputs:
            yield from leaves(part)
    else:
        yield inputs


def mapped(inputs: Any, change: Callable[[Any], Any]) -> Any:
    """`inputs` with change(leaf) in place of every leaf but None."""
    if isinstance(inputs, (StepInputs, UpdateInputs)):
        return replace(inputs, **{name: mapped(getattr(inputs, name), change) for name in _parts(inputs)})
    if isinstance(inputs, tuple):
        return tuple(mapped(part, change) for part in inputs)
    return None if inputs is None else change(inputs)


def _parts(inputs: StepInputs | UpdateInputs) -> list[str]:
    return [part.name for part in fields(inputs) if part.metadata != _ON_THE_HOST]


def form(inputs: Any) -> tuple[Any, ...]:
    """What two inputs have in common for which a step does the same: shapes and types of all that lies in them."""
    return tuple((leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else type(leaf) for leaf in leaves(inputs))
