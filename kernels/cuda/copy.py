"""Copies between arrays of any strides on the GPU; see copy.cu."""

from __future__ import annotations

import numpy as np

from minigan_kernels.cuda.driver import cupy_module
from minigan_kernels.cuda.elements import THREADS, element_blocks
from minigan_kernels.cuda.launch import Kernel, Strided, output_array
from minigan_kernels.cuda.transpose import copy_transposed, is_transposed

COPY_STRIDED = Kernel("copy.cu", "copy_strided")

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_MOST_DIMENSIONS = 6


def contiguous(x, out=None):
    """A copy of x in row-major order."""
    out = output_array(x.shape, x.dtype, out)
    assign(out, x)
    return out


def assign(target, value):
    """target = value, in place; both may have any strides and overlap, and `value` is broadcast; see the reference."""
    cupy = cupy_module()
    is_array = isinstance(value, cupy.ndarray) and value.ndim <= target.ndim
    if not is_array or value.dtype != target.dtype or target.dtype not in _FLOATS:
        target[...] = value  # a number, or a conversion
        return
    value = cupy.broadcast_to(value, target.shape)
    if not target.size:
        return
    if cupy.may_share_memory(target, value):
        value = contiguous(value)  # or else a thread might read an element that another one has written
    extents, sources, targets = _merged_axes(target.shape, _strides(value), _strides(target))
    if len(extents) > _MOST_DIMENSIONS:
        for part, of_value in zip(target, value, strict=True):
            assign(part, of_value)
    elif is_transposed(extents, sources, targets):
        copy_transposed(value, target, extents, sources, targets)
    else:
        _copy_strided(value, target, extents, sources, targets)


def _strides(x):
    """The strides of x in elements."""
    return tuple(stride // x.itemsize for stride in x.strides)


def _merged_axes(shape, sources, targets):
    """(extents, strides of the source, strides of the target) of the same copy in as few axes as possible.

    The axes are in the order of their strides in the target; neighbours that are one axis in both arrays are merged.
    """
    axes = [axis for axis in zip(shape, sources, targets, strict=True) if axis[0] != 1]
    axes.sort(key=lambda axis: -abs(axis[2]))
    merged: list[tuple[int, int, int]] = []
    for extent, source, target in axes:
        if merged and merged[-1][1:] == (extent * source, extent * target):
            extent *= merged.pop()[0]
        merged.append((extent, source, target))
    return tuple(zip(*(merged or [(1, 0, 0)]), strict=True))


def _copy_strided(source, target, extents, sources, targets):
    unused = (0,) * (_MOST_DIMENSIONS - len(extents))
    COPY_STRIDED.launch(
        target.dtype, element_blocks(target.size), THREADS, Strided(source), Strided(target), target.size,
        *extents[1:], *unused, *sources, *unused, *targets, *unused, DIMENSIONS=len(extents),
    )  # fmt: skip
