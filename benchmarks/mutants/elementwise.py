"""Rules of elementwise functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mutants.rule import UNNAMED, Arrays, Mistake, Rule, some_shape, wrong

_GATES = ("gate", "missing gate", UNNAMED, "one entry")


def normal(rng: np.random.Generator, most: int) -> tuple[Arrays, dict]:
    return (rng.standard_normal(some_shape(rng, most)),), {}


def positive(rng: np.random.Generator, most: int) -> tuple[Arrays, dict]:
    return (rng.uniform(0.3, 2, some_shape(rng, most)),), {}


def at_zero(rng: np.random.Generator, arrays: Arrays, static: dict, distance: float) -> Arrays:
    return (near(rng, arrays[0], (0.0,), distance),)


def near(rng: np.random.Generator, x: np.ndarray, kinks: tuple[float, ...], distance: float) -> np.ndarray:
    """x with some entries, at least one, moved to `distance` from one of the kinks, on either side."""
    chosen = rng.random(x.shape) < rng.uniform(0, 1)
    chosen.reshape(-1)[rng.integers(x.size)] = True
    places = rng.choice(kinks, x.shape) + distance * rng.choice([-1.0, 1.0], x.shape)
    return np.where(chosen, places, x)


def unary(name: str, f: Callable, derivative: Callable, *mistakes: tuple, draw=normal, **about) -> Rule:
    """The rule of an elementwise function; each of `mistakes` is (kind, what, the wrong derivative, causes ...)."""

    def rule_with(d: Callable) -> Callable[..., Arrays]:
        return lambda x, u, **static: (u * d(x, **static),)

    made: list[Mistake] = [wrong(kind, what, rule_with(d), *causes) for kind, what, d, *causes in mistakes]
    return Rule(name, "x", f, rule_with(derivative), draw, tuple(made), **about)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def softplus(x):
    return np.logaddexp(0, x)


def softplus_by_parts(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def relu(x):
    return np.maximum(x, 0)


def leaky_relu(x, slope):
    return np.where(x > 0, x, slope * x)


def _leaky(rng, most):
    return normal(rng, most)[0], {"slope": 0.2}


def _clip(rng, most):
    return normal(rng, most)[0], {"low": -0.7, "high": 0.9}


def _at_bounds(rng, arrays, static, distance):
    return (near(rng, arrays[0], (static["low"], static["high"]), distance),)


def _power(rng, most):
    return positive(rng, most)[0], {"p": float(rng.choice([-1.5, -1, 0.5, 2, 3]))}


def _dropped(rng, most):
    (x,), _ = normal(rng, max(3, most))
    mask = rng.random(x.shape) < 0.6
    mask.reshape(-1)[0] = False
    mask.reshape(-1)[-1] = True
    return (x,), {"mask": mask, "keep": 0.6}


def _inside(x, low, high):
    return (x > low) & (x < high)


RULES = [
    unary(
        "exp", np.exp, np.exp,
        ("missing term", "x times exp, as if it were a power", lambda x: x * np.exp(x), UNNAMED),
        ("detached", "no derivative", lambda x: 0 * x, "detached"),
        scales=(-3, 1),
    ),
    unary(
        "log", np.log, lambda x: 1 / x,
        ("missing term", "1/x^2", lambda x: 1 / x**2, UNNAMED),
        ("missing term", "u alone", np.ones_like, UNNAMED), draw=positive,
    ),
    unary(
        "sqrt", np.sqrt, lambda x: 0.5 / np.sqrt(x),
        ("factor", "1/2 forgotten", lambda x: 1 / np.sqrt(x), "factor 1/2"),
        ("missing term", "times sqrt(x)", lambda x: 0.5 * np.sqrt(x), UNNAMED), draw=positive,
    ),
    unary(
        "power", lambda x, p: x**p, lambda x, p: p * x ** (p - 1),
        ("factor", "p forgotten", lambda x, p: x ** (p - 1),
         "factor", "factor 2", "factor 1/2", "sign", "sum taken as mean"),
        ("missing term", "exponent not lowered", lambda x, p: p * x**p, UNNAMED), draw=_power,
    ),
    unary(
        "sigmoid", sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x)),
        ("missing term", "s instead of s (1 - s)", sigmoid, UNNAMED),
        ("sign", "s (s - 1)", lambda x: sigmoid(x) * (sigmoid(x) - 1), "sign"),
        ("missing term", "of the output, s' (x = s)", lambda x: sigmoid(sigmoid(x)) * (1 - sigmoid(sigmoid(x))),
         UNNAMED),
    ),
    unary(
        "tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2,
        ("missing term", "1 - y, not squared", lambda x: 1 - np.tanh(x), UNNAMED),
        ("sign", "y^2 - 1", lambda x: np.tanh(x) ** 2 - 1, "sign"),
        ("missing term", "1 - x^2, of the input", lambda x: 1 - x**2, UNNAMED),
    ),
    unary(
        "softplus", softplus, sigmoid,
        ("sign", "sigmoid of -x", lambda x: sigmoid(-x), UNNAMED),
        ("missing term", "ReLU's derivative", lambda x: 1.0 * (x > 0), UNNAMED, "gate"),
    ),
    unary("softplus by parts", softplus_by_parts, sigmoid,
          ("sign", "minus sigmoid", lambda x: -sigmoid(x), "sign")),
    unary("square", lambda x: x * x, lambda x: 2 * x,
          ("factor", "2 forgotten", lambda x: x, "factor 2"),
          ("missing term", "|2x|", lambda x: np.abs(2 * x), UNNAMED)),
    unary("reciprocal", lambda x: 1 / x, lambda x: -1 / x**2,
          ("sign", "1/x^2", lambda x: 1 / x**2, "sign"), draw=positive),
    unary("sine", np.sin, np.cos, ("sign", "minus cosine", lambda x: -np.cos(x), "sign"), scales=(-3, 1)),
    unary(
        "relu", relu, lambda x: 1.0 * (x > 0),
        ("missing gate", "all passes", np.ones_like, *_GATES),
        ("missing gate", "the gate is open where x < 0", lambda x: 1.0 * (x < 0), *_GATES),
        ("gate", "the gate closes below 0.5", lambda x: 1.0 * (x > 0.5), *_GATES),
        kink=at_zero,
    ),
    unary(
        "leaky relu", leaky_relu, lambda x, slope: np.where(x > 0, 1, slope),
        ("gate", "ReLU's gate", lambda x, slope: 1.0 * (x > 0), *_GATES),
        ("missing gate", "all passes", lambda x, slope: np.ones_like(x), *_GATES),
        ("missing gate", "slope and 1 exchanged", lambda x, slope: np.where(x > 0, slope, 1), *_GATES),
        ("missing gate", "slope everywhere", lambda x, slope: np.full_like(x, slope), *_GATES),
        draw=_leaky, kink=at_zero,
    ),
    unary(
        "abs", np.abs, np.sign,
        ("sign", "+1 everywhere", np.ones_like, UNNAMED, "one entry"),
        ("sign", "minus sign", lambda x: -np.sign(x), "sign"), kink=at_zero,
    ),
    unary(
        "elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1, np.exp(np.minimum(x, 0))),
        ("missing gate", "all passes", np.ones_like, *_GATES),
        ("missing term", "y instead of y + 1", lambda x: np.where(x > 0, 1, np.expm1(np.minimum(x, 0))), UNNAMED),
        kink=at_zero,
    ),
    unary(
        "clip", lambda x, low, high: np.clip(x, low, high), lambda x, low, high: 1.0 * _inside(x, low, high),
        ("missing gate", "all passes", lambda x, low, high: np.ones_like(x), *_GATES),
        ("missing gate", "only the lower bound", lambda x, low, high: 1.0 * (x > low), *_GATES),
        ("gate", "passes where it should not, and else not", lambda x, low, high: 1.0 - _inside(x, low, high), *_GATES),
        draw=_clip, kink=_at_bounds,
    ),
    unary(
        "dropout", lambda x, mask, keep: x * mask / keep, lambda x, mask, keep: np.ones_like(x) * mask / keep,
        ("missing gate", "mask forgotten", lambda x, mask, keep: np.full_like(x, 1 / keep), *_GATES),
        ("factor", "1/keep forgotten", lambda x, mask, keep: 1.0 * mask, "factor"),
        ("gate", "mask inverted", lambda x, mask, keep: ~mask / keep, *_GATES),
        draw=_dropped,
    ),
    Rule("constant", "x", lambda x: np.full(3, 2.5, x.dtype), lambda x, u: (np.zeros_like(x),), normal),
]  # fmt: skip
