"""Rules of products, broadcasting, indexing and reshaping, and of matrix inverse and determinant."""

from __future__ import annotations

import numpy as np

from mutants.rule import UNNAMED, Arrays, Rule, extent, sum_to_shape, wrong

_BROADCAST = "missing sum over a broadcast axis"


def drawn(rng: np.random.Generator, *shapes: tuple[int, ...]) -> Arrays:
    return tuple(rng.standard_normal(shape) for shape in shapes)


def _extents(rng, most, count, least=1):
    return [extent(rng, most, least) for _ in range(count)]


def _matrices(rng, most):
    n, k, m = _extents(rng, most, 3)
    return drawn(rng, (n, k), (k, m)), {}


def square_matrices(rng, most):
    n = extent(rng, most, 3)
    return drawn(rng, (n, n), (n, n)), {}


def _dense(rng, most):
    n, k, m = _extents(rng, most, 3, least=2)
    x, w, b = drawn(rng, (n, k), (k, m), (m,))
    return (x, w / np.sqrt(k), b), {}


def dense_tanh(x, w, b):
    return np.tanh(x @ w + b)


def _dense_tanh_vjp(x, w, b, u, gate=lambda y: 1 - y * y):
    v = u * gate(dense_tanh(x, w, b))
    return v @ w.T, x.T @ v, v.sum(0)


def _dense_wrong(change):
    """The right rule with its derivatives changed."""
    return lambda x, w, b, u: change(x, w, u, *_dense_tanh_vjp(x, w, b, u))


def _biased(rng, most):
    n, m = _extents(rng, most, 2, least=3)
    return drawn(rng, (n, m), (m,)), {}


def _broadcast(rng, most):
    n, k, m = _extents(rng, most, 3, least=2)
    return drawn(rng, (n, 1, m), (k, 1)), {}


def _broadcast_divisor(rng, most):
    n, m = _extents(rng, most, 2, least=2)
    (a,) = drawn(rng, (n, m))
    return (a, rng.uniform(0.4, 2, (n, 1)) * rng.choice([-1.0, 1.0], (n, 1))), {}


def _by_quotient(x, y, u):
    return sum_to_shape(u / y, x.shape), sum_to_shape(-u * x / y**2, y.shape)


def _two_vectors(rng, most):
    n, m = _extents(rng, most, 2, least=2)
    return drawn(rng, (n,), (m,)), {}


def _form(rng, most):
    n = extent(rng, most, 2)
    return drawn(rng, (n,), (n, n)), {}


def _rows(rng, most):
    n, m = _extents(rng, most, 2, least=2)
    index = rng.integers(0, n, n + 3)
    index[-1] = index[0]  # one row is taken twice, whatever the draw
    return drawn(rng, (n, m)), {"index": index}


def _scattered(x, u, index):
    g = np.zeros_like(x)
    np.add.at(g, index, u)
    return (g,)


def _overwritten(x, u, index):
    g = np.zeros_like(x)
    g[index] = u
    return (g,)


def _sequence(rng, most):
    n, m = _extents(rng, most, 2, least=3)
    return drawn(rng, (n, m)), {}


def _spread(x, u, first=1):
    g = np.zeros_like(x)
    columns = u.shape[1]
    g[:, first::2][:, :columns] = u[:, : g[:, first::2].shape[1]]
    return (g,)


def _cube(rng, most):
    n, k, m = _extents(rng, most, 3, least=2)
    return drawn(rng, (n, k, m)), {}


def _even_cube(rng, most):
    n = extent(rng, max(3, most // 2), 3)
    return drawn(rng, (n, n, n)), {}


def _invertible(rng, most):
    n = extent(rng, min(most, 12), 2)
    (a,) = drawn(rng, (n, n))
    return (a + n * np.diag(rng.choice([-1.0, 1.0], n)),), {}


def _inverse_vjp(a, u):
    y = np.linalg.inv(a)
    return (-y.T @ u @ y.T,)


def _log_determinant(a):
    return np.linalg.slogdet(a)[1]


RULES = [
    Rule("matmul", "a b", np.matmul, lambda a, b, u: (u @ b.T, a.T @ u), _matrices),
    Rule(
        "square matmul", "a b", np.matmul, lambda a, b, u: (u @ b.T, a.T @ u), square_matrices,
        (
            wrong("transposed", "u b instead of u b'", lambda a, b, u: (u @ b, a.T @ u), UNNAMED),
            wrong("transposed", "b u'", lambda a, b, u: ((u @ b.T).T, a.T @ u), "transposed"),
            wrong("transposed", "second rule u' a", lambda a, b, u: (u @ b.T, u.T @ a), "transposed"),
            wrong("swapped", "each has the other's rule", lambda a, b, u: (a.T @ u, u @ b.T), "exchanged arguments"),
            wrong("swapped", "both have the first's rule", lambda a, b, u: (u @ b.T, u @ b.T),
                  "another argument's rule", "exchanged arguments"),
            wrong("transposed", "order of the factors", lambda a, b, u: (b.T @ u, a.T @ u), UNNAMED),
        ),
    ),
    Rule(
        "dense tanh", "x w b", dense_tanh, _dense_tanh_vjp, _dense,
        (
            wrong("missing term", "tanh' forgotten",
                  lambda x, w, b, u: _dense_tanh_vjp(x, w, b, u, lambda y: 1.0), UNNAMED),
            wrong("missing term", "tanh' with y, not y^2",
                  lambda x, w, b, u: _dense_tanh_vjp(x, w, b, u, lambda y: 1 - y), UNNAMED),
            wrong("factor", "w's averaged over the batch",
                  _dense_wrong(lambda x, w, u, dx, dw, db: (dx, dw / len(x), db)),
                  "sum taken as mean", "factor 2"),
            wrong("factor", "b's averaged over the batch",
                  _dense_wrong(lambda x, w, u, dx, dw, db: (dx, dw, db / len(x))),
                  "sum taken as mean", "factor 2"),
            wrong("missing term", "tanh' forgotten in x's",
                  _dense_wrong(lambda x, w, u, dx, dw, db: (u @ w.T, dw, db)), UNNAMED),
            wrong("missing sum", "b's not summed over the batch",
                  lambda x, w, b, u: (*_dense_tanh_vjp(x, w, b, u)[:2], u * (1 - dense_tanh(x, w, b) ** 2)),
                  _BROADCAST),
            wrong("off by one", "last example left out of w's",
                  lambda x, w, b, u: (_dense_tanh_vjp(x, w, b, u)[0], _dense_tanh_vjp(x[:-1], w, b, u[:-1])[1],
                                      _dense_tanh_vjp(x, w, b, u)[2]), UNNAMED),
        ),
    ),
    Rule(
        "bias", "x b", lambda x, b: x + b, lambda x, b, u: (u.copy(), u.sum(0)), _biased,
        (
            wrong("missing sum", "b's not summed", lambda x, b, u: (u, u), _BROADCAST),
            wrong("missing sum", "the first example only", lambda x, b, u: (u, u[0]), UNNAMED),
            wrong("factor", "mean, not sum", lambda x, b, u: (u, u.mean(0)), "sum taken as mean"),
            wrong("factor", "n times too much", lambda x, b, u: (u, len(x) * u.sum(0)), "mean taken as sum"),
            wrong("detached", "b's is zero", lambda x, b, u: (u, 0 * b), "detached"),
        ),
    ),
    Rule("square bias", "x b", lambda x, b: x + b, lambda x, b, u: (u.copy(), u.sum(0)),
         lambda rng, most: (drawn(rng, *((n := extent(rng, most, 3), n), (n,))), {}),
         (wrong("wrong axis", "summed over the other axis", lambda x, b, u: (u, u.sum(1)), UNNAMED),)),
    Rule(
        "add", "a b", np.add, lambda a, b, u: (sum_to_shape(u, a.shape), sum_to_shape(u, b.shape)), _broadcast,
        (
            wrong("missing sum", "a's not summed", lambda a, b, u: (u, sum_to_shape(u, b.shape)), _BROADCAST),
            wrong("missing sum", "one of two sums", lambda a, b, u: (sum_to_shape(u, a.shape), u.sum(2, keepdims=True)),
                  _BROADCAST),
            wrong("missing sum", "a's from the first row only",
                  lambda a, b, u: (u[:, :1], sum_to_shape(u, b.shape)), UNNAMED),
        ),
    ),
    Rule(
        "multiply", "a b", np.multiply, lambda a, b, u: (sum_to_shape(u * b, a.shape), sum_to_shape(u * a, b.shape)),
        _broadcast,
        (
            wrong("missing sum", "b's not summed", lambda a, b, u: (sum_to_shape(u * b, a.shape), u * a), _BROADCAST),
            wrong("missing sum", "a's averaged", lambda a, b, u: ((u * b).mean(1, keepdims=True),
                                                                  sum_to_shape(u * a, b.shape)),
                  "sum taken as mean", "factor 2"),
            wrong("missing term", "b forgotten in a's",
                  lambda a, b, u: (sum_to_shape(u, a.shape), sum_to_shape(u * a, b.shape)), UNNAMED),
        ),
    ),
    Rule(
        "multiply alike", "a b", np.multiply, lambda a, b, u: (u * b, u * a), square_matrices,
        (
            wrong("swapped", "the factors are exchanged", lambda a, b, u: (u * a, u * b), "exchanged arguments"),
            wrong("swapped", "both times b", lambda a, b, u: (u * b, u * b), "another argument's rule",
                  "exchanged arguments"),
        ),
    ),
    Rule("subtract", "a b", np.subtract, lambda a, b, u: (u.copy(), -u), square_matrices,
         (wrong("sign", "plus for b", lambda a, b, u: (u, u), "sign"),
          wrong("swapped", "minus for a", lambda a, b, u: (-u, u), "sign", "exchanged arguments"))),
    Rule(
        "divide", "a b", np.divide, _by_quotient, _broadcast_divisor,
        (
            wrong("sign", "b's without its minus",
                  lambda a, b, u: (u / b, sum_to_shape(u * a / b**2, b.shape)), "sign"),
            wrong("missing term", "b's over b, not b^2",
                  lambda a, b, u: (u / b, sum_to_shape(-u * a / b, b.shape)), UNNAMED),
            wrong("missing term", "a forgotten in b's",
                  lambda a, b, u: (u / b, sum_to_shape(-u / b**2, b.shape)), UNNAMED),
            wrong("missing term", "times b", lambda a, b, u: (u * b, _by_quotient(a, b, u)[1]), UNNAMED),
        ),
    ),
    Rule(
        "outer", "a b", np.outer, lambda a, b, u: (u @ b, a @ u), _two_vectors,
        (
            wrong("missing term", "a's sums u without b", lambda a, b, u: (u.sum(1), a @ u), UNNAMED),
            wrong("swapped", "rules exchanged", lambda a, b, u: (a @ u, u @ b), "exchanged arguments"),
            wrong("sign", "b's negative", lambda a, b, u: (u @ b, -(a @ u)), "sign"),
        ),
    ),
    Rule("square outer", "a b", np.outer, lambda a, b, u: (u @ b, a @ u),
         lambda rng, most: (drawn(rng, *[(extent(rng, most, 4),)] * 2), {}),
         (wrong("transposed", "u' b", lambda a, b, u: (u.T @ b, a @ u), UNNAMED),
          wrong("swapped", "rules exchanged", lambda a, b, u: (a @ u, u @ b), "exchanged arguments"))),
    Rule(
        "quadratic form", "x a", lambda x, a: x @ a @ x, lambda x, a, u: (u * (a + a.T) @ x, u * np.outer(x, x)),
        _form,
        (
            wrong("transposed", "2 a x, as if a were symmetric",
                  lambda x, a, u: (u * 2 * a @ x, u * np.outer(x, x)), UNNAMED),
            wrong("missing term", "a x alone", lambda x, a, u: (u * a @ x, u * np.outer(x, x)), UNNAMED),
            wrong("one entry", "a's diagonal only",
                  lambda x, a, u: (u * (a + a.T) @ x, u * np.diag(x * x)), "gate"),
        ),
        scales=(-2, 2),
    ),
    Rule(
        "gather", "table", lambda table, index: table[index], _scattered, _rows,
        (
            wrong("missing term", "repeated rows overwritten, not added", _overwritten, UNNAMED, "factor 2"),
            wrong("off by one", "rows one further on",
                  lambda x, u, index: (np.roll(_scattered(x, u, index)[0], 1, 0),), "shifted", "transposed", "flipped"),
        ),
    ),
    Rule(
        "every second", "x", lambda x: x[:, 1::2].copy(), _spread, _sequence,
        (wrong("off by one", "from the zeroth on", lambda x, u: _spread(x, u, 0), "shifted", "gate", "missing gate"),
         wrong("off by one", "from the second on", lambda x, u: _spread(x, u, 2), "shifted", "gate", "missing gate",
               "detached")),
    ),
    Rule(
        "permute axes", "x", lambda x: x.transpose(1, 2, 0).copy(), lambda x, u: (u.transpose(2, 0, 1).copy(),), _cube,
        (wrong("transposed", "the same permutation, not its inverse", lambda x, u: (u.transpose(1, 2, 0).copy(),),
               "shape", "transposed", "missing sum over a broadcast axis"),),
    ),
    Rule(
        "permute equal axes", "x", lambda x: x.transpose(1, 2, 0).copy(),
        lambda x, u: (u.transpose(2, 0, 1).copy(),), _even_cube,
        (wrong("transposed", "the same permutation, not its inverse", lambda x, u: (u.transpose(1, 2, 0).copy(),),
               "transposed"),
         wrong("transposed", "not permuted at all", lambda x, u: (u.copy(),), "transposed")),
    ),
    Rule(
        "cumulative sum", "x", lambda x: np.cumsum(x, 0), lambda x, u: (np.cumsum(u[::-1], 0)[::-1],), _sequence,
        (wrong("flipped", "summed from the front", lambda x, u: (np.cumsum(u, 0),), UNNAMED),
         wrong("flipped", "not turned back", lambda x, u: (np.cumsum(u[::-1], 0),), "flipped"),
         wrong("off by one", "each without its own",
               lambda x, u: (np.cumsum(u[::-1], 0)[::-1] - u,), UNNAMED, "shifted")),
    ),
    Rule(
        "concatenate", "a b", lambda a, b: np.concatenate([a, b]), lambda a, b, u: (u[: len(a)], u[len(a) :]),
        square_matrices,
        (wrong("swapped", "the parts are exchanged", lambda a, b, u: (u[len(a) :], u[: len(a)]),
               "exchanged arguments"),
         wrong("off by one", "split one early", lambda a, b, u: (u[: len(a)], u[len(a) - 1 : -1]), "shifted",
               UNNAMED)),
    ),
    Rule(
        "inverse", "a", np.linalg.inv, _inverse_vjp, _invertible,
        (wrong("transposed", "no transposes", lambda a, u: (_inverse_vjp(a.T, u)[0],), UNNAMED),
         wrong("sign", "no minus", lambda a, u: (-_inverse_vjp(a, u)[0],), "sign")),
    ),
    Rule(
        "log determinant", "a", _log_determinant, lambda a, u: (u * np.linalg.inv(a).T,), _invertible,
        (wrong("transposed", "not transposed", lambda a, u: (u * np.linalg.inv(a),), "transposed"),),
    ),
]  # fmt: skip
