"""Inpainting by search: the latent vector whose sample agrees with the known pixels of a picture (Yeh et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigan.autodiff import Tensor, grad, no_grad
from minigan.autodiff.parameter import Parameter
from minigan.core import random
from minigan.gan.conditions import logits_of
from minigan.gan.gan import GAN
from minigan.metrics.nearest import nearest_where_known
from minigan.nn import Module
from minigan.nn.module import preserve_state
from minigan.ops import reshape, softplus, sum
from minigan.optim import Adam, schedules

_AT_ONCE = 512  # latent vectors in one pass of the networks


@dataclass(frozen=True)
class LatentSearch:
    """How to search; the objective is that of `objective`.

    candidates: samples among which each picture's first latent vectors are looked for, those with the smallest weighted
    error; starts: how many of them are improved, for `exploring` steps of Adam, after which the best `kept` go on until
    `steps` steps have been taken. rate: of Adam, which falls to 0 along a cosine, twice. prior_weight, norm_weight: of
    the discriminator's term and of |z|^2.
    """

    candidates: int = 6000
    starts: int = 6
    exploring: int = 30
    kept: int = 3
    steps: int = 80
    rate: float = 0.1
    prior_weight: float = 5.0
    norm_weight: float = 0.5


@dataclass(frozen=True)
class Found:
    """latent: (n, kept, latent_size), the best first; objective: of each, (n, kept); samples: the mean of the
    generator's for each picture, (n, ...).

    Several latent vectors explain the known pixels about equally well; the mean of their samples is nearer to the truth
    than each of them alone.
    """

    latent: np.ndarray
    objective: np.ndarray
    samples: np.ndarray


def context_weights(known: np.ndarray, window: int = 7) -> np.ndarray:
    """The weight of each pixel in the search: bool (N, H, W) to float64 (N, H, W), with a mean of 1 over known pixels.

    A known pixel counts 1 plus `window` times the share of unknown pixels in the window around it, of window x window
    pixels; an unknown pixel counts 0. Pixels near the hole say more about what is in it (Yeh et al., 2017, equation 4,
    where pixels further away count nothing). Raises ValueError if a picture has no known pixel.
    """
    if not known.any(axis=(1, 2)).all():
        raise ValueError("a picture has no known pixel, and nothing to search for; leave it out")
    unknown = np.pad(~known, ((0, 0), (window // 2,) * 2, (window // 2,) * 2)).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(unknown, (window, window), axis=(1, 2))
    weights = np.where(known, 1 + window * windows.mean(axis=(3, 4)), 0.0)
    return np.asarray(weights * (known.sum(axis=(1, 2)) / weights.sum(axis=(1, 2)))[:, None, None])


def objective(
    generator: Module, discriminator: Module, latent: Tensor, targets: Tensor, weights: Tensor, options: LatentSearch
) -> Tensor:
    """The objective of each latent vector z, (n,), which the search minimises:

    sum w (G(z) - x)^2 + prior_weight * softplus(-D(G(z))) + norm_weight * |z|^2.

    latent: (n, latent_size). targets, weights: x and w, of the shape of G(z), with weights 0 where x is unknown. The
    second term is -log D for logits D, the generator's loss (Goodfellow et al., 2014, section 3); the third is, times a
    constant, the -log density of normal latent vectors. Yeh et al., 2017, equations 5 to 7, have absolute differences
    and log(1 - D), which vanishes where a sample is far from the data.
    """
    samples, count = generator(latent), len(latent)
    error = samples - targets
    context = sum(reshape(weights * error * error, (count, -1)), axis=1)
    total = context + sum(latent * latent, axis=1) * options.norm_weight
    if options.prior_weight:
        total = total + sum(softplus(-logits_of(discriminator(samples))), axis=1) * options.prior_weight
    return total


def search(
    gan: GAN,
    targets: np.ndarray,
    weights: np.ndarray,
    options: LatentSearch = LatentSearch(),
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """Latent vectors whose samples agree with `targets` (n, ...), pictures as the networks see them.

    weights: of the shape of targets, 0 where a target is unknown (see `context_weights`). gan: an unconditional GAN,
    whose networks are used in evaluation mode and left as they are; the generator is its EMA if it has one. A pure
    function of its arguments. progress(done, total) is called with numbers of pictures.

    Raises ValueError if targets or weights do not have the shape of the generator's samples, or if the discriminator
    sees several examples together (packing), unless prior_weight is 0.
    """
    if gan.rules.packing != 1 and options.prior_weight:
        raise ValueError("the discriminator sees several samples together and judges no single one; set prior_weight 0")
    dtype = gan.generator_optimizer.parameters[0].dtype
    targets, weights = targets.astype(dtype), weights.astype(dtype)
    latent = gan.latent_from(random.generator(seed, "latent search"), options.candidates).numpy()
    samples = np.concatenate([gan.sample(part).numpy() for part in _parts(latent)])
    if targets.shape[1:] != samples.shape[1:] or weights.shape != targets.shape:
        raise ValueError(
            f"the pictures have shape {targets.shape[1:]} and their weights {weights.shape[1:]}, expected "
            f"{samples.shape[1:]}, that of the generator's samples"
        )
    generator = gan.ema.network if gan.ema else gan.generator
    found = []
    with preserve_state(generator, gan.discriminator):
        networks = generator.eval(), gan.discriminator.eval()
        at_once = max(1, _AT_ONCE // options.starts)
        for start in range(0, len(targets), at_once):
            part = slice(start, start + at_once)
            places = nearest_where_known(targets[part], weights[part], samples, options.starts)
            found.append(_improved(networks, latent[places], targets[part], weights[part], options))
            progress(min(start + at_once, len(targets)), len(targets))
    best, values = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    made = np.concatenate([gan.sample(part).numpy() for part in _parts(best.reshape(-1, gan.latent_size))])
    means = made.reshape(*best.shape[:2], *targets.shape[1:]).mean(axis=1)
    return Found(best, values, means)


def _parts(latent: np.ndarray) -> list[np.ndarray]:
    return np.split(latent, range(_AT_ONCE, len(latent), _AT_ONCE))


def _improved(
    networks: tuple[Module, Module],
    starts: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    options: LatentSearch,
) -> tuple[np.ndarray, np.ndarray]:
    """The best latent vectors of each picture, (n, kept, latent_size), and their objectives (n, kept), the smallest
    first, from `starts` (n, k, latent_size)."""
    explored = _ordered(*_descend(networks, starts, targets, weights, options, options.exploring))
    kept = explored[0][:, : options.kept]
    return _ordered(*_descend(networks, kept, targets, weights, options, options.steps - options.exploring))


def _ordered(latent: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in the order of `values`, the smallest of each picture first."""
    order = values.argsort(axis=1, kind="stable")
    return np.take_along_axis(latent, order[..., None], axis=1), np.take_along_axis(values, order, axis=1)


def _descend(
    networks: tuple[Module, Module],
    starts: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    options: LatentSearch,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The latent vectors after `steps` of Adam from `starts` (n, k, latent_size), and their objectives (n, k).

    The sum of all objectives is differentiated, and Adam's update of a number depends on its own gradients alone, so
    each latent vector is improved as if it were the only one.
    """
    count, k, size = starts.shape
    x, w = (Tensor(array.repeat(k, axis=0)) for array in (targets, weights))
    latent = Parameter(starts.reshape(-1, size))
    optimizer = Adam([latent], schedules.Cosine(options.rate, 0.0, max(1, steps)), beta1=0.9)
    for _ in range(steps):
        total = sum(objective(*networks, latent, x, w, options))
        optimizer.step(grad(total, [latent], keep_graph=False))
    with no_grad():
        values = objective(*networks, latent, x, w, options).numpy()
    return latent.numpy().reshape(starts.shape), values.reshape(count, k)
