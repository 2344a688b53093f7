"""Sums in plain array code whose rounding error grows only with log n.

NumPy sums pairwise along an axis whose elements are contiguous in memory, and one after another along any other axis:
n = 1e6 float32 numbers of 0.1, summed row after row, give a sum that is off by 1%. Summing in blocks, blocks of blocks
and so on makes the error grow with log n (Higham, 2002, section 4.2).
"""

from __future__ import annotations

import math

_FEW = 256  # up to so many numbers are added one after another
_BLOCK = 32  # numbers in a block


def total(x, axis=None, keepdims=False):
    """x.sum(axis, keepdims=keepdims) for an array of any library; `axis` is a number, a tuple, or None for all axes."""
    if x.size <= _FEW or (x.flags.c_contiguous and (axis is None or x.shape == (x.size, 1))):
        return x.sum(axis=axis, keepdims=keepdims)
    chosen = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = {i % x.ndim for i in chosen}
    if len(axes) < len(chosen) or not all(-x.ndim <= i < x.ndim for i in chosen):
        return x.sum(axis=axis, keepdims=keepdims)  # raises the array library's own error
    pairwise = _contiguous_axes(x, axes)
    sequential = sorted(axes - pairwise)
    if math.prod(x.shape[i] for i in sequential) <= _FEW:
        return x.sum(axis=axis, keepdims=keepdims)
    kept_shape = tuple(extent for i, extent in enumerate(x.shape) if i not in axes)
    if pairwise:
        x = x.sum(axis=tuple(pairwise), keepdims=True)
    for i in reversed(sequential):
        x = _sum_in_blocks(x, i)
    return x if keepdims else x.reshape(kept_shape)


def _contiguous_axes(x, axes):
    """The trailing axes among `axes`, whose elements are contiguous; other axes of extent 1 may lie between them."""
    contiguous = set()
    if x.flags.c_contiguous:
        for i in reversed(range(x.ndim)):
            if i in axes:
                contiguous.add(i)
            elif x.shape[i] != 1:
                break
    return contiguous


def _sum_in_blocks(x, i):
    """The sum over axis i, which keeps extent 1."""
    count = x.shape[i]
    if count <= _BLOCK:
        return x.sum(axis=i, keepdims=True)
    before, blocks = (slice(None),) * i, count // _BLOCK
    whole = x[(*before, slice(blocks * _BLOCK))].reshape(*x.shape[:i], blocks, _BLOCK, *x.shape[i + 1 :])
    out = _sum_in_blocks(whole.sum(axis=i + 1), i)
    rest = x[(*before, slice(blocks * _BLOCK, None))]
    return out + rest.sum(axis=i, keepdims=True) if rest.shape[i] else out
