"""The seeds of layers: a numpy generator, a whole number, or none, for a stream that all layers share."""

from __future__ import annotations

import numpy as np

from minigan.core import random

Seed = np.random.Generator | int | None
"""Where a layer's random numbers come from: a generator that goes on, a seed, or None for the default stream."""

_default_seed = 0
_drawn = 0  # layers that have been made without a seed since `manual_seed`


def manual_seed(seed: int) -> None:
    """Begin the default stream anew with `seed`: layers that are made without a seed draw their numbers from it.

    A program starts with seed 0. Layer number n of the stream gets numbers that are a pure function of (seed, n). So
    two layers differ, and a program that makes the same layers in the same order gets the same weights. The GAN's own
    random numbers, such as latent vectors, do not come from here, but from the GAN's seed.

    Raises TypeError or ValueError unless `seed` is a whole number from 0 to 2^64 - 1.
    """
    global _default_seed, _drawn
    _default_seed, _drawn = _require_seed(seed), 0


def as_generator(seed: Seed) -> np.random.Generator:
    """The generator `seed` itself, `np.random.default_rng(seed)` of a whole number, or the next of the default stream.

    Raises TypeError for anything else, ValueError for a number that is no seed.
    """
    global _drawn
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is not None:
        return np.random.default_rng(_require_seed(seed))
    _drawn += 1
    return random.generator(_default_seed, "layers", _drawn - 1)


def as_seed(seed: Seed) -> int:
    """`seed` itself if it is a whole number, else one drawn from the generator. Raises as `as_generator` does."""
    if seed is None or isinstance(seed, np.random.Generator):
        return int(as_generator(seed).integers(2**62))
    return _require_seed(seed)


def _require_seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        got = repr(seed) if isinstance(seed, (str, float, bool)) else type(seed).__name__
        raise TypeError(f"a seed is a whole number, a generator (np.random.default_rng(0)), or left out; got {got}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"a seed is a whole number from 0 to 2^64 - 1, got {seed}")
    return int(seed)
