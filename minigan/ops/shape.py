"""Operations that move, repeat, select or sum elements. They come in pairs, each the derivative of the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, primitive


@primitive(
    lambda g, y, x, *, axis, keepdims: broadcast_along(g, x.shape, axis, keepdims), formula={"x": "repeat(g, x)"}
)
def _sum(B, x, *, axis, keepdims):
    return B.sum(x, axis, keepdims)


def sum(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` (all axes if None), with a rounding error that hardly grows with their number."""
    return _sum(x, axis=axis, keepdims=keepdims)


def mean(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """The mean over `axis` (all axes if None). Raises ValueError if there are no elements."""
    count = number_along(x, axis, "mean")
    return _sum(x, axis=axis, keepdims=keepdims) * (1.0 / count)


def broadcast_along(g: Tensor, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Tensor:
    """The VJP of a sum: g broadcast along the axes that were summed."""
    if not keepdims and g.ndim != len(shape) and g.ndim:
        summed = axes_of(axis, len(shape))
        g = reshape(g, tuple(1 if i in summed else extent for i, extent in enumerate(shape)))
    return broadcast_to(g, shape)


def axes_of(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """`axis` as a tuple of axes from 0 to ndim - 1; all of them if None. Raises ValueError if one is out of range."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    if not all(-ndim <= i < ndim for i in axes):
        raise ValueError(f"axis {axis} is out of range for {ndim} axes")
    return tuple(i % ndim for i in axes)


def number_along(x: Any, axis: int | tuple[int, ...] | None, operation: str) -> int:
    """The number of elements of x along `axis`. Raises ValueError, which names the `operation`, if there are none."""
    axes = axes_of(axis, len(x.shape))
    if len(set(axes)) != len(axes):
        raise ValueError(f"{operation} got axis {axis}, which names an axis twice")
    count = math.prod(x.shape[i] for i in axes)
    if not count:
        raise ValueError(f"{operation} needs at least one number along axis {axis}, got shape {x.shape}")
    return count


@primitive(lambda g, y, x, *, shape: sum_like(g, x), view=True, formula={"x": "g"})
def _broadcast_to(B, x, *, shape):
    return B.xp.broadcast_to(x, shape)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Tensor:
    """x repeated to `shape` by NumPy's rules."""
    return _broadcast_to(x, shape=tuple(shape))


def sum_like(g: Tensor, x: Tensor) -> Tensor:
    """g summed over the axes along which x was broadcast to the shape of g: the VJP of broadcasting."""
    if g.shape == x.shape:
        return g
    extra = g.ndim - x.ndim
    repeated = tuple(i + extra for i, extent in enumerate(x.shape) if extent == 1 and g.shape[i + extra] != 1)
    return reshape(_sum(g, axis=(*range(extra), *repeated), keepdims=False), x.shape)


@primitive(lambda g, y, x, *, shape: _reshape(g, shape=x.shape), view=True, formula={"x": "reshape(g, x.shape)"})
def _reshape(B, x, *, shape):
    return x.reshape(shape)


def reshape(x: Any, shape: int | tuple[int, ...]) -> Tensor:
    """The elements of x, in row-major order, in another shape; one extent may be -1, which stands for what remains."""
    return _reshape(x, shape=shape)


@primitive(
    lambda g, y, x, *, axes: _transpose(g, axes=tuple(axes.index(i) for i in range(len(axes)))),
    view=True,
    formula={"x": "transpose(g, inverse(axes))"},
)
def _transpose(B, x, *, axes):
    return x.transpose(axes)


def transpose(x: Any, axes: tuple[int, ...] | None = None) -> Tensor:
    """x with its axes in the order `axes`; in reverse order if None. Raises ValueError unless it has each axis once."""
    ndim = len(x.shape)
    order = tuple(reversed(range(ndim))) if axes is None else axes_of(tuple(axes), ndim)
    if sorted(order) != list(range(ndim)):
        raise ValueError(f"transpose needs each of {ndim} axes once, got {axes}")
    return _transpose(x, axes=order)


def _concatenate_vjp(g: Tensor, y: Tensor, *parts: Any, needs_grad: Any, axis: int) -> list[Tensor | None]:
    pieces: list[Tensor | None] = []
    start = 0
    for part, needed in zip(parts, needs_grad, strict=True):
        stop = start + part.shape[axis]
        key = (slice(None),) * (axis % y.ndim) + (slice(start, stop),)
        pieces.append(index(g, key) if needed else None)
        start = stop
    return pieces


@primitive(joint=_concatenate_vjp, formula={"part": "own_part(g)"})
def _concatenate(B, *parts, axis):
    return B.concatenate(parts, axis)


def concatenate(parts: Any, axis: int = 0) -> Tensor:
    """The Tensors `parts` joined along `axis`."""
    return _concatenate(*parts, axis=axis)


def stack(parts: Any, axis: int = 0) -> Tensor:
    """The Tensors `parts`, all of one shape, joined along a new axis at the place `axis` of the result.

    Raises ValueError if there are none, their shapes differ, or the result has no such axis.
    """
    parts = [x if isinstance(x, Tensor) else Tensor(x) for x in parts]
    if len({x.shape for x in parts}) != 1:
        raise ValueError(f"stack needs one or more Tensors of one shape, got the shapes {[x.shape for x in parts]}")
    shape = parts[0].shape
    (place,) = axes_of(axis, len(shape) + 1)
    return concatenate([reshape(x, (*shape[:place], 1, *shape[place:])) for x in parts], place)


@primitive(lambda g, y, x, *, key: _place(g, key=key, shape=x.shape), view=True, formula={"x": "zeros_but(g, key)"})
def _index(B, x, *, key):
    return x[_on_device(B, key)]


@primitive(lambda g, y, x, *, key, shape: _index(g, key=key), formula={"x": "g[key]"})
def _place(B, x, *, key, shape):
    """Zeros of `shape` with x added at `key`: the VJP of indexing."""
    out = B.xp.zeros_like(x, shape=shape, order="C")
    if _is_basic(key):
        out[key] = x
    else:
        B.xp.add.at(out, _on_device(B, key), x)  # an integer array may contain an index twice
    return out


def index(x: Any, key: Any) -> Tensor:
    """x[key], for x of any shape and a key of integers, slices, None, Ellipsis and integer arrays, as in NumPy."""
    return _index(x, key=key if _is_basic(key) else _copy_arrays(key))


def _copy_arrays(key: Any) -> Any:
    """The key with copies of its arrays: the VJP needs them even if the caller changes them later."""
    parts = key if isinstance(key, tuple) else (key,)
    return tuple(part if _is_basic(part) else _index_array(part) for part in parts)


def _index_array(part: Any) -> np.ndarray:
    array = np.array(part)
    return array.astype(np.intp) if isinstance(part, list) and not array.size else array  # NumPy makes [] float64


def _is_basic(key: Any) -> bool:
    """Whether the key holds no array: NumPy's basic indexing."""
    if isinstance(key, (slice, int)):
        return True
    parts = key if isinstance(key, tuple) else (key,)
    return all(part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts)


def _on_device(B: Any, key: Any) -> Any:
    """The key with its arrays on the backend B."""
    if _is_basic(key):
        return key
    parts = key if isinstance(key, tuple) else (key,)
    return tuple(part if _is_basic(part) else B.asarray(part) for part in parts)


def _pad_vjp(g: Tensor, y: Tensor, x: Tensor, *, widths: Any) -> Tensor:
    return index(g, tuple(slice(a, a + n) for (a, _), n in zip(widths, x.shape, strict=True)))


@primitive(_pad_vjp, formula={"x": "without_border(g)"})
def _pad(B, x, *, widths):
    return B.xp.pad(x, widths)


def pad(x: Any, widths: tuple[tuple[int, int], ...]) -> Tensor:
    """x padded with zeros: `widths` holds (before, after) for each axis."""
    return _pad(x, widths=tuple((int(a), int(b)) for a, b in widths))
