"""Penalties on how steep a critic is: means over the batch of its gradient with respect to its input.

Each is a function of (critic, real, fake, draws) that returns a scalar Tensor, to be added to the critic's loss with a
weight. g(x) is the gradient of the critic's score (its logit) with respect to one example x, over all of its axes; the
critic must judge every example by itself. Being made with `create_graph=True`, a penalty can be differentiated with
respect to the critic's weights: the double backward of Gulrajani et al., 2017.

`draws` is a numpy.random.Generator, or what `drawn` made of one: for `wgan_gp` and `zero_centred` numbers from 0 to 1
of shape (n, 1, ...), for `dragan` standard normal ones of the shape of `real`; one entry for each part of a sum. `r1`,
`r2` and their sum need none. A penalty says what it draws in its attribute `draw`, a function of (generator, shape of
real, dtype); one without that attribute is given the generator itself.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad, no_grad
from minigan.core.errors import UsageError, did_you_mean
from minigan.ops import add, concatenate, mean, reshape, sign, sqrt, sum

Critic = Callable[[Tensor], Tensor]
Draws = Any  # numpy.random.Generator, Tensor, a tuple with an entry for each part of a sum, or None
Penalty = Callable[[Critic, Tensor, Tensor, Draws], Tensor]


def draw_for(penalty: Penalty, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> Draws:
    """What `penalty` is to be given as `draws` for real examples of `shape`, drawn from `rng`."""
    draw = getattr(penalty, "draw", None)
    return rng if draw is None else draw(rng, shape, dtype)


def copy_draws(draws: Draws) -> Draws:
    """`draws` for one call of a penalty: a generator is copied, so that the next call is given the same numbers."""
    return copy.deepcopy(draws) if isinstance(draws, np.random.Generator) else draws


def _drawing(draw: Callable[[np.random.Generator, tuple[int, ...], np.dtype], Draws]) -> Callable[[Any], Any]:
    """A decorator that says what a penalty draws."""

    def decorate(penalty: Any) -> Any:
        penalty.draw = draw
        return penalty

    return decorate


def _nothing(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> None:
    return None


def _shares(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """A number from 0 to 1 for each example."""
    return Tensor(rng.random((shape[0], *(1,) * (len(shape) - 1)), dtype=dtype.type))


def _noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    return Tensor(rng.standard_normal(shape, dtype=dtype.type))


@_drawing(_shares)
def wgan_gp(critic: Critic, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
    """mean (|g(x)| - 1)^2 at x = u real + (1 - u) fake, u from 0 to 1 (Gulrajani et al., 2017, equation 3).

    Raises ValueError unless real and fake have one shape.
    """
    return _one_centred(critic, _interpolates(real, fake, draws))


@_drawing(_shares)
def zero_centred(critic: Critic, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
    """mean |g(x)|^2 at x = u real + (1 - u) fake, u from 0 to 1 (Thanh-Tung et al., 2019).

    Raises ValueError unless real and fake have one shape.
    """
    return mean(_squared_norms(critic, _interpolates(real, fake, draws)))


@_drawing(_nothing)
def r1(critic: Critic, real: Tensor, fake: Tensor | None = None, draws: Draws = None) -> Tensor:
    """mean |g(x)|^2 / 2 at the real examples (Mescheder et al., 2018, equation 9)."""
    return mean(_squared_norms(critic, real)) * 0.5


@_drawing(_nothing)
def r2(critic: Critic, real: Tensor, fake: Tensor, draws: Draws = None) -> Tensor:
    """mean |g(x)|^2 / 2 at the fakes (Mescheder et al., 2018, equation 10)."""
    return mean(_squared_norms(critic, fake)) * 0.5


@_drawing(_nothing)
def r1_and_r2(critic: Critic, real: Tensor, fake: Tensor, draws: Draws = None) -> Tensor:
    """r1 + r2; as many of each, of one shape, go through the critic together: the mean of both halves is the sum."""
    if real.shape != fake.shape:
        return r1(critic, real) + r2(critic, real, fake)
    return mean(_squared_norms(critic, concatenate([real, fake])))


@_drawing(_noise)
def dragan(critic: Critic, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
    """mean (|g(x)| - 1)^2 around the real examples (Kodali et al., 2017).

    x = real + e s / 2, with e standard normal and s the standard deviation of all numbers in the batch, which is the
    scale in the authors' code.
    """
    noise = _given(draws, _noise, real.shape, real)
    from_mean = real - mean(real)
    return _one_centred(critic, real + noise * (_root(mean(from_mean * from_mean)) * 0.5))


PENALTIES: dict[str, Penalty] = {
    "wgan-gp": wgan_gp, "r1": r1, "r2": r2, "r1+r2": r1_and_r2, "zero-centred": zero_centred, "dragan": dragan,
}  # fmt: skip


def get(name: str) -> Penalty:
    """The penalty called `name`, or the sum of those in a name such as "r1+dragan".

    Raises UsageError, naming the nearest, if there is none.
    """
    if name in PENALTIES:
        return PENALTIES[name]
    if "+" not in name:
        raise UsageError(f"there is no penalty '{name}'; {did_you_mean(name, PENALTIES)}")
    parts = [get(part) for part in name.split("+")]

    @_drawing(lambda rng, shape, dtype: tuple(draw_for(part, rng, shape, dtype) for part in parts))
    def total(critic: Critic, real: Tensor, fake: Tensor, draws: Draws = None) -> Tensor:
        each = draws if isinstance(draws, tuple) else (draws,) * len(parts)
        return functools.reduce(add, (part(critic, real, fake, own) for part, own in zip(parts, each, strict=True)))

    return total


def _one_centred(critic: Critic, x: Tensor) -> Tensor:
    excess = _root(_squared_norms(critic, x)) - 1.0
    return mean(excess * excess)


def _squared_norms(critic: Critic, x: Tensor) -> Tensor:
    """|g|^2 of each example (n,), differentiable in whatever the critic depends on."""
    (g,) = grad(sum(critic(x)), [x], create_graph=True)
    flat = reshape(g, (len(x), -1))
    return sum(flat * flat, axis=1)


def _root(square: Tensor) -> Tensor:
    """The square root of a sum of squares, whose derivative at 0 is taken as 0 where that of `sqrt` is infinite.

    Elsewhere both are the same to the bit: what is added and taken away is 1 at 0, and 0 elsewhere.
    """
    with no_grad():
        at_zero = 1.0 - sign(square)
    return sqrt(square + at_zero) - at_zero


def _interpolates(real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
    if real.shape != fake.shape:
        raise ValueError(
            f"a penalty between real and fake examples needs as many of each, of one shape, got {real.shape} and "
            f"{fake.shape}"
        )
    share = _given(draws, _shares, (len(real), *(1,) * (real.ndim - 1)), real)
    return fake + share * (real - fake)


def _given(draws: Draws, draw: Callable[..., Tensor], shape: tuple[int, ...], real: Tensor) -> Tensor:
    """`draws` themselves, which must be of `shape`, or what `draw` makes of a generator."""
    if isinstance(draws, np.random.Generator):
        return draw(draws, real.shape, real.dtype)
    if not isinstance(draws, Tensor) or draws.shape != shape:
        given = f"a Tensor of shape {draws.shape}" if isinstance(draws, Tensor) else repr(draws)
        raise ValueError(
            f"the penalty needs draws of shape {shape}, or a random generator to make them; got "
            f"{'none' if draws is None else given}"
        )
    return draws
