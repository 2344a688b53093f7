"""Maximum, minimum, variance, softmax and log-sum-exp over axes."""

from __future__ import annotations

from typing import Any

from minigan.autodiff import Tensor, primitive
from minigan.ops.shape import axes_of, broadcast_along, mean, number_along, reshape
from minigan.ops.shape import sum as sum_

Axes = int | tuple[int, ...] | None


@primitive(None, formula={"x": "0"})
def _share_of_largest(B, x, *, axis):
    largest = (x == x.max(axis=axis, keepdims=True)).astype(x.dtype)
    return largest / B.sum(largest, axis, keepdims=True)


def share_of_largest(x: Any, axis: Axes = -1) -> Tensor:
    """1 / k at each of the k maxima over `axis`, 0 elsewhere. Constant almost everywhere: its derivative is zero.

    Raises ValueError if there are no elements along `axis`.
    """
    number_along(x, axis, "share_of_largest")
    return _share_of_largest(x, axis=axis)


@primitive(
    lambda g, y, x, *, axis, keepdims: broadcast_along(g, x.shape, axis, keepdims) * share_of_largest(x, axis),
    formula={"x": "repeat(g, x) * share_of_largest(x, axis)"},
)
def _max(B, x, *, axis, keepdims):
    return x.max(axis=axis, keepdims=keepdims)


def max(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest number over `axis` (all axes if None), NaN if one is NaN. Equal ones share the cotangent equally.

    Raises ValueError if there are no elements.
    """
    number_along(x, axis, "max")
    return _max(x, axis=axis, keepdims=keepdims)


def min(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest number over `axis` (all axes if None), NaN if one is NaN. Equal ones share the cotangent equally.

    Raises ValueError if there are no elements.
    """
    number_along(x, axis, "min")
    return -max(-x, axis, keepdims)


def var(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The variance over `axis` (all axes if None): the mean square of the distance from the mean, as `np.var`.

    Raises ValueError if there are no elements.
    """
    centred = x - mean(x, axis, keepdims=True)
    return mean(centred * centred, axis, keepdims)


def _exponentials(xp: Any, x: Any, axis: int) -> tuple[Any, Any]:
    """The maximum, and e**(x - maximum), which cannot overflow: exactly 1 at a maximum, even at an infinite one."""
    largest = x.max(axis=axis, keepdims=True)
    at_largest = x == largest
    return largest, xp.exp(xp.where(at_largest, 0.0, x) - xp.where(at_largest, 0.0, largest))


@primitive(
    lambda g, y, x, *, axis: y * (g - sum_(g * y, axis=axis, keepdims=True)),
    formula={"x": "y * (g - sum(g * y, axis))"},
)
def _softmax(B, x, *, axis):
    _, exponentials = _exponentials(B.xp, x, axis)
    return exponentials / B.sum(exponentials, axis, keepdims=True)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """e**x / sum(e**x) over `axis`, without overflow.

    If the k largest elements are infinite, each gets 1 / k: the limit as they go to plus or minus
    infinity together.
    Raises ValueError if there are no elements along `axis`.
    """
    number_along(x, axis, "softmax")
    return _softmax(x, axis=axis)


@primitive(
    lambda g, y, x, *, axis: broadcast_along(g, x.shape, axis, keepdims=False) * softmax(x, axis),
    formula={"x": "repeat(g, x) * softmax(x, axis)"},
)
def _logsumexp(B, x, *, axis):
    """maximum + log1p(sum without the 1 of one maximum): accurate even if the other terms are tiny.

    Source: Blanchard, Higham and Higham, 2021, Algorithm 3.1.
    """
    largest, exponentials = _exponentials(B.xp, x, axis)
    first = B.xp.expand_dims(x.argmax(axis=axis), axis)
    positions = B.xp.arange(x.shape[axis]).reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    others = B.xp.where(positions == first, 0.0, exponentials)
    return (largest + B.xp.log1p(B.sum(others, axis, keepdims=True))).squeeze(axis)


def logsumexp(x: Any, axis: Axes = -1, keepdims: bool = False) -> Tensor:
    """log(sum(e**x)) over `axis` (all axes if None), to full precision: -inf if all are -inf, inf if one is inf.

    Its derivative is `softmax`. Raises ValueError if there are no elements along `axis`.
    """
    number_along(x, axis, "logsumexp")
    y, axes = x if isinstance(x, Tensor) else Tensor(x), axes_of(axis, len(x.shape))
    for i in (axis,) if isinstance(axis, int) else sorted(axes, reverse=True):
        y = _logsumexp(y, axis=i)
    return reshape(y, tuple(1 if i in axes else extent for i, extent in enumerate(x.shape))) if keepdims else y
