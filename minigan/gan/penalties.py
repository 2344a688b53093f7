"""Gradient penalties: means over the batch of a function of the critic's gradient with respect to its input.

Each is a function of (critic, real, fake, draws) that returns a scalar Tensor, to be added to the critic's loss with a
weight. g(x) is the gradient of the critic's score (its logit) with respect to one example x, over all of its axes; the
critic's score of one example must not depend on the other examples. g(x) is computed with `create_graph=True`, so a
penalty can be differentiated with respect to the critic's weights: the double backward of Gulrajani et al., 2017.

`draws` are the random numbers of a penalty, drawn by `draw_for`, or a numpy.random.Generator from which the penalty
draws them itself. `wgan_gp` and `zero_centred` take uniform numbers from 0 to 1 of shape (n, 1, ...), `dragan` standard
normal numbers of the shape of `real`, a sum of penalties a tuple with an entry for each; `r1`, `r2` and their sum take
none. `draw_for` calls the penalty's attribute `draw`, a function of (numpy generator, shape of real, dtype); a penalty
without this attribute gets the numpy generator.
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

__all__ = [
    "PENALTIES", "Penalty", "copy_draws", "dragan", "draw_for", "get", "r1", "r1_and_r2", "r2", "wgan_gp",
    "zero_centred",
]  # fmt: skip

Critic = Callable[[Tensor], Tensor]
Draws = Any  # a numpy.random.Generator, a Tensor, None, or a tuple with an entry for each penalty of a sum
Penalty = Callable[[Critic, Tensor, Tensor, Draws], Tensor]
"""The type of a penalty: a function of (critic, real, fake, draws) that gives a scalar."""


def draw_for(penalty: Penalty, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> Draws:
    """The `draws` of `penalty` for real examples of `shape`, drawn from `rng`; `rng` itself if it has no `draw`."""
    draw = getattr(penalty, "draw", None)
    return rng if draw is None else draw(rng, shape, dtype)


def copy_draws(draws: Draws) -> Draws:
    """`draws` for one call of a penalty; a numpy generator is copied, so that every call draws the same numbers."""
    return copy.deepcopy(draws) if isinstance(draws, np.random.Generator) else draws


def _with_draw(draw: Callable[[np.random.Generator, tuple[int, ...], np.dtype], Draws]) -> Callable[[Any], Any]:
    """A decorator that sets the attribute `draw` of a penalty."""

    def decorate(penalty: Any) -> Any:
        penalty.draw = draw
        return penalty

    return decorate


def _draw_nothing(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> None:
    return None


def _draw_uniform(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    """A number from 0 to 1 for each example, (n, 1, ...)."""
    return Tensor(rng.random((shape[0], *(1,) * (len(shape) - 1)), dtype=dtype.type))


def _draw_normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    return Tensor(rng.standard_normal(shape, dtype=dtype.type))


@_with_draw(_draw_uniform)
def wgan_gp(critic: Critic, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
    """mean (|g(x)| - 1)^2 at x = u real + (1 - u) fake, u from 0 to 1 (Gulrajani et al., 2017, equation 3).

    Raises ValueError unless real and fake have one shape.
    """
    return _one_centred(critic, _interpolate(real, fake, draws))


@_with_draw(_draw_uniform)
def zero_centred(critic: Critic, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
    """mean |g(x)|^2 at x = u real + (1 - u) fake, u from 0 to 1 (Thanh-Tung et al., 2019).

    Raises ValueError unless real and fake have one shape.
    """
    return mean(_squared_norms(critic, _interpolate(real, fake, draws)))


@_with_draw(_draw_nothing)
def r1(critic: Critic, real: Tensor, fake: Tensor | None = None, draws: Draws = None) -> Tensor:
    """mean |g(x)|^2 / 2 at the real examples (Mescheder et al., 2018, equation 9)."""
    return mean(_squared_norms(critic, real)) * 0.5


@_with_draw(_draw_nothing)
def r2(critic: Critic, real: Tensor, fake: Tensor, draws: Draws = None) -> Tensor:
    """mean |g(x)|^2 / 2 at the fakes (Mescheder et al., 2018, equation 10)."""
    return mean(_squared_norms(critic, fake)) * 0.5


@_with_draw(_draw_nothing)
def r1_and_r2(critic: Critic, real: Tensor, fake: Tensor, draws: Draws = None) -> Tensor:
    """r1 + r2; if both shapes are equal, in one pass of the critic: the mean over the 2 n examples is the sum."""
    if real.shape != fake.shape:
        return r1(critic, real) + r2(critic, real, fake)
    return mean(_squared_norms(critic, concatenate([real, fake])))


@_with_draw(_draw_normal)
def dragan(critic: Critic, real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
    """mean (|g(x)| - 1)^2 around the real examples (Kodali et al., 2017).

    x = real + e s / 2, with e standard normal and s the standard deviation of all numbers in the batch, as in the
    authors' code.
    """
    noise = _draws_of_shape(real.shape, draws, _draw_normal, real)
    deviation = real - mean(real)
    return _one_centred(critic, real + noise * (_sqrt_flat_at_zero(mean(deviation * deviation)) * 0.5))


PENALTIES: dict[str, Penalty] = {
    "wgan-gp": wgan_gp, "r1": r1, "r2": r2, "r1+r2": r1_and_r2, "zero-centred": zero_centred, "dragan": dragan,
}  # fmt: skip
"""The penalties that can be named alone or in a sum, by name."""


def get(name: str) -> Penalty:
    """The penalty called `name`, or the sum of the penalties in a name such as "r1+dragan".

    Raises UsageError, naming the nearest, if there is none.
    """
    if name in PENALTIES:
        return PENALTIES[name]
    if "+" not in name:
        raise UsageError(f"there is no penalty '{name}'; {did_you_mean(name, PENALTIES)}")
    parts = [get(part) for part in name.split("+")]

    @_with_draw(lambda rng, shape, dtype: tuple(draw_for(part, rng, shape, dtype) for part in parts))
    def total(critic: Critic, real: Tensor, fake: Tensor, draws: Draws = None) -> Tensor:
        each = draws if isinstance(draws, tuple) else (draws,) * len(parts)
        return functools.reduce(add, (part(critic, real, fake, d) for part, d in zip(parts, each, strict=True)))

    total.__name__ = f"'{name}'"
    return total


def _one_centred(critic: Critic, x: Tensor) -> Tensor:
    """mean (|g(x)| - 1)^2."""
    excess = _sqrt_flat_at_zero(_squared_norms(critic, x)) - 1.0
    return mean(excess * excess)


def _squared_norms(critic: Critic, x: Tensor) -> Tensor:
    """|g(x)|^2 of each example, (n,), differentiable with respect to whatever the critic depends on."""
    (g,) = grad(sum(critic(x)), [x], create_graph=True)
    flat = reshape(g, (len(x), -1))
    return sum(flat * flat, axis=1)


def _sqrt_flat_at_zero(square: Tensor) -> Tensor:
    """The square root, with the derivative 0 at 0, where that of `sqrt` is infinite.

    Elsewhere it has the bits of `sqrt`: the number added and subtracted is 1 at 0, and 0 elsewhere.
    """
    with no_grad():
        at_zero = 1.0 - sign(square)
    return sqrt(square + at_zero) - at_zero


def _interpolate(real: Tensor, fake: Tensor, draws: Draws) -> Tensor:
    """u real + (1 - u) fake, with one u from 0 to 1 for each example."""
    if real.shape != fake.shape:
        raise ValueError(
            f"a penalty between real and fake examples needs as many of each, of one shape, got {real.shape} and "
            f"{fake.shape}"
        )
    u = _draws_of_shape((len(real), *(1,) * (real.ndim - 1)), draws, _draw_uniform, real)
    return fake + u * (real - fake)


def _draws_of_shape(shape: tuple[int, ...], draws: Draws, draw: Callable[..., Tensor], real: Tensor) -> Tensor:
    """`draws`; if it is a numpy generator, numbers drawn from it by `draw`. Raises ValueError for another shape."""
    if isinstance(draws, np.random.Generator):
        return draw(draws, real.shape, real.dtype)
    if not isinstance(draws, Tensor) or draws.shape != shape:
        got = f"a Tensor of shape {draws.shape}" if isinstance(draws, Tensor) else repr(draws)
        raise ValueError(
            f"the penalty needs draws of shape {shape}, or a random generator to make them; got "
            f"{'none' if draws is None else got}"
        )
    return draws
