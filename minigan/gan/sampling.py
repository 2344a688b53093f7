"""What the generator gets when samples are drawn: latent vectors and conditions as a program gives them, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import clause
from minigan.gan.batches import as_input
from minigan.gan.interface import GANInterface
from minigan.gan.misfits import generator_failure
from minigan.nn import Module


def sampling_inputs(gan: GANInterface, latent: Any, condition: Any, seed: int | None) -> list[Tensor]:
    """The inputs of the generator for `GAN.sample`, which documents the arguments."""
    dtype = gan.generator_optimizer.parameters[0].dtype
    if isinstance(latent, (int, np.integer)) and not isinstance(latent, bool):
        if latent < 1:
            raise ValueError(f"cannot draw {latent} samples; expected a count of at least 1")
        latent = gan.latent_from(random.generator(gan.seed if seed is None else seed, "latent/samples"), int(latent))
    elif seed is not None:
        raise ValueError("a seed draws latent vectors, but they are given; give a count in their place, or no seed")
    inputs = [as_input(latent, dtype, "the latent vectors")]
    if inputs[0].shape[1:] != (gan.latent_size,):
        raise ValueError(
            f"the latent vectors have shape {inputs[0].shape}, expected (count, {gan.latent_size}) for this GAN's "
            "latent_size"
        )
    if condition is not None:
        inputs.append(as_input(condition, dtype, "the conditions"))
        if len(inputs[0]) != len(inputs[1]):
            raise ValueError(
                f"{len(inputs[0])} latent vectors have {len(inputs[1])} conditions; expected one condition for each"
            )
    return inputs


def generate(generator: Module, latent: Tensor, condition: Tensor | None = None) -> Tensor:
    """The output of the generator. Raises ValueError, which names the shapes, if it cannot be called so."""
    try:
        return generator(latent) if condition is None else generator(latent, condition)
    except (TypeError, ValueError) as error:
        hint = "; give conditions if the GAN is conditional, else none" if "positional argument" in str(error) else ""
        raise ValueError(generator_failure(latent, condition, clause(error) + hint)) from error
