"""Every compiled form of every CUDA kernel: launches at many shapes and of the training steps of `minigan bench`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

import minigan_kernels
from minigan.training import benchmark
from minigan_kernels.geometry import Geometry, of_convolution
from support.dry_launches import Launch, empty, of_training_step, recorded, table

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
MULTIPROCESSORS = (20, 132)  # of a small card and an H200: the launch code chooses tiles by their number
_EXTENTS = (1, 3, 64, 66, 512, 4096)
_CHANNELS = (1, 3, 4, 64, 66, 512)
_ROWS = (1, 7, 64, 4096)


def implementations() -> list[str]:
    """The implementations of the kernels for CuPy in CUDA."""
    return [name for name in minigan_kernels.IMPLEMENTATIONS if name.startswith("cuda")]


@cache
def launches() -> tuple[Launch, ...]:
    """The launches of all operations at many shapes, and of the training steps of the four networks."""
    found: dict[Launch, None] = {}
    for implementation, multiprocessors in itertools.product(implementations(), MULTIPROCESSORS):
        with recorded(multiprocessors) as noted:
            kernels = table(implementation)
            for dtype in DTYPES:
                for operation, arguments in _calls(dtype):
                    if operation in kernels:
                        kernels[operation](*arguments)
            found |= dict.fromkeys(noted)
    for implementation, network in itertools.product(implementations(), benchmark.NETWORKS):
        found |= dict.fromkeys(of_training_step(network, implementation=implementation))
    return tuple(found)


def _calls(dtype: np.dtype) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Operations with arguments, as in `reference`."""
    kind = dtype.type
    for m, n, k in itertools.product(_EXTENTS, repeat=3):
        for ta, tb in itertools.product((False, True), repeat=2):
            yield "matmul", (empty((k, m) if ta else (m, k), dtype), empty((n, k) if tb else (k, n), dtype), ta, tb)
        yield "dense", (empty((m, k), dtype), empty((k, n), dtype), empty(n, dtype), 0.2)
    for batch, channels, maps, geometry in itertools.product((1, 64), _CHANNELS, _CHANNELS, _geometries()):
        x, y = empty((batch, *geometry.size, channels), dtype), empty((batch, *geometry.out, maps), dtype)
        w = empty((*geometry.kernel, channels, maps), dtype)
        yield "conv2d", (x, w, empty(maps, dtype), 0.2, geometry)
        yield "conv2d_input_grad", (y, w, None, 1.0, geometry)
        yield "conv2d_weight_grad", (x, y, geometry)
    for rows, columns in itertools.product(_ROWS, _EXTENTS):
        x, vector = empty((rows, columns), dtype), empty(columns, dtype)
        yield "slope_gate", (x, x, 0.2)
        yield "bias_act_grad", (x, x, 0.2)
        yield "sum", (x, 0, False)
        yield "sum", (x, 1, False)
        yield "batch_norm", (x, vector, vector, 1e-5, 0.2)
        yield "batch_norm_grad", (x, x, vector, vector, vector, vector, 1e-5, 0.2)
        yield "contiguous", (empty((columns, rows), dtype).T,)
        yield "contiguous", (empty((rows, 2, columns), dtype)[:, ::2],)
        yield "assign", (x, x)
        yield "clip", (x, kind(0.1))
        yield "update_running_statistics", (vector, vector, 0.9)
        yield "lerp", (x, x, empty(1, np.float64))
    for size in (1, 1000, 4_000_000):
        p, scalars = empty(size, dtype), empty(4, np.float64)
        bounds, first = empty((1, 2), np.int64), empty(1, np.int64)
        yield "adam", (p, p, bounds, p, p, first, scalars, 0.5, 0.999, 1e-8)
        yield "sgd", (p, p, bounds, p, first, scalars, 0.9)
        yield "rmsprop", (p, p, bounds, p, first, scalars, 0.9, 1e-8)
        yield "record_nonfinite", (p, bounds, first, scalars)


def _geometries() -> list[Geometry]:
    return [
        of_convolution((7, 7), (3, 3), 1, 1),
        of_convolution((28, 28), (4, 4), 2, 1),
        of_convolution((4, 4), (4, 4), 1, 0),
        of_convolution((9, 12), (5, 2), (3, 1), ((1, 2), (0, 1))),
        of_convolution((1, 1), (1, 1), 1, 0),
    ]
