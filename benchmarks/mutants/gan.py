"""Rules of GAN losses, and of gradient penalties of critics whose gradient has a closed form."""

from __future__ import annotations

import numpy as np

from mutants.elementwise import near, sigmoid, softplus
from mutants.linear import drawn
from mutants.rule import UNNAMED, Arrays, Rule, extent, wrong

_MEAN_AS_SUM = ("mean taken as sum", "factor 1/2")
_GATES = ("gate", "missing gate", UNNAMED, "one entry")


def _scores(rng: np.random.Generator, most: int) -> tuple[Arrays, dict]:
    """The scores of as many real as fake examples, with some on each side of the hinges."""
    n = extent(rng, most, 4)
    real, fake = 1.5 * rng.standard_normal(n), 1.5 * rng.standard_normal(n)
    real[:3], fake[:3] = (2.0, -0.5, 0.2), (0.5, -2.0, 0.3)
    return (real, fake), {}


def _fakes(rng, most):
    return _scores(rng, most)[0][1:], {}


def _discriminator_loss(name, value, d_real, d_fake, *mistakes, **about):
    """The rule of a discriminator's loss: a mean over real scores plus one over fake scores, with their derivatives."""

    def rule_with(of_real, of_fake):
        return lambda real, fake, u: (u * of_real(real) / real.size, u * of_fake(fake) / fake.size)

    made = [wrong(kind, what, rule_with(r, f), *causes) for kind, what, r, f, *causes in mistakes]
    general = (
        wrong("factor", "1/n of real and fake together",
              lambda real, fake, u: tuple(g / 2 for g in rule_with(d_real, d_fake)(real, fake, u)), "factor 2"),
        wrong("factor", "1/n forgotten for the fakes",
              lambda real, fake, u: (u * d_real(real) / real.size, u * d_fake(fake)), *_MEAN_AS_SUM),
        wrong("swapped", "real and fake exchanged",
              lambda real, fake, u: (u * d_fake(fake) / fake.size, u * d_real(real) / real.size),
              "exchanged arguments", "sign", "another argument's rule"),
        wrong("detached", "nothing for the fakes",
              lambda real, fake, u: (u * d_real(real) / real.size, 0 * fake), "detached"),
    )  # fmt: skip
    return Rule(name, "real fake", value, rule_with(d_real, d_fake), _scores, (*made, *general), **about)


def _at_hinge(rng, arrays, static, distance):
    return near(rng, arrays[0], (1.0,), distance), near(rng, arrays[1], (-1.0,), distance)


def _linear_critic(rng, most):
    n, m = extent(rng, most, 2), extent(rng, most, 3)
    return drawn(rng, (n, m), (m,)), {}


def _linear_penalty(x, w):
    """The penalty of the critic x w, whose gradient is w for every x."""
    return 10 * (np.sqrt((w * w).sum()) - 1) ** 2


def _linear_penalty_vjp(x, w, u):
    length = np.sqrt((w * w).sum())
    return np.zeros_like(x), u * 20 * (length - 1) * w / length


def _quadratic_critic(rng, most):
    n, m = extent(rng, min(most, 20), 2), extent(rng, min(most, 12), 3)
    x, a, w = drawn(rng, (n, m), (m, m), (m,))
    return (x, a / np.sqrt(m), w), {}


def _slopes(x, a, w):
    """The gradient of the critic x a x / 2 + w x, as it is for a symmetric `a`."""
    return x @ a + w


def _penalty(x, a, w):
    g = _slopes(x, a, w)
    return np.mean((np.sqrt((g * g).sum(1)) - 1) ** 2)


def _penalty_vjp(x, a, w, u, factor=2.0, normed=True):
    g = _slopes(x, a, w)
    length = np.sqrt((g * g).sum(1, keepdims=True))
    v = u * factor * (length - 1) * (g / length if normed else g) / len(x)
    return v @ a.T, x.T @ v, v.sum(0)


def _r1(x, a, w):
    return np.mean((_slopes(x, a, w) ** 2).sum(1)) / 2


def _r1_vjp(x, a, w, u):
    v = u * _slopes(x, a, w) / len(x)
    return v @ a.T, x.T @ v, v.sum(0)


def _of(vjp, change):
    return lambda x, a, w, u: change(*vjp(x, a, w, u), x)


def _relativistic(real, fake):
    return np.mean(softplus(fake - real))


def _relativistic_vjp(real, fake, u):
    v = u * sigmoid(fake - real) / real.size
    return -v, v


RULES = [
    _discriminator_loss(
        "GAN, discriminator", lambda real, fake: np.mean(softplus(-real)) + np.mean(softplus(fake)),
        lambda s: -sigmoid(-s), sigmoid,
        ("sign", "real's without its minus", lambda s: sigmoid(-s), sigmoid, "sign"),
        ("missing term", "real's sigmoid of s, not of -s", lambda s: -sigmoid(s), sigmoid, UNNAMED),
        ("missing term", "as if the scores were probabilities", lambda s: -1 / (abs(s) + 1), sigmoid, UNNAMED),
    ),
    Rule(
        "GAN, non-saturating", "fake", lambda fake: np.mean(softplus(-fake)),
        lambda fake, u: (-u * sigmoid(-fake) / fake.size,), _fakes,
        (
            wrong("missing term", "the saturating loss's", lambda fake, u: (-u * sigmoid(fake) / fake.size,), UNNAMED),
            wrong("sign", "plus", lambda fake, u: (u * sigmoid(-fake) / fake.size,), "sign"),
            wrong("factor", "1/n forgotten", lambda fake, u: (-u * sigmoid(-fake),), *_MEAN_AS_SUM),
        ),
    ),
    _discriminator_loss(
        "hinge, discriminator",
        lambda real, fake: np.mean(np.maximum(0, 1 - real)) + np.mean(np.maximum(0, 1 + fake)),
        lambda s: -1.0 * (s < 1), lambda s: 1.0 * (s > -1),
        ("missing gate", "no gate for the real", lambda s: -np.ones_like(s), lambda s: 1.0 * (s > -1), *_GATES),
        ("gate", "gate at 0", lambda s: -1.0 * (s < 0), lambda s: 1.0 * (s > -1), *_GATES),
        ("gate", "fake's gate at +1", lambda s: -1.0 * (s < 1), lambda s: 1.0 * (s > 1), *_GATES),
        ("sign", "fake's minus", lambda s: -1.0 * (s < 1), lambda s: -1.0 * (s > -1), "sign"),
        kink=_at_hinge,
    ),
    _discriminator_loss(
        "least squares, discriminator", lambda real, fake: (np.mean((real - 1) ** 2) + np.mean(fake**2)) / 2,
        lambda s: s - 1, lambda s: s,
        ("missing term", "real's target forgotten", lambda s: s, lambda s: s, UNNAMED),
        ("factor", "1/2 forgotten", lambda s: 2 * (s - 1), lambda s: 2 * s, "factor 1/2"),
    ),
    _discriminator_loss(
        "Wasserstein, critic", lambda real, fake: np.mean(fake) - np.mean(real),
        lambda s: -np.ones_like(s), np.ones_like,
        ("sign", "both signs", np.ones_like, lambda s: -np.ones_like(s), "sign", "exchanged arguments"),
        ("sign", "one sign", np.ones_like, np.ones_like, "sign"),
    ),
    Rule(
        "relativistic pairs", "real fake", _relativistic, _relativistic_vjp, _scores,
        (
            wrong("sign", "real's without its minus", lambda r, f, u: (_relativistic_vjp(r, f, u)[1],) * 2, "sign"),
            wrong("missing term", "sigmoid of real - fake",
                  lambda r, f, u: tuple(-g for g in _relativistic_vjp(f, r, u)), UNNAMED),
        ),
    ),
    Rule(
        "penalty of a linear critic", "x w", _linear_penalty, _linear_penalty_vjp, _linear_critic,
        (
            wrong("factor", "2 forgotten", lambda x, w, u: tuple(g / 2 for g in _linear_penalty_vjp(x, w, u)),
                  "factor 2"),
            wrong("sign", "1 - norm", lambda x, w, u: (0 * x, -_linear_penalty_vjp(x, w, u)[1]), "sign"),
            wrong("missing term", "not divided by the norm",
                  lambda x, w, u: (0 * x, _linear_penalty_vjp(x, w, u)[1] * np.sqrt((w * w).sum())), "factor"),
            wrong("missing gate", "x has a derivative, too",
                  lambda x, w, u: (np.full_like(x, 0.1), _linear_penalty_vjp(x, w, u)[1]), "missing gate"),
        ),
    ),
    Rule(
        "penalty of a quadratic critic", "x a w", _penalty, _penalty_vjp, _quadratic_critic,
        (
            wrong("factor", "2 forgotten", lambda x, a, w, u: _penalty_vjp(x, a, w, u, factor=1.0), "factor 2"),
            wrong("missing term", "not divided by the norm",
                  lambda x, a, w, u: _penalty_vjp(x, a, w, u, normed=False), UNNAMED),
            wrong("detached", "interpolates held fixed", _of(_penalty_vjp, lambda dx, da, dw, x: (0 * dx, da, dw)),
                  "detached"),
            wrong("missing term", "a's detached gradient", _of(_penalty_vjp, lambda dx, da, dw, x: (dx, 0 * da, dw)),
                  "detached"),
            wrong("transposed", "a's transposed", _of(_penalty_vjp, lambda dx, da, dw, x: (dx, da.T, dw)),
                  "transposed"),
        ),
    ),
    Rule(
        "R1 of a quadratic critic", "x a w", _r1, _r1_vjp, _quadratic_critic,
        (
            wrong("factor", "1/n forgotten",
                  _of(_r1_vjp, lambda dx, da, dw, x: tuple(len(x) * g for g in (dx, da, dw))), *_MEAN_AS_SUM),
            wrong("factor", "1/2 forgotten",
                  _of(_r1_vjp, lambda dx, da, dw, x: (2 * dx, 2 * da, 2 * dw)), "factor 1/2"),
            wrong("transposed", "x's through a, not a'",
                  lambda x, a, w, u: (u * _slopes(x, a, w) @ a / len(x), *_r1_vjp(x, a, w, u)[1:]), UNNAMED),
        ),
        scales=(-2, 2),
    ),
]  # fmt: skip
