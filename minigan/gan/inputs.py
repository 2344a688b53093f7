"""The inputs of a training step: everything that is random, or that differs from one step to the next.

They are made on the host before the step; the step itself draws nothing. Random numbers are a pure function of (seed,
purpose, step), dropout masks and noise of their layer's seed and count of draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import backend
from minigan.gan.penalties import Draws
from minigan.nn.random_layer import DrawnArrays, RandomLayer

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class UpdateInputs:
    """The inputs of one update of the discriminator, and of the generator's update if that comes next.

    real: a batch of real examples. condition: what both networks are told of each example and sample, (batch, ...),
    None in an unconditional GAN. latent: (batch, latent_size). real_noise, fake_noise: instance noise, None for no
    noise. penalty_draws: the random numbers of the penalty. penalty_weight: a scalar; None if this update does not
    compute the penalty. adversarial_weight: that of the generator's loss, a scalar; None for 1. generator_term_weight:
    a scalar; None without a term. update_scalars: those of the discriminator's optimiser (see
    `Optimizer.update_scalars`).
    """

    real: Tensor
    condition: Tensor | None
    latent: Tensor
    real_noise: Tensor | None
    fake_noise: Tensor | None
    penalty_draws: Draws
    penalty_weight: Tensor | None
    adversarial_weight: Tensor | None
    generator_term_weight: Tensor | None
    update_scalars: Tensor


@dataclass(frozen=True)
class StepInputs:
    """The inputs of a training step.

    updates: the inputs of each update of the discriminator. update_scalars: those of the generator's optimiser (see
    `Optimizer.update_scalars`). ema_weight: the weight of the generator in its moving average (EMA); None if the EMA is
    not updated in this step. masks: the arrays of each layer with random numbers, such as dropout. uploads: the
    arrays of bytes of which the leaves that came from the host are views (see `on_device`).
    """

    updates: tuple[UpdateInputs, ...]
    update_scalars: Tensor
    ema_weight: Tensor | None
    masks: tuple[DrawnArrays, ...] = ()
    uploads: tuple[Any, ...] = ()

    @property
    def dropout_draws(self) -> list[tuple[RandomLayer, int]]:
        """Each layer with random numbers, and the number of draws to add to its count after the step."""
        return [(drawn.layer, drawn.draw_count) for drawn in self.masks]


_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name != "uploads") for kind in (StepInputs, UpdateInputs)
}
_FIELDS[DrawnArrays] = ("arrays",)

# The functions below work on trees: these dataclasses and tuples, nested to any depth.


def leaves(inputs: Any) -> list[Any]:
    """The leaves of `inputs` in order, None among them."""
    if type(inputs) in _FIELDS:
        inputs = tuple(getattr(inputs, name) for name in _FIELDS[type(inputs)])
    if not isinstance(inputs, tuple):
        return [inputs]
    result: list[Any] = []
    for part in inputs:
        if part is None or isinstance(part, Tensor):
            result.append(part)
        else:
            result += leaves(part)
    return result


def tree_map(inputs: Any, function: Callable[[Any], Any]) -> Any:
    """`inputs` with function(leaf) in place of every leaf that is not None."""
    if type(inputs) in _FIELDS:
        changes = {name: tree_map(getattr(inputs, name), function) for name in _FIELDS[type(inputs)]}
        return replace(inputs, **changes)
    if isinstance(inputs, tuple):
        return tuple(tree_map(part, function) for part in inputs)
    return None if inputs is None else function(inputs)


def signature(leaves: Sequence[Any]) -> tuple[Any, ...]:
    """The shape and dtype of each leaf, or its type if it is no Tensor; equal signatures mean equal calls in a step."""
    return tuple([(x.data.shape, x.data.dtype) if isinstance(x, Tensor) else type(x) for x in leaves])


def on_device(inputs: Tree) -> tuple[Tree, tuple[Any, ...]]:
    """`inputs` with the leaves on the host copied to the device, all in one copy, and the array that they view.

    That array is in a tuple, which is empty if nothing was copied, as on NumPy. Leaves stay on the host in the context
    `backend.staying_on_host`.
    """
    library = backend.current()
    if library.array_type is np.ndarray:
        return inputs, ()
    host = [leaf for leaf in leaves(inputs) if isinstance(leaf, Tensor) and type(leaf.data) is not library.array_type]
    arrays, uploaded = library.upload([leaf.data for leaf in host])
    if uploaded is None:
        return inputs, ()
    copies = {id(leaf): Tensor(array) for leaf, array in zip(host, arrays, strict=True)}
    return tree_map(inputs, lambda leaf: copies.get(id(leaf), leaf)), (uploaded,)
