"""Checks of derivatives against finite differences that estimate their own error."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigan import Tensor, grad, ops, vjp

Function = Callable[..., Tensor]
Arrays = Sequence[np.ndarray]

FIRST_STEP = 0.02
SHRINK = 1.6
ROUNDS = 9
DIRECTIONS = 2


def derivative(phi: Callable[[float], float], step: float = FIRST_STEP) -> tuple[float, float]:
    """(phi'(0), bound of its error): central differences, extrapolated to step 0 (Ridders, 1982).

    Row j of the tableau removes the error terms up to step**(2 j); the bound is the disagreement of neighbours.
    """
    rows: list[list[float]] = []
    best, bound = np.nan, np.inf
    for i in range(ROUNDS):
        row = [(phi(step) - phi(-step)) / (2 * step)]
        for j in range(i):
            factor = SHRINK ** (2 * (j + 1))
            row.append((factor * row[j] - rows[-1][j]) / (factor - 1))
            disagreement = max(abs(row[j + 1] - row[j]), abs(row[j + 1] - rows[-1][j]))
            if disagreement <= bound:
                best, bound = row[j + 1], disagreement
        rows.append(row)
        step /= SHRINK
    return best, bound


def check_first_order(f: Function, inputs: Arrays, seed: int = 0) -> None:
    """Check the derivatives of <u, f(inputs)> for a random u, along random directions."""
    rng = np.random.default_rng([1, seed])
    y, tensors = _evaluate(f, inputs)
    u = rng.standard_normal(y.shape)
    gradients = [g.numpy() for g in vjp(y, tensors, Tensor(u))]
    _compare(lambda arrays: float((_evaluate(f, arrays)[0].numpy() * u).sum()), inputs, gradients, rng)


def check_second_order(f: Function, inputs: Arrays, seed: int = 0) -> None:
    """Check the derivatives of <v, gradient of <u, f>> for random u and v, in the inputs and in u, along directions."""
    rng = np.random.default_rng([2, seed])
    y, tensors = _evaluate(f, inputs)
    u = rng.standard_normal(y.shape)
    v = [rng.standard_normal(x.shape) for x in inputs]

    def projected(arrays: Arrays) -> float:
        *xs, weights = arrays
        result, leaves = _evaluate(f, xs)
        gradients = vjp(result, leaves, Tensor(weights))
        return float(sum((g.numpy() * vi).sum() for g, vi in zip(gradients, v, strict=True)))

    cotangent = Tensor(u)
    gradients = vjp(y, tensors, cotangent, create_graph=True)
    projection = ops.sum(gradients[0] * Tensor(v[0]))
    for g, vi in zip(gradients[1:], v[1:], strict=True):
        projection = projection + ops.sum(g * Tensor(vi))
    assert abs(projection.item() - projected([*inputs, u])) <= 1e-12 * (1 + abs(projection.item()))
    second = [g.numpy() for g in grad(projection, [*tensors, cotangent])]
    _compare(projected, [*inputs, u], second, rng)


def _evaluate(f: Function, inputs: Arrays) -> tuple[Tensor, list[Tensor]]:
    tensors = [Tensor(x) for x in inputs]
    return f(*tensors), tensors


def _compare(phi: Callable[[Arrays], float], inputs: Arrays, gradients: Arrays, rng: np.random.Generator) -> None:
    assert all(x.dtype == np.float64 for x in inputs), "finite differences need float64"
    for g, x in zip(gradients, inputs, strict=True):
        assert g.shape == x.shape
        assert g.dtype == x.dtype
    for _ in range(DIRECTIONS):
        directions = [rng.uniform(-1, 1, x.shape) for x in inputs]
        expected, bound = derivative(lambda t, d=directions: phi([x + t * di for x, di in zip(inputs, d, strict=True)]))
        terms = [g * d for g, d in zip(gradients, directions, strict=True)]
        analytic = float(sum(t.sum() for t in terms))
        scale = float(sum(np.abs(t).sum() for t in terms)) + abs(phi(inputs)) + 1e-3
        assert bound <= 1e-7 * scale, f"the differences are too inaccurate: {bound} of {scale}"
        assert abs(analytic - expected) <= 10 * bound + 1e-11 * scale, (
            f"the derivative is {analytic!r}, finite differences say {expected!r} +- {bound:.1e}"
        )
