"""Load the GAN of a run from a checkpoint, and draw samples from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan import recipes
from minigan.autodiff import Tensor
from minigan.core import random
from minigan.core.errors import CheckpointError, NonFiniteError, clause
from minigan.domains import Domain, View
from minigan.gan import GAN
from minigan.training import checkpoint, consistency, kept_checkpoints
from minigan.training.config import RunConfig, load_config, recorded_shape
from minigan.training.run_folder import RunFolder, open_run

_LATENTS_AT_ONCE = 1000  # latent vectors per generator of random numbers; changing it changes the samples of a seed


def untrained_gan(config: RunConfig, shape: tuple[int, ...]) -> GAN:
    """The untrained GAN of `config` for examples of `shape`."""
    recipe = recipes.get(config.recipe)
    with np.errstate(all="ignore"):  # numbers that are not finite raise NonFiniteError later
        return recipe.build(shape=shape, steps=config.steps, seed=config.seed, dtype=config.dtype, **config.settings)


def load_into(gan: GAN, config: RunConfig, folder: RunFolder, source: Path) -> dict[str, np.ndarray]:
    """Load the checkpoint `source` of the run in `folder`, which `config` describes, into `gan`.

    Returns the state of the diagnosis, by names without checkpoint.DIAGNOSIS_PREFIX. Raises
    CheckpointError, and changes nothing, if it is damaged, does not fit, or is inconsistent.
    """
    try:
        arrays = checkpoint.load(source, config.recipe, gan.state())
        state = checkpoint.without_diagnosis(arrays)
        try:
            consistency.require_consistent(state, config)
        except ValueError as error:
            raise CheckpointError(
                f"the checkpoint {source} is inconsistent: {error}; restore it from a copy, or train again."
            ) from None
    except CheckpointError as error:
        earlier = kept_checkpoints.earlier_in_words(folder)
        if source != folder.checkpoint or not earlier:
            raise
        raise CheckpointError(f"{clause(error)}; or name an earlier one: --checkpoint {earlier}.") from None
    gan.load_state(state)
    prefix = checkpoint.DIAGNOSIS_PREFIX
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name not in state}


@dataclass(frozen=True)
class TrainedRun:
    """The GAN in a checkpoint of a run, its configuration, and the domain of its examples, which has their shape."""

    gan: GAN
    config: RunConfig
    domain: Domain[Any]


def load_run(path: Path, selection: str | None = None) -> TrainedRun:
    """The GAN in the run folder `path`, of the checkpoint `selection` (see kept_checkpoints.choose; None: the last).

    Raises CheckpointError if it is missing or damaged.
    """
    folder = open_run(path)
    config = load_config(folder.config)
    shape = recorded_shape(folder.config, config)
    gan = untrained_gan(config, shape)
    load_into(gan, config, folder, kept_checkpoints.choose(folder, selection))
    domain = recipes.get(config.recipe).domain.with_shape(shape).with_settings(config.settings)
    return TrainedRun(gan, config, domain)


def draw_samples(run: TrainedRun, count: int, seed: int, condition: np.ndarray | None = None) -> np.ndarray:
    """`count` samples of the run as `Domain.present` returns them, (count, *shape): a pure function of `seed`.

    condition: (count, ...), None for a GAN without. Raises NonFiniteError if a sample is not finite.
    """
    try:
        return samples_of_seed(run.gan, run.domain, count, seed, condition)
    except NonFiniteError as error:
        raise NonFiniteError(f"step {run.gan.step}: {error}; name another checkpoint with --checkpoint.") from None


def samples_of_seed(gan: GAN, domain: View, count: int, seed: int, condition: np.ndarray | None = None) -> np.ndarray:
    """`count` samples as `View.present` returns them: a pure function of `seed` and of `condition` (count, ...).

    Raises NonFiniteError if a sample is not finite.
    """
    parts, start = [], 0
    for latent in _latents(gan, count, seed):
        parts.append(generate(gan, domain, latent, None if condition is None else condition[start:][: len(latent)]))
        start += len(latent)
    return np.concatenate(parts)


def draw_latents(run: TrainedRun, count: int, seed: int) -> np.ndarray:
    """The latent vectors (count, latent_size) of the samples that `draw_samples` draws."""
    return np.concatenate([latent.numpy() for latent in _latents(run.gan, count, seed)])


def _latents(gan: GAN, count: int, seed: int) -> Iterator[Tensor]:
    for start in range(0, count, _LATENTS_AT_ONCE):  # the first samples are the same for every count
        rng = random.generator(seed, "samples", start // _LATENTS_AT_ONCE)
        yield gan.latent_from(rng, min(_LATENTS_AT_ONCE, count - start))


def generate(gan: GAN, domain: View, latent: Tensor, condition: Any = None) -> np.ndarray:
    """Samples from the latent vectors `latent` (N, latent_size), as `View.present` returns them: (N, *shape).

    condition: (N, ...), None for a GAN without. Raises NonFiniteError if a sample is not finite.
    """
    parts = []
    for start in range(0, len(latent), domain.samples_per_pass):
        part = slice(start, start + domain.samples_per_pass)
        given = () if condition is None else (condition[part],)
        values = gan.sample(latent[part], *given).numpy()
        if not np.isfinite(values).all():
            raise NonFiniteError("the samples are not finite")
        parts.append(domain.present(values))
    return np.concatenate(parts)
