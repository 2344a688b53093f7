"""Rules of normalisations, weight normalisation and attention."""

from __future__ import annotations

import numpy as np

from mutants.linear import drawn
from mutants.reductions import softmax
from mutants.rule import UNNAMED, Arrays, Rule, extent, wrong

EPS = 1e-5


def _batch(rng: np.random.Generator, most: int) -> tuple[Arrays, dict]:
    n, m = extent(rng, most, 3), extent(rng, most, 3)
    x, gamma, beta = drawn(rng, (n, m), (m,), (m,))
    return (x, gamma, beta), {}


def _whitened(x, axis):
    centred = x - x.mean(axis, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis, keepdims=True) + EPS)
    return centred / deviation, deviation


def normalise(x, gamma, beta, axis):
    return gamma * _whitened(x, axis)[0] + beta


def normalise_vjp(x, gamma, beta, u, axis, mean=1.0, variance=1.0, scale=True):
    """mean, variance: the weights, 1 if right, of the terms through the mean and through the variance."""
    y, deviation = _whitened(x, axis)
    v = u * gamma if scale else u
    inner = v - mean * v.mean(axis, keepdims=True) - variance * y * (v * y).mean(axis, keepdims=True)
    return inner / deviation, (u * y).sum(0), u.sum(0)


def _normalisation(name: str, axis: int) -> Rule:
    def vjp(x, gamma, beta, u, **terms):
        return normalise_vjp(x, gamma, beta, u, axis, **terms)

    def without(**terms):
        return lambda x, gamma, beta, u: vjp(x, gamma, beta, u, **terms)

    def change(of):
        return lambda x, gamma, beta, u: of(x, u, *vjp(x, gamma, beta, u))

    def raw(x, gamma, beta, u):
        dx, _, db = vjp(x, gamma, beta, u)
        return dx, (u * x).sum(0), db

    other = 1 - axis
    return Rule(
        name, "x gamma beta", lambda x, gamma, beta: normalise(x, gamma, beta, axis), vjp, _batch,
        (
            wrong("missing term", "mean held fixed", without(mean=0.0), UNNAMED),
            wrong("missing term", "variance held fixed", without(variance=0.0), UNNAMED),
            wrong("missing term", "both held fixed", without(mean=0.0, variance=0.0), UNNAMED),
            wrong("sign", "variance's term added", without(variance=-1.0), UNNAMED),
            wrong("factor", "variance's term twice", without(variance=2.0), UNNAMED),
            wrong("missing term", "gamma forgotten", without(scale=False), UNNAMED),
            wrong("missing term", "gamma's from x, not whitened", raw, UNNAMED),
            wrong("swapped", "gamma's and beta's exchanged",
                  change(lambda x, u, dx, dg, db: (dx, db, dg)), "exchanged arguments"),
            wrong("factor", "gamma's averaged over the rows",
                  change(lambda x, u, dx, dg, db: (dx, dg / len(x), db)), "sum taken as mean", "factor 2"),
            wrong("wrong axis", "mean and variance over the other axis",
                  lambda x, gamma, beta, u: normalise_vjp(x, gamma, beta, u, other), UNNAMED),
            wrong("factor", "multiplied by the deviation",
                  change(lambda x, u, dx, dg, db: (dx * _whitened(x, axis)[1] ** 2, dg, db)), UNNAMED),
        ),
        shifts=(0,),
    )  # fmt: skip


def _directions(rng, most):
    k, m = extent(rng, most, 3), extent(rng, most, 2)
    v, g = drawn(rng, (k, m), (m,))
    return (v, g), {}


def _unit(v):
    length = np.sqrt((v * v).sum(0))
    return v / length, length


def _weight_norm_vjp(v, g, u, projected=1.0):
    unit, length = _unit(v)
    along = (u * unit).sum(0)
    return g / length * (u - projected * unit * along), along


def _queries(rng, most):
    n, m, d = (extent(rng, max(2, most // 2), 2) for _ in range(3))
    return drawn(rng, (n, d), (m, d), (m, d)), {}


def _attention(q, k, v):
    return softmax(q @ k.T / np.sqrt(q.shape[1]).astype(q.dtype)) @ v


def _attention_vjp(q, k, v, u, row=1.0, scaled=True):
    root = np.sqrt(q.shape[1])
    p = softmax(q @ k.T / root)
    dp = u @ v.T
    ds = p * (dp - row * (p * dp).sum(1, keepdims=True)) / (root if scaled else 1)
    return ds @ k, ds.T @ q, p.T @ u


RULES = [
    _normalisation("batch norm", 0),
    _normalisation("layer norm", 1),
    Rule(
        "weight norm", "v g", lambda v, g: g * _unit(v)[0], _weight_norm_vjp, _directions,
        (
            wrong("missing term", "not projected", lambda v, g, u: _weight_norm_vjp(v, g, u, 0.0), UNNAMED),
            wrong("missing term", "g's from v, not from its direction",
                  lambda v, g, u: (_weight_norm_vjp(v, g, u)[0], (u * v).sum(0)), UNNAMED),
            wrong("sign", "projection added", lambda v, g, u: _weight_norm_vjp(v, g, u, -1.0), UNNAMED),
        ),
    ),
    Rule(
        "attention", "q k v", _attention, _attention_vjp, _queries,
        (
            wrong("missing term", "softmax's row term forgotten",
                  lambda q, k, v, u: _attention_vjp(q, k, v, u, row=0.0), UNNAMED),
            wrong("factor", "1/sqrt(d) forgotten", lambda q, k, v, u: _attention_vjp(q, k, v, u, scaled=False),
                  "factor", "factor 1/2"),
            wrong("swapped", "q's and k's exchanged (as many of each)",
                  lambda q, k, v, u: (lambda a, b, c: (b, a, c))(*_attention_vjp(q, k, v, u)),
                  "exchanged arguments", "shape", "missing sum over a broadcast axis"),
        ),
        scales=(-2, 0.5),
    ),
]  # fmt: skip
