"""Sums that keep their digits, in plain array code.

NumPy adds in pairs along an axis whose numbers lie side by side, and one after another along any other: of n float32
numbers of 0.1, added row after row, the sum is off by 1% for n = 1e6. In blocks, blocks of blocks and so on, the error
grows with log n (Higham, 2002, section 4.2).
"""

from __future__ import annotations

import math

_FEW = 256  # numbers that may be added one after another
_BLOCK = 32


def total(x, axis=None, keepdims=False):
    """x.sum(axis, keepdims=keepdims) for an array of any library; `axis` is a number, a tuple or None, for all."""
    if x.size <= _FEW or (x.flags.c_contiguous and (axis is None or x.shape == (x.size, 1))):
        return x.sum(axis=axis, keepdims=keepdims)
    chosen = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = {i % x.ndim for i in chosen}
    if len(axes) < len(chosen) or not all(-x.ndim <= i < x.ndim for i in chosen):
        return x.sum(axis=axis, keepdims=keepdims)  # which says what is wrong
    in_pairs = _side_by_side(x, axes)
    one_by_one = sorted(axes - in_pairs)
    if math.prod(x.shape[i] for i in one_by_one) <= _FEW:
        return x.sum(axis=axis, keepdims=keepdims)
    kept = tuple(extent for i, extent in enumerate(x.shape) if i not in axes)
    if in_pairs:
        x = x.sum(axis=tuple(in_pairs), keepdims=True)
    for i in reversed(one_by_one):
        x = _in_blocks(x, i)
    return x if keepdims else x.reshape(kept)


def _side_by_side(x, axes):
    """Those of `axes` that together are one run of numbers in memory: the last ones, but for axes of extent 1."""
    found = set()
    if x.flags.c_contiguous:
        for i in reversed(range(x.ndim)):
            if i in axes:
                found.add(i)
            elif x.shape[i] != 1:
                break
    return found


def _in_blocks(x, i):
    """The sum over axis i, which keeps extent 1."""
    count = x.shape[i]
    if count <= _BLOCK:
        return x.sum(axis=i, keepdims=True)
    before, blocks = (slice(None),) * i, count // _BLOCK
    whole = x[(*before, slice(blocks * _BLOCK))].reshape(*x.shape[:i], blocks, _BLOCK, *x.shape[i + 1 :])
    out = _in_blocks(whole.sum(axis=i + 1), i)
    rest = x[(*before, slice(blocks * _BLOCK, None))]
    return out + rest.sum(axis=i, keepdims=True) if rest.shape[i] else out
