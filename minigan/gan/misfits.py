"""Says which network does not fit the data, the latent vectors or the conditions, once a call of it has failed."""

from __future__ import annotations

from typing import Any

from minigan.autodiff import Tensor, no_grad
from minigan.core.errors import clause
from minigan.gan.batches import Batch, parts, unequal_shapes
from minigan.gan.interface import GANInterface
from minigan.nn import Module
from minigan.nn.module import preserve_state


def misfit(gan: GANInterface, batch: Batch) -> str | None:
    """A sentence on the network that fails on its own inputs in a step on `batch`; None if both networks work.

    The networks keep their state.
    """
    try:
        real, y = parts(gan.rules.batches(batch)[0])
    except ValueError:
        return None  # the batch itself is wrong
    condition = None if y is None else Tensor(y.data)  # on the device
    latent = gan.latent(len(real), "train")
    with preserve_state(gan.generator, gan.discriminator), no_grad():
        fake, problem = _output(gan.generator, latent, condition)
        if problem:
            text = generator_failure(latent, condition, problem)
            exchanged = not _output(gan.generator, real, condition)[1]
            return text + (", but not on the data; are generator and discriminator exchanged?" if exchanged else "")
        if fake is not None and fake.shape != real.shape:
            return unequal_shapes(real, fake)
        packs = gan.rules.discriminator_input(real)
        condition = gan.rules.discriminator_condition(condition)
        _, problem = _output(gan.discriminator, packs, condition)
        if problem:
            return f"the discriminator fails on data of shape {packs.shape}{_with(condition)}: {problem}"
    return None


def generator_failure(latent: Tensor, condition: Tensor | None, problem: str) -> str:
    """The sentence for a generator that cannot be called with these."""
    return f"the generator fails on latent vectors of shape {latent.shape}{_with(condition)}: {problem}"


def _output(network: Module, x: Tensor, condition: Tensor | None) -> tuple[Any, str]:
    """The output of the network, and why it cannot be called, as a clause, which is empty if it can."""
    try:
        return network(*([x] if condition is None else [x, condition])), ""
    except (TypeError, ValueError) as error:
        hint = "; batches x need networks forward(x), pairs (x, y) networks forward(x, y)"
        return None, clause(error) + (hint if "positional argument" in str(error) else "")


def _with(condition: Tensor | None) -> str:
    return "" if condition is None else f" with conditions of shape {condition.shape}"
