"""SGD with momentum, and RMSprop, over one flat buffer, in one pass.

    sgd         v = momentum v + g                        p = p - learning_rate v
    rmsprop     v = decay v + (1 - decay) g^2             p = p - learning_rate g / (sqrt(v) + eps)

The layout, the array of numbers that change with the step, and the recording of gradients that are not finite are as in
adam.py. Memory-bound: three reads and two writes for each element. Each operation is rounded separately, as in NumPy,
so the bits are those of the reference.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.jit import Compiled, inner, optimized_inner, threads_for
from minigan_kernels.numba.memory import row_major
from minigan_kernels.numba.parallel_for import parallel_for

_WORK = 5  # array elements read and written for each parameter


# Reassociation lets the sum of zeros be vectorised; a sum of zeros is the same in any order.
@optimized_inner(fastmath={"reassoc"})
def _nonfinite(g):
    """0, or NaN if an element of g is not finite."""
    total = g.dtype.type(0)
    for i in range(g.size):
        total += g[i] * g.dtype.type(0)
    return total


@inner
def _sgd(p, g, v, momentum, learning_rate):
    for i in range(p.size):
        v[i] = momentum * v[i] + g[i]
        p[i] -= learning_rate * v[i]


@inner
def _rmsprop(p, g, v, decay, rest, learning_rate, eps):
    for i in range(p.size):
        v[i] = decay * v[i] + rest * g[i] * g[i]
        p[i] -= learning_rate * g[i] / (np.sqrt(v[i]) + eps)


@inner
def _update_chunk(t, threads, p, g, bounds, v, first_nonfinite, scalars, is_rmsprop, decay, rest, eps):
    """Update the range of the flat buffers that belongs to thread t."""
    first, last, learning_rate = t * p.size // threads, (t + 1) * p.size // threads, p.dtype.type(scalars[1])
    for k in range(bounds.shape[0]):
        start, stop = max(first, bounds[k, 0]), min(last, bounds[k, 1])
        if start >= stop:
            continue
        if _nonfinite(g[start:stop]) != 0 and first_nonfinite[k] < 0:
            first_nonfinite[k] = np.int64(scalars[0])
        if is_rmsprop:
            _rmsprop(p[start:stop], g[start:stop], v[start:stop], decay, rest, learning_rate, eps)
        else:
            _sgd(p[start:stop], g[start:stop], v[start:stop], decay, learning_rate)


@njit
def _update(p, g, bounds, v, first_nonfinite, scalars, is_rmsprop, decay, rest, eps, threads):
    parallel_for(threads, _update_chunk, (p, g, bounds, v, first_nonfinite, scalars, is_rmsprop, decay, rest, eps))


def _signature(dtype):
    vector, integers = types.Array(dtype, 1, "C"), types.Array(types.int64, 1, "C")
    bounds, scalars = types.Array(types.int64, 2, "C"), types.Array(types.float64, 1, "C")
    return (vector, vector, bounds, vector, integers, scalars, types.boolean, *(dtype,) * 3, types.int64)


SGD_RMSPROP = Compiled("sgd and rmsprop", _update, _signature, "p v first_nonfinite")


def sgd(p, g, bounds, velocity, first_nonfinite, scalars, momentum):
    """One step, in place; see `reference.sgd`."""
    _launch(p, g, bounds, velocity, first_nonfinite, scalars, False, momentum, 0.0)


def rmsprop(p, g, bounds, v, first_nonfinite, scalars, decay, eps):
    """One step, in place; see `reference.rmsprop`."""
    _launch(p, g, bounds, v, first_nonfinite, scalars, True, decay, eps)


def _launch(p, g, bounds, v, first_nonfinite, scalars, is_rmsprop, decay, eps):
    cast, threads = p.dtype.type, threads_for(_WORK * p.size)
    settings = cast(decay), cast(1 - decay), cast(eps)
    SGD_RMSPROP.launch(p.dtype, p, row_major(g), bounds, v, first_nonfinite, scalars, is_rmsprop, *settings, threads)
