"""Batch normalisation, and the log-sum-exp that normalises a distribution."""

from __future__ import annotations

from typing import Any

from minigan import backend
from minigan.autodiff import Tensor, primitive
from minigan.ops.elementwise import exp, sqrt
from minigan.ops.shape import mean, reshape


def _batch_norm_composite(x: Any, gamma: Any, beta: Any, *, eps: float) -> Tensor:
    """The same in differentiable operations: the formula of Ioffe and Szegedy, 2015, Algorithm 1."""
    axes = tuple(range(len(x.shape) - 1))
    centred = x - mean(x, axes)
    variance = mean(centred * centred, axes)
    return centred / sqrt(variance + eps) * gamma + beta


def _batch_norm_vjp(g, y, x, gamma, beta, *, wanted, eps):
    channels = x.shape[-1]
    kernel = backend.of(x.data).kernel("batch_norm_grad")
    dx, dgamma, dbeta = kernel(
        g.data.reshape(-1, channels), x.data.reshape(-1, channels), gamma.data, *y.saved, eps
    )
    return Tensor(dx.reshape(x.shape)), Tensor(dgamma), Tensor(dbeta)


@primitive(joint=_batch_norm_vjp, composite=_batch_norm_composite)
def _batch_norm(B, x, gamma, beta, *, eps):
    y, mean_, variance = B.kernel("batch_norm")(x.reshape(-1, x.shape[-1]), gamma, beta, eps)
    return y.reshape(x.shape), (mean_, variance)


def batch_norm(x: Any, gamma: Any, beta: Any, *, eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * gamma + beta, with moments over all axes but the last.

    x (..., C), gamma (C,), beta (C,); the variance is the biased one. The result's `.saved` holds the raw
    (mean, variance). Source: Ioffe and Szegedy, 2015, Algorithm 1. Raises ValueError if the shapes do not fit.
    """
    channels = x.shape[-1:]
    if len(x.shape) < 2 or tuple(gamma.shape) != channels or tuple(beta.shape) != channels:
        raise ValueError(
            f"batch_norm needs x (..., C), gamma (C,), beta (C,), got shapes {x.shape}, {gamma.shape} and {beta.shape}"
        )
    return _batch_norm(x, gamma, beta, eps=eps)


def _logsumexp_vjp(g, y, x, *, axis):
    shape = tuple(1 if i == axis % x.ndim else extent for i, extent in enumerate(x.shape))
    return reshape(g, shape) * exp(x - reshape(y, shape))  # the softmax


@primitive(_logsumexp_vjp)
def _logsumexp(B, x, *, axis):
    largest = x.max(axis=axis, keepdims=True)
    return (B.xp.log(B.xp.exp(x - largest).sum(axis=axis, keepdims=True)) + largest).squeeze(axis)


def logsumexp(x: Any, axis: int = -1) -> Tensor:
    """log(sum(e**x)) over `axis`, without overflow for x of any size."""
    return _logsumexp(x, axis=axis)
