"""Fills holes in pictures with a trained run: by a network that was trained to, or by search in any other run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from minigan.core import random
from minigan.core.errors import UsageError
from minigan.data.held_out import HeldOutDataset, with_held_out
from minigan.domains import Evaluation, EvaluationRequest, ImageDomain
from minigan.domains.holes import HoleDomain, filled, hole_of
from minigan.domains.picture_pairs import read_test_set
from minigan.figures.image_grid import to_bytes
from minigan.gan.latent_search import LatentSearch, context_weights, search
from minigan.training.trained_run import TrainedRun, draw_samples

Progress = Callable[[int, int], None]
_SEEN = "(the run was trained on these pictures, among others, since its data have no test set)"
_SEED = 1  # of latent vectors that have no effect


def require_inpainting(run: TrainedRun, path: str) -> None:
    """Raise UsageError unless the run in the folder `path` can fill holes.

    It can if it is one of a recipe for that, or makes pictures without conditions.
    """
    domain, recipe = run.domain, run.config.recipe
    if not isinstance(domain, ImageDomain):
        raise UsageError(f"{path} is a run of {recipe}, whose samples are no pictures; name a run of pictures.")
    rng = random.generator(0, "conditions")
    conditions = domain.noise_condition(1, run.config.settings, rng, run.config.dtype)
    if not isinstance(domain, HoleDomain) and conditions is not None:
        raise UsageError(
            f"{path} is a run of {recipe}, whose generator makes pictures under a condition; name a run without "
            "conditions, such as one of mnist-dcgan, or one of mnist-inpaint."
        )


def inpainted(
    run: TrainedRun,
    conditions: np.ndarray,
    options: LatentSearch,
    *,
    seed: int = 1,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """uint8 (N, H, W, C): the pictures in `conditions` (see minigan.domains.holes.with_hole) with their holes filled.

    Known pixels stay as they are. A run of a HoleDomain applies its network, any other run a search with `options`
    and `seed`, whose `progress` is called with numbers of pictures.
    """
    domain = run.domain
    assert isinstance(domain, ImageDomain)
    if isinstance(domain, HoleDomain):
        filling = draw_samples(run, len(conditions), _SEED, domain.as_input(conditions, run.config.dtype))
        return filled(conditions, filling)
    known = ~hole_of(conditions)
    weights = np.broadcast_to(context_weights(known)[..., None], (*known.shape, domain.shape[2]))
    targets = domain.as_input(conditions[..., :-1], run.config.dtype)
    if run.gan.rules.packing != 1:  # its discriminator judges several samples together, no single one
        options = dataclasses.replace(options, prior_weight=0.0)
    found = search(run.gan, targets, weights.reshape(targets.shape), options, seed=seed, progress=progress)
    return filled(conditions, domain.present(found.samples))


def by_inpainting(run: TrainedRun, request: EvaluationRequest, hole: str, options: LatentSearch) -> Evaluation:
    """The evaluation of `inpainted` on pictures with the `hole`, "centre" or "random" (see HoleDomain).

    The pictures are the test set of the run's data, or those that a run of a HoleDomain held out. Without either, they
    are the last tenth of the pictures that the run was trained on, which "seen_in_training" and a line say; they are
    still left out of the examples for the nearest one. request: that of the run's own evaluation.
    """
    domain = run.domain
    assert isinstance(domain, ImageDomain)
    data = request.load()
    seen = False
    if not isinstance(data, HeldOutDataset):
        test = read_test_set(run.config, domain.shape)
        data, seen = with_held_out(data, test), test is None
    holes = HoleDomain(domain.shape)

    def sample(count: int, seed: int, condition: np.ndarray | None = None) -> np.ndarray:
        assert condition is not None
        with request.progress("filling holes") as progress:
            return inpainted(run, to_bytes(condition, holes.value_range), options, seed=seed, progress=progress)

    settings = {**request.settings, "hole": hole}
    found = holes.evaluate(dataclasses.replace(request, sample=sample, load=lambda: data, settings=settings))
    found = dataclasses.replace(found, facts={**found.facts, "hole": hole, "seen_in_training": seen})
    if not seen:
        return found
    return dataclasses.replace(found, lines=[*found.lines, _SEEN], measured=f"{found.facts['pictures']:,} pictures")
