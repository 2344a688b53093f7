"""Cases of the losses as functions of the logits, of their closed-form gradients, of penalties and of unrolling."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, primitive
from minigan.core import random
from minigan.gan import latent_search
from minigan.gan.latent_search import LatentSearch
from minigan.gan.losses import LOSSES, Loss
from minigan.gan.penalties import PENALTIES
from minigan.gan.semi_supervised import UNLABELLED, SemiSupervised
from minigan.gan.unrolling import unrolled_logits
from minigan.nn import Conv2d, Dense, Flatten, LeakyReLU, Module, Sequential, Tanh
from minigan.ops import logsumexp, sum
from minigan.selftest.case import Case, CheckedFunction
from minigan.selftest.layers import randomize
from minigan.selftest.sampler import Sampler


def cases(seed: int = 0, dtype: str = "float64") -> Iterator[Case]:
    """Cases of order 2; penalties and unrolled losses contain a derivative already, so their cases are of order 1."""
    for name, loss in LOSSES.items():
        real, fake = Sampler(seed, f"losses/{name}", dtype).pair_apart(6, 1)
        players: dict[str, tuple[Callable[..., Tensor], list[np.ndarray]]] = {
            "discriminator": (loss.discriminator, [real, fake]),
            "discriminator-closed-form": (_discriminator_closed_form(loss), [real, fake]),
            "generator": (loss.generator, [fake, real] if loss.relativistic else [fake]),
            "generator-closed-form": (_generator_closed_form(loss, real), [fake]),
        }
        for player, (f, inputs) in players.items():
            yield Case(f"losses/{name}/{player}", 2, functools.partial(CheckedFunction, f, inputs))
    for player in ("discriminator", "generator"):
        yield Case(f"losses/semi-supervised/{player}", 2, functools.partial(_semi_supervised, player, seed, dtype))
    for critic in _CRITICS:
        for penalty in PENALTIES:
            yield Case(
                f"penalties/{penalty}/{critic}", 1, functools.partial(_penalty_function, penalty, critic, seed, dtype)
            )
    for name in LOSSES:
        yield Case(f"unrolled/{name}", 1, functools.partial(_unrolled_function, name, seed, dtype))
    yield Case("latent-search/objective", 2, functools.partial(_latent_search, seed, dtype))


# The closed-form gradients, checked as the derivative of an operation whose value is the loss.


def _discriminator_closed_form(loss: Loss) -> Callable[..., Tensor]:
    def closed_form(g: Tensor, y: Tensor, real: Tensor, fake: Tensor, *, needs_grad: Any) -> list[Tensor]:
        return [g * d for d in loss.discriminator_logit_grads(real, fake)]

    @primitive(joint=closed_form)
    def discriminator_loss(B: Any, real: Any, fake: Any) -> Any:
        return loss.discriminator(Tensor(real), Tensor(fake)).data

    return discriminator_loss


def _generator_closed_form(loss: Loss, real: np.ndarray) -> Callable[..., Tensor]:
    @primitive(lambda g, y, fake: g * loss.generator_logit_grads(fake, Tensor(real)))
    def generator_loss(B: Any, fake: Any) -> Any:
        return loss.generator(Tensor(fake), Tensor(real)).data

    return generator_loss


def _semi_supervised(player: str, seed: int, dtype: str) -> CheckedFunction:
    """Of the class logits, and of the features, for real examples, half of which have a label, and for fakes."""
    sampler, loss = Sampler(seed, "losses/semi-supervised", dtype), SemiSupervised()
    labels = Tensor(sampler.array(2, 0, 1, UNLABELLED, UNLABELLED, UNLABELLED))

    def outputs(class_logits: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        return logsumexp(class_logits, keepdims=True), class_logits, features

    def f(real_classes: Tensor, real_features: Tensor, fake_classes: Tensor, fake_features: Tensor) -> Tensor:
        real, fake = outputs(real_classes, real_features), outputs(fake_classes, fake_features)
        if player == "discriminator":
            return loss.discriminator(real, fake, condition=labels)
        return loss.generator(fake, real, condition=labels)

    return CheckedFunction(f, [sampler.normal(*shape) for shape in ((6, 3), (6, 4), (5, 3), (5, 4))])


# Penalties contain the gradient of a critic's score with respect to its input: their derivative is a second derivative.

_CRITICS: dict[str, tuple[Callable[..., Module], tuple[int, ...]]] = {
    "dense-leaky": (lambda rng: Sequential(Dense(3, 5, rng), LeakyReLU(), Dense(5, 4, rng), Tanh(), Dense(4, 1, rng)),
                    (4, 3)),
    "dense-smooth": (lambda rng: Sequential(Dense(3, 5, rng), Tanh(), Dense(5, 1, rng)), (4, 3)),
    "conv-leaky": (
        lambda rng: Sequential(
            Conv2d(2, 4, 4, rng, stride=2, padding=1), LeakyReLU(),
            Conv2d(4, 3, 3, rng, padding="same"), Tanh(), Flatten(), Dense(12, 1, rng),
        ),
        (3, 4, 4, 2),
    ),
}  # fmt: skip


def _penalty_function(penalty: str, critic: str, seed: int, dtype: str) -> CheckedFunction:
    sampler = Sampler(seed, f"penalties/{critic}", dtype)
    make, shape = _CRITICS[critic]
    network = randomize(make(sampler.rng), sampler)

    def f(real: Tensor, fake: Tensor) -> Tensor:
        return PENALTIES[penalty](network, real, fake, random.generator(seed, f"catalog/penalties/{penalty}/draws"))

    return CheckedFunction(f, [sampler.normal(*shape), sampler.normal(*shape)], network.parameters(), [network])


def _unrolled_function(name: str, seed: int, dtype: str) -> CheckedFunction:
    """The generator's loss against a critic unrolled by two steps; the critic's weights are parameters."""
    sampler, loss = Sampler(seed, f"unrolled/{name}", dtype), LOSSES[name]
    make, shape = _CRITICS["dense-smooth"]
    network = randomize(make(sampler.rng), sampler)

    def f(real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = unrolled_logits(network, loss, real, fake, 2, 0.3)
        return loss.generator(fake_logits, real_logits)

    return CheckedFunction(f, [sampler.normal(*shape), sampler.normal(*shape)], network.parameters(), [network])


def _latent_search(seed: int, dtype: str) -> CheckedFunction:
    """The objective of inpainting by search as a function of the latent vectors and of both networks' weights."""
    sampler = Sampler(seed, "latent-search", dtype)
    generator = randomize(Sequential(Dense(3, 4, sampler.rng), Tanh(), Dense(4, 5, sampler.rng)), sampler)
    discriminator = randomize(Sequential(Dense(5, 4, sampler.rng), Tanh(), Dense(4, 1, sampler.rng)), sampler)
    targets, weights = Tensor(sampler.normal(2, 5)), Tensor(abs(sampler.normal(2, 5)))

    def f(latent: Tensor) -> Tensor:
        return sum(latent_search.objective(generator, discriminator, latent, targets, weights, LatentSearch()))

    parameters = generator.parameters("generator.") | discriminator.parameters("discriminator.")
    return CheckedFunction(f, [sampler.normal(2, 3)], parameters, [generator, discriminator], ["latent"])
