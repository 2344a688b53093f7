"""Batch normalisation, and the mean of softplus."""

from __future__ import annotations

import math
from typing import Any

from minigan.autodiff import Tensor, no_grad, primitive
from minigan.autodiff.formula import with_leaky_relu
from minigan.core import backend
from minigan.ops.elementwise import leaky_relu, sigmoid, sqrt
from minigan.ops.shape import index, mean, reshape


def _batch_norm_composite(x: Any, gamma: Any, beta: Any, *, eps: float, slope: float) -> Tensor:
    """`batch_norm` in differentiable operations: the formula of Ioffe and Szegedy, 2015, Algorithm 1."""
    axes = tuple(range(len(x.shape) - 1))
    with no_grad():
        first = index(x, (0,) * len(axes))
    shifted = x - first  # sums of numbers around 0 round less; the result is the same otherwise
    centred = shifted - mean(shifted, axes)
    variance = mean(centred * centred, axes)
    y = centred / sqrt(variance + eps) * gamma + beta
    return y if slope == 1 else leaky_relu(y, slope)


def _batch_norm_vjp(g, y, x, gamma, beta, *, needs_grad, eps, slope):
    rows = math.prod(x.shape[:-1]), x.shape[-1]
    kernel = backend.of(x.data).kernel("batch_norm_grad")
    arrays = reshape(g, rows).data, reshape(x, rows).data, gamma.data, beta.data
    dx, dgamma, dbeta = kernel(*arrays, *y.saved, eps, slope)
    return Tensor(dx.reshape(x.shape)), Tensor(dgamma), Tensor(dbeta)


def _batch_norm_formula(*, eps, slope):
    cotangents = {"x": "gamma / s * (h - mean(h) - u * mean(h * u))", "gamma": "sum(h * u)", "beta": "sum(h)"}
    return with_leaky_relu(slope, cotangents, "u = (x - mean(x)) / s; s = sqrt(mean((x - mean(x))**2) + eps)")


@primitive(joint=_batch_norm_vjp, composite=_batch_norm_composite, formula=_batch_norm_formula)
def _batch_norm(B, x, gamma, beta, *, eps, slope):
    rows = math.prod(x.shape[:-1]), x.shape[-1]
    x = x if x.flags.c_contiguous else B.kernel("contiguous")(x)
    y, mean_, variance = B.kernel("batch_norm")(x.reshape(rows), gamma, beta, eps, slope)
    return y.reshape(x.shape), (mean_, variance)


def batch_norm(x: Any, gamma: Any, beta: Any, *, eps: float, slope: float = 1.0) -> Tensor:
    """leaky_relu((x - mean) / sqrt(variance + eps) * gamma + beta), with moments over all axes but the last.

    x (..., C), gamma (C,), beta (C,). The variance is the biased one; slope 1 means no activation. The result's `saved`
    holds the arrays (mean, variance). Source: Ioffe and Szegedy, 2015, Algorithm 1. Raises ValueError if the shapes do
    not fit, or if a channel has fewer than two values: a single one equals its mean, so that y would not depend on x.
    """
    channels = x.shape[-1:]
    if len(x.shape) < 2 or tuple(gamma.shape) != channels or tuple(beta.shape) != channels:
        raise ValueError(
            f"batch_norm needs x (..., C), gamma (C,), beta (C,), got shapes {x.shape}, {gamma.shape} and {beta.shape}"
        )
    count = math.prod(x.shape[:-1])
    if count < 2:
        raise ValueError(
            f"batch_norm needs two values or more of each channel, and a batch of shape {x.shape} has {count}; use a "
            "larger batch_size (or less packing), or the running statistics: module.eval()"
        )
    return _batch_norm(x, gamma, beta, eps=eps, slope=slope)


@primitive(
    lambda g, y, x, *, sign: sigmoid(x * float(sign)) * (g * (sign / x.size)),
    formula={"x": "sign * g * sigmoid(sign * x) / n"},
)
def _mean_softplus(B, x, *, sign):
    terms = B.xp.maximum(x * sign, 0.0) + B.xp.log1p(B.xp.exp(-abs(x)))
    return B.sum(terms) * (1.0 / x.size)


def mean_softplus(x: Any, sign: int = 1) -> Tensor:
    """The mean of log(1 + e**(sign * x)) over all elements, sign 1 or -1: the logistic losses in one operation.

    Raises ValueError if there are no elements.
    """
    if not math.prod(x.shape):
        raise ValueError(f"mean_softplus needs at least one number, got shape {x.shape}")
    if sign not in (1, -1):
        raise ValueError(f"mean_softplus takes a sign of 1 or -1, got {sign}")
    return _mean_softplus(x, sign=sign)
