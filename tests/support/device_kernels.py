"""Kernels for arrays on a device, made to take NumPy arrays, so that one test serves all implementations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds


def on_host(xp: Any, kernels: dict[str, Callable]) -> dict[str, Callable]:
    """`kernels` for arrays of the library `xp`, each as a function of NumPy arrays.

    The operands are copied to the device with the strides that they have, and what a kernel changes is copied back.
    """
    return {name: partial(_call, xp, kernel) for name, kernel in kernels.items()}


def _call(xp: Any, kernel: Callable, *arguments: Any, **options: Any) -> Any:
    moved = [_to_device(xp, argument) for argument in arguments]
    options = {name: _to_device(xp, option) for name, option in options.items()}
    returned = kernel(*moved, **options)
    if returned is None:
        for argument, copy in zip(arguments, moved, strict=True):
            if isinstance(argument, np.ndarray) and argument.flags.writeable:
                argument[...] = xp.asnumpy(copy)
        return None
    return tuple(map(xp.asnumpy, returned)) if isinstance(returned, tuple) else xp.asnumpy(returned)


def _to_device(xp: Any, argument: Any) -> Any:
    return to_device(xp, argument) if isinstance(argument, np.ndarray) else argument


def to_device(xp: Any, array: np.ndarray) -> Any:
    """A copy of `array` on the device with the same strides; what lies between its elements is NaN or -1."""
    if array.flags.c_contiguous or not array.size:
        return xp.asarray(array)
    first, end = byte_bounds(array)
    memory = xp.asarray(np.full(end - first, 255, np.uint8).view(array.dtype))
    offset = array.__array_interface__["data"][0] - first
    copy = xp.ndarray(array.shape, array.dtype, memory.data + offset, array.strides)
    copy[...] = xp.asarray(np.ascontiguousarray(array))
    return copy
