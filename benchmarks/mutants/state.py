"""Mistakes that show over several calls only: a state is kept, an argument changed, or random numbers drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mutants.case import Case, Pair
from mutants.rule import Arrays, Rule, Static
from mutants.rules import BY_NAME, generator

_MOST = 6
_CACHED = (
    "relu", "tanh", "dense tanh", "batch norm", "layer norm", "softmax", "max", "max pool", "attention",
    "GAN, discriminator", "penalty of a quadratic critic", "conv stride 1 padding 1",
)  # fmt: skip
_ACCUMULATED = ("dense tanh", "bias", "conv stride 2 padding 1", "batch norm", "gather")

Numeric = Callable[..., np.ndarray]


def cached(f: Numeric, vjp: Numeric) -> Pair:
    """The backward pass uses the inputs of the last forward pass, not its own arguments."""
    seen: list[np.ndarray] = []

    def forward(*arrays):
        seen[:] = [x.copy() for x in arrays]
        return f(*arrays)

    return forward, lambda *arguments: vjp(*seen, arguments[-1])


def accumulated(f: Numeric, vjp: Numeric) -> Pair:
    """The derivatives of each call are added to those of earlier calls."""
    totals: list[np.ndarray] = []

    def backward(*arguments):
        new = vjp(*arguments)
        totals[:] = [t + g for t, g in zip(totals, new, strict=True)] if totals else new
        return tuple(t.copy() for t in totals)

    return f, backward


def _relu_in_place(x):
    x[x < 0] = 0
    return x.copy()


def _clip_in_place(x):
    return np.clip(x, -0.7, 0.9, out=x).copy()


def _centred_softmax_in_place(x):
    x -= x.max(1, keepdims=True)
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def _centred_in_place(x, gamma, beta):
    x -= x.mean(0)
    return gamma * x / np.sqrt((x * x).mean(0) + 1e-5) + beta


def _scaled_in_place(x, w, b):
    w *= 1.0 - 1e-3
    return np.tanh(x @ w + b)


_FORWARD_IN_PLACE = (
    ("relu", "negative numbers set to zero", _relu_in_place),
    ("clip", "clipped", _clip_in_place),
    ("softmax", "maximum taken off", _centred_softmax_in_place),
    ("batch norm", "centred", _centred_in_place),
    ("dense tanh", "weights decayed", _scaled_in_place),
)


def _multiplied(x, u, **static):
    x[x < 0] = 0
    x[x > 0] = 1
    return (u * x,)


def _whitened_in_place(x, gamma, beta, u):
    right = BY_NAME["batch norm"].vjp(x, gamma, beta, u)
    x -= x.mean(0)
    return right


def _sorted_in_place(a, b, u):
    right = BY_NAME["square matmul"].vjp(a, b, u)
    b[:] = b.T.copy()
    return right


def _gated_cotangent(x, u):
    u *= x > 0
    return (u.copy(),)


def _scaled_cotangent(x, w, b, u):
    right = BY_NAME["dense tanh"].vjp(x, w, b, u)
    u *= 1 - np.tanh(x @ w + b) ** 2
    return right


_BACKWARD_IN_PLACE = (
    ("relu", "x becomes its gate", _multiplied),
    ("batch norm", "x is centred", _whitened_in_place),
    ("square matmul", "b is transposed", _sorted_in_place),
    ("relu", "the cotangent is gated", _gated_cotangent),
    ("dense tanh", "the cotangent is gated", _scaled_cotangent),
)


def drawn_anew(seed: int) -> Pair:
    """Dropout that draws a mask in each forward pass and uses the last one in the backward pass."""
    rng = np.random.default_rng(seed)
    held = {"mask": np.zeros(())}

    def forward(x):
        held["mask"] = rng.random(x.shape) < 0.6
        return x * held["mask"] / 0.6

    return forward, lambda x, u: (u * held["mask"] / 0.6,)


def drawn_twice(seed: int) -> Pair:
    """Dropout with a fixed mask in the forward pass and a random one in the backward pass."""
    rng = np.random.default_rng(seed)
    return (
        lambda x: x * (np.arange(x.size).reshape(x.shape) % 3 > 0) / 0.6,
        lambda x, u: (u * (rng.random(x.shape) < 0.6) / 0.6,),
    )


def noisy(seed: int) -> Pair:
    """A function that adds instance noise."""
    rng = np.random.default_rng(seed)
    return (
        lambda x: np.mean(np.logaddexp(0, x + 0.1 * rng.standard_normal(x.shape))),
        lambda x, u: (u / (1 + np.exp(-x)) / x.size,),
    )


def stateful(seed: int) -> list[Case]:
    """All mistakes of this module."""
    cases = [_kept("state: last call's cache", "cached", cached, name, seed) for name in _CACHED]
    cases += [_kept("state: accumulated", "accumulated", accumulated, name, seed) for name in _ACCUMULATED]
    for name, what, f in _FORWARD_IN_PLACE:
        cases.append(_case("state: in place", f"forward, {what}", name, seed, lambda f=f, name=name: (f, _right(name))))
    for name, what, vjp in _BACKWARD_IN_PLACE:
        cases.append(_case("state: in place", f"backward, {what}", name, seed,
                           lambda vjp=vjp, name=name: (BY_NAME[name].f, vjp)))  # fmt: skip
    for what, build in (("a new mask each time", drawn_anew), ("another mask backward", drawn_twice), ("noise", noisy)):
        cases.append(_case("state: random", what, "tanh", seed, lambda build=build: build(seed)))
    return cases


def _right(name: str) -> Numeric:
    rule = BY_NAME[name]
    static = rule.draw(generator(0, "static"), _MOST)[1]
    return lambda *arguments: rule.vjp(*arguments, **static)


def _kept(kind: str, what: str, wrap: Callable[..., Pair], name: str, seed: int) -> Case:
    rule = BY_NAME[name]
    point, static = _largest(rule, generator(seed, what, name))

    def build() -> Pair:
        return wrap(lambda *x: rule.f(*x, **static), lambda *x: rule.vjp(*x, **static))

    return Case(kind, f"{name}: {what}", tuple(rule.names.split()), point, build, _causes(kind))


def _case(kind: str, what: str, name: str, seed: int, build: Callable[[], Pair]) -> Case:
    rule = BY_NAME[name]
    point, _ = _largest(rule, generator(seed, what, name))
    return Case(kind, f"{name}: {what}", tuple(rule.names.split()), point, build, _causes(kind))


def _largest(rule: Rule, rng: np.random.Generator) -> tuple[Arrays, Static]:
    """The largest of some draws, because in a small array a gate may be open, or closed, for all entries."""
    return max((rule.draw(rng, _MOST) for _ in range(5)), key=lambda drawn: drawn[0][0].size)


def _causes(kind: str) -> tuple[str, ...]:
    return {"state: in place": ("input mutated", "cotangent mutated"), "state: random": ("not repeatable",)}.get(
        kind, ("not re-entrant", "not repeatable")
    )
