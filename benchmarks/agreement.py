"""Checks that every implementation computes the same training step, in float64, before any of them is timed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from command_line import DisagreementError
from twins.arrays import Results
from twins.make import make_twin

UPDATES_COMPARED = 3
EXAMPLES_COMPARED = 8  # of each batch: float64 convolutions are slow in PyTorch, and slower in JAX
# In float64 the implementations differ by the order of their sums: 1e-16 times the square root of some ten thousand
# terms, over a dozen layers, is 1e-13. A wrong factor or epsilon shows above 1e-6, and an activation so near
# LeakyReLU's kink that rounding could flip it is a matter of 1e-8 in probability; in float32 it is to be expected.
TOLERANCE = 1e-9


def check(network: str, peer: str) -> None:
    """Raises DisagreementError unless `peer` computes what minigan computes: losses, gradients, updates."""
    with double_precision(peer):
        mine = make_twin("minigan", network, "float64", EXAMPLES_COMPARED)
        theirs = make_twin(peer, network, "float64", EXAMPLES_COMPARED)
        latents = mine.latents(UPDATES_COMPARED)
        require_same(network, peer, mine.losses_and_gradients(), theirs.losses_and_gradients(latents[0]))
        for latent in latents:
            mine.step()
            theirs.advance(latent)
        require_same(network, peer, mine.weights(), theirs.weights())


@contextmanager
def double_precision(peer: str) -> Iterator[None]:
    """A context in which JAX computes in float64 where asked; the others do so anyway."""
    config = importlib.import_module("jax").config if peer == "jax" else None
    if config:
        config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        if config:
            config.update("jax_enable_x64", False)


def require_same(network: str, peer: str, mine: Results, theirs: Results) -> None:
    """Raises DisagreementError if an array differs by more than TOLERANCE times the largest number of its kind.

    The largest of its kind and not its own, since the bias before a batch norm has gradient zero, of which both sides
    compute rounding noise.
    """
    import numpy as np

    for what, ours in mine.items():
        scale = max(np.abs(values).max() for values in ours)
        for i, (a, b) in enumerate(zip(ours, theirs[what], strict=True)):
            distance = np.abs(a - np.asarray(b)).max()
            if not distance <= TOLERANCE * scale:  # also if it is NaN
                raise DisagreementError(
                    f"The {what} of {network} (number {i}) differ between minigan and {peer} by {distance:.1e} where "
                    f"the largest is {scale:.1e}; timing them would mean nothing."
                )
