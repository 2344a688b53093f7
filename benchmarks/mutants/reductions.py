"""Rules of sums, means, norms, maxima, softmax, and losses made of them."""

from __future__ import annotations

import numpy as np

from mutants.elementwise import sigmoid, softplus
from mutants.linear import drawn
from mutants.rule import UNNAMED, Arrays, Rule, extent, wrong

_GATES = ("gate", "missing gate", UNNAMED, "one entry")
_MEAN_AS_SUM = ("mean taken as sum", "factor 1/2")


def matrix(rng: np.random.Generator, most: int) -> tuple[Arrays, dict]:
    return drawn(rng, (extent(rng, most, 2), extent(rng, most, 3))), {}


def square(rng: np.random.Generator, most: int) -> tuple[Arrays, dict]:
    n = extent(rng, most, 3)
    return drawn(rng, (n, n)), {}


def labelled(rng: np.random.Generator, most: int) -> tuple[Arrays, dict]:
    (x,), _ = matrix(rng, most)
    return (x,), {"labels": rng.integers(0, x.shape[1], len(x))}


def _targets(rng, most):
    shape = (extent(rng, most, 3), extent(rng, most))
    return (rng.standard_normal(shape), rng.uniform(0, 1, shape)), {}


def _several(rng, most):
    n, m = extent(rng, most, 2), extent(rng, most, 3)
    return drawn(rng, (n, m), (n, m)), {}


def _shared(u, x, over):
    """u / over, broadcast to every entry of a row."""
    return np.broadcast_to(u[:, None] / over, x.shape).copy()


def _centred(x):
    return x - x.mean(1, keepdims=True)


def logsumexp(x):
    top = x.max(1)
    return top + np.log(np.exp(x - top[:, None]).sum(1))


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def cross_entropy(x, labels):
    return np.mean(logsumexp(x) - x[np.arange(len(x)), labels])


def _first_row(x):
    return np.where(np.arange(len(x))[:, None] == 0, np.ones_like(x), 0)


def _one_hot(x, labels):
    return (np.arange(x.shape[1]) == labels[:, None]).astype(x.dtype)


def _inverted(size):
    """1 / size, and 0 where size is 0: a norm has no derivative at 0, and 0 is one of its subgradients."""
    return np.divide(1, size, out=np.zeros_like(size), where=size > 0)


def _norm(x):
    return np.sqrt((x * x).sum(1))


def _norm_vjp(x, u):
    return (x * (u * _inverted(_norm(x)))[:, None],)


def _norm_at_zero(rng, arrays, static, distance):
    x = arrays[0].copy()
    x[0] = distance * rng.standard_normal(x.shape[1])
    return (x,)


def cosine(a, b):
    return (a * b).sum(1) / (_norm(a) * _norm(b))


def _cosine_vjp(a, b, u, weight=1.0):
    scale = (u / (_norm(a) * _norm(b)))[:, None]
    along = (u * cosine(a, b))[:, None] * weight
    return scale * b - along * a / _norm(a)[:, None] ** 2, scale * a - along * b / _norm(b)[:, None] ** 2


def _to_the_largest(x, u, axis=1):
    g = np.zeros_like(x)
    np.put_along_axis(g, x.argmax(axis)[:, None], u[:, None], 1)
    return (g,)


def _tied(rng, arrays, static, distance):
    """x with a second entry in each row that is smaller than the largest by `distance`."""
    x = np.sort(arrays[0], 1)
    x[:, 0] = x[:, -1] - distance
    return (rng.permuted(x, axis=1),)


def _rivals(rng, arrays, static, distance):
    a, b = arrays
    chosen = rng.random(a.shape) < 0.6
    chosen.reshape(-1)[0] = True
    return a, np.where(chosen, a + distance * rng.choice([-1.0, 1.0], a.shape), b)


def _to_the_larger(a, b, u):
    return u * (a >= b), u * (a < b)


def _gaussians(rng, most):
    n, m = extent(rng, most, 3), extent(rng, most, 3)
    mean, logvar = drawn(rng, (n, m), (n, m))
    return (mean, 0.5 * logvar), {}


def _kl(mean, logvar):
    return 0.5 * np.sum(mean**2 + np.exp(logvar) - logvar - 1)


def _huber(x, width=1.0):
    return np.where(np.abs(x) < width, x * x / 2, width * np.abs(x) - width**2 / 2).sum(1)


RULES = [
    Rule(
        "mean", "x", lambda x: x.mean(1), lambda x, u: (_shared(u, x, x.shape[1]),), matrix,
        (
            wrong("factor", "1/n forgotten", lambda x, u: (_shared(u, x, 1),), *_MEAN_AS_SUM),
            wrong("factor", "1/n of the other axis", lambda x, u: (_shared(u, x, x.shape[0]),),
                  *_MEAN_AS_SUM, "sum taken as mean", "factor", "factor 2"),
            wrong("factor", "1/n twice", lambda x, u: (_shared(u, x, x.shape[1] ** 2),), "sum taken as mean"),
            wrong("factor", "1/n of all numbers", lambda x, u: (_shared(u, x, x.size),),
                  "sum taken as mean", "factor 2"),
        ),
    ),
    Rule("square mean", "x", lambda x: x.mean(1), lambda x, u: (_shared(u, x, len(x)),), square,
         (wrong("wrong axis", "spread along the other axis", lambda x, u: (_shared(u, x, len(x)).T,),
                "transposed"),)),
    Rule(
        "sum of all", "x", np.sum, lambda x, u: (np.full_like(x, u),), matrix,
        (
            wrong("factor", "as a mean", lambda x, u: (np.full_like(x, u / x.size),), "sum taken as mean"),
            wrong("one row", "the first row only", lambda x, u: (u * _first_row(x),), "gate"),
        ),
    ),
    Rule(
        "variance", "x", lambda x: x.var(1), lambda x, u: (2 * _centred(x) * _shared(u, x, x.shape[1]),), matrix,
        (
            wrong("factor", "2 forgotten", lambda x, u: (_centred(x) * _shared(u, x, x.shape[1]),), "factor 2"),
            wrong("factor", "n - 1 instead of n", lambda x, u: (2 * _centred(x) * _shared(u, x, x.shape[1] - 1),),
                  "factor", "factor 1/2"),
            wrong("missing term", "not centred", lambda x, u: (2 * x * _shared(u, x, x.shape[1]),), UNNAMED),
            wrong("factor", "1/n forgotten", lambda x, u: (2 * _centred(x) * _shared(u, x, 1),), *_MEAN_AS_SUM),
        ),
        shifts=(0,),
    ),
    Rule(
        "mean square", "x", lambda x: np.mean(x * x), lambda x, u: (2 * u * x / x.size,), matrix,
        (
            wrong("factor", "2 forgotten", lambda x, u: (u * x / x.size,), "factor 2"),
            wrong("factor", "1/n forgotten", lambda x, u: (2 * u * x,), *_MEAN_AS_SUM),
            wrong("factor", "over the batch only", lambda x, u: (2 * u * x / len(x),), *_MEAN_AS_SUM),
            wrong("sign", "target minus x", lambda x, u: (-2 * u * x / x.size,), "sign"),
        ),
    ),
    Rule(
        "norm", "x", _norm, _norm_vjp, matrix,
        (
            wrong("missing term", "not divided by the norm", lambda x, u: (u[:, None] * x,), UNNAMED),
            wrong("missing term", "by the squared norm", lambda x, u: (_norm_vjp(x, u / _norm(x))[0],), UNNAMED),
            wrong("factor", "2 x over the norm", lambda x, u: (2 * _norm_vjp(x, u)[0],), "factor 1/2"),
        ),
        kink=_norm_at_zero,
    ),
    Rule(
        "logsumexp", "x", logsumexp, lambda x, u: (u[:, None] * softmax(x),), matrix,
        (
            wrong("missing term", "not normalised", lambda x, u: (u[:, None] * np.exp(x),), UNNAMED),
            wrong("missing gate", "to the largest only", lambda x, u: _to_the_largest(x, u), UNNAMED, "gate"),
            wrong("wrong axis", "softmax over the other axis", lambda x, u: (u[:, None] * softmax(x.T).T,), UNNAMED),
        ),
        shifts=(0,),
    ),
    Rule(
        "log softmax", "x", lambda x: x - logsumexp(x)[:, None],
        lambda x, u: (u - softmax(x) * u.sum(1, keepdims=True),), matrix,
        (
            wrong("missing term", "softmax term forgotten", lambda x, u: (u.copy(),), UNNAMED),
            wrong("missing term", "u not summed", lambda x, u: (u - softmax(x) * u,), UNNAMED),
            wrong("sign", "plus", lambda x, u: (u + softmax(x) * u.sum(1, keepdims=True),), UNNAMED),
            wrong("wrong axis", "u summed over the batch",
                  lambda x, u: (u - softmax(x) * u.sum(0, keepdims=True),), UNNAMED),
        ),
        shifts=(0,),
    ),
    Rule(
        "softmax", "x", softmax, lambda x, u: (softmax(x) * (u - (u * softmax(x)).sum(1, keepdims=True)),), matrix,
        (
            wrong("missing term", "the diagonal only", lambda x, u: (u * softmax(x) * (1 - softmax(x)),), UNNAMED),
            wrong("missing term", "y u", lambda x, u: (u * softmax(x),), UNNAMED),
            wrong("missing term", "u not weighted by y", lambda x, u: (softmax(x) * (u - u.sum(1, keepdims=True)),),
                  UNNAMED),
        ),
        shifts=(0,),
    ),
    Rule(
        "cross entropy", "logits", cross_entropy,
        lambda x, u, labels: (u * (softmax(x) - _one_hot(x, labels)) / len(x),), labelled,
        (
            wrong("factor", "1/n forgotten", lambda x, u, labels: (u * (softmax(x) - _one_hot(x, labels)),),
                  *_MEAN_AS_SUM),
            wrong("missing term", "label not subtracted", lambda x, u, labels: (u * softmax(x) / len(x),), UNNAMED),
            wrong("off by one", "labels one too high", lambda x, u, labels:
                  (u * (softmax(x) - _one_hot(x, (labels + 1) % x.shape[1])) / len(x),), UNNAMED),
            wrong("sign", "label minus softmax", lambda x, u, labels:
                  (u * (_one_hot(x, labels) - softmax(x)) / len(x),), "sign"),
        ),
        shifts=(0,),
    ),
    Rule(
        "binary cross entropy", "logits targets", lambda z, t: np.mean(softplus(z) - z * t),
        lambda z, t, u: (u * (sigmoid(z) - t) / z.size, -u * z / z.size), _targets,
        (
            wrong("factor", "1/n forgotten", lambda z, t, u: (u * (sigmoid(z) - t), -u * z / z.size), *_MEAN_AS_SUM),
            wrong("missing term", "targets forgotten", lambda z, t, u: (u * sigmoid(z) / z.size, -u * z / z.size),
                  UNNAMED),
            wrong("sign", "targets' without its minus", lambda z, t, u: (u * (sigmoid(z) - t) / z.size, u * z / z.size),
                  "sign"),
            wrong("missing term", "sigmoid' of the score twice",
                  lambda z, t, u: (u * (sigmoid(z) - t) * sigmoid(z) * (1 - sigmoid(z)) / z.size, -u * z / z.size),
                  UNNAMED),
            wrong("detached", "no derivative for the targets",
                  lambda z, t, u: (u * (sigmoid(z) - t) / z.size, 0 * t), "detached"),
        ),
    ),
    Rule(
        "cosine similarity", "a b", cosine, _cosine_vjp, _several,
        (
            wrong("missing term", "norms held fixed", lambda a, b, u: _cosine_vjp(a, b, u, 0.0), UNNAMED),
            wrong("sign", "projection added", lambda a, b, u: _cosine_vjp(a, b, u, -1.0), UNNAMED),
            wrong("swapped", "rules exchanged", lambda a, b, u: _cosine_vjp(b, a, u), "exchanged arguments"),
        ),
    ),
    Rule(
        "max", "x", lambda x: x.max(1), _to_the_largest, matrix,
        (
            wrong("missing gate", "to every number", lambda x, u: (_shared(u, x, 1),), *_GATES),
            wrong("gate", "to the smallest", lambda x, u: _to_the_largest(-x, u), *_GATES),
            wrong("off by one", "to the one beside", lambda x, u: (np.roll(_to_the_largest(x, u)[0], 1, 1),),
                  "shifted", *_GATES),
        ),
        kink=_tied,
    ),
    Rule(
        "maximum of two", "a b", np.maximum, _to_the_larger, _several,
        (
            wrong("missing gate", "to both", lambda a, b, u: (u, u), "another argument's rule", *_GATES),
            wrong("swapped", "to the smaller", lambda a, b, u: _to_the_larger(a, b, u)[::-1], "exchanged arguments"),
            wrong("missing gate", "half to each", lambda a, b, u: (u / 2, u / 2), "another argument's rule", *_GATES),
        ),
        kink=_rivals,
    ),
    Rule(
        "gaussian KL", "mean logvar", _kl, lambda mean, logvar, u: (u * mean, 0.5 * u * (np.exp(logvar) - 1)),
        _gaussians,
        (
            wrong("factor", "1/2 forgotten", lambda mean, logvar, u: (u * mean, u * (np.exp(logvar) - 1)),
                  "factor 1/2"),
            wrong("missing term", "-1 forgotten", lambda mean, logvar, u: (u * mean, 0.5 * u * np.exp(logvar)),
                  UNNAMED),
            wrong("sign", "1 - exp", lambda mean, logvar, u: (u * mean, 0.5 * u * (1 - np.exp(logvar))), "sign"),
        ),
        scales=(-3, 0.7),
    ),
    Rule(
        "huber", "x", _huber, lambda x, u: (u[:, None] * np.clip(x, -1, 1),), matrix,
        (wrong("missing gate", "x everywhere", lambda x, u: (u[:, None] * x,), UNNAMED, *_GATES),
         wrong("missing gate", "sign everywhere", lambda x, u: (u[:, None] * np.sign(x),), UNNAMED, *_GATES)),
    ),
]  # fmt: skip
