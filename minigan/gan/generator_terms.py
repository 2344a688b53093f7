"""The generator's objective: its adversarial loss, and a further term such as the distance to the real examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.gan.inputs import UpdateInputs
from minigan.nn import Module
from minigan.optim.schedules import Schedule, value_at

GeneratorTerm = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""A function (fake, real, condition) -> scalar Tensor: samples and real examples (n, ...), and the conditions (n, ...)
of both, None in an unconditional GAN."""


def weighted(
    term: GeneratorTerm | None, loss: Tensor, fake: Tensor, inputs: UpdateInputs
) -> tuple[Tensor | None, Tensor]:
    """(term, objective): the term at these samples, None without one, and adversarial_weight * loss + weight * term.

    With the L1 distance as the term that is equation 4 of pix2pix (Isola et al., 2017). Raises TypeError or ValueError
    unless the term is a scalar Tensor.
    """
    objective = loss if inputs.adversarial_weight is None else loss * inputs.adversarial_weight
    if term is None:
        return None, objective
    compute = term.forward if isinstance(term, Module) else term  # a Module's call would convert a condition of None
    value = compute(fake, inputs.real, inputs.condition)
    if not isinstance(value, Tensor):
        raise TypeError(
            f"the generator term is a {type(value).__name__}, expected a scalar Tensor, computed from the samples with "
            "the operations of minigan.ops"
        )
    if value.data.size != 1:
        raise ValueError(f"the generator term has shape {value.shape}, expected a scalar, such as the mean")
    return value, objective + value * inputs.generator_term_weight


def weight_input(weight: float | Schedule, step: int, dtype: np.dtype) -> Tensor:
    """The weight at `step` as an input of the step, so that a recorded step can be replayed with another one."""
    return Tensor(dtype.type(value_at(weight, step)))


def module_of(term: GeneratorTerm | None) -> Module | None:
    """The Module that the term is, or whose method it is; None for a function."""
    owner = term if isinstance(term, Module) else getattr(term, "__self__", None)
    return owner if isinstance(owner, Module) else None


def changing_variables(module: Module) -> Iterator[tuple[str, Any]]:
    """(name, variable) of the parameters that could be trained, and of the buffers that change in training mode."""
    yield from module.trainable_parameters().items()
    for part in module.modules():
        if part.training:
            yield from part.buffers().items()
