"""Gradient descent with momentum, and RMSprop, over one flat buffer, in one pass.

    sgd         v = momentum v + g                        p = p - rate v
    rmsprop     v = decay v + (1 - decay) g^2             p = p - rate g / (sqrt(v) + eps)

Memory-bound: three reads and two writes of every number. The buffers, the numbers that change with the step and the
note of gradients that are not finite are as in adam.py. Each operation is rounded by itself, as in NumPy: the bits are
those of the reference.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import plain
from minigan_kernels.numba.parallel_for import parallel_for

_WORK = 5  # numbers are read and written for each parameter


@njit(fastmath={"reassoc"}, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _alarm(g):
    """0, or NaN if a number of g is not finite; zeros may be added in any order, and so in vectors."""
    total = g.dtype.type(0)
    for i in range(g.size):
        total += g[i] * g.dtype.type(0)
    return total


@inner
def _descend(p, g, v, momentum, rate):
    for i in range(p.size):
        v[i] = momentum * v[i] + g[i]
        p[i] -= rate * v[i]


@inner
def _descend_normalised(p, g, v, decay, rest, rate, eps):
    for i in range(p.size):
        v[i] = decay * v[i] + rest * g[i] * g[i]
        p[i] -= rate * g[i] / (np.sqrt(v[i]) + eps)


@inner
def _share(t, threads, p, g, bounds, v, first_bad, numbers, normalised, decay, rest, eps):
    first, last, rate = t * p.size // threads, (t + 1) * p.size // threads, p.dtype.type(numbers[1])
    for k in range(bounds.shape[0]):
        start, stop = max(first, bounds[k, 0]), min(last, bounds[k, 1])
        if start >= stop:
            continue
        if _alarm(g[start:stop]) != 0 and first_bad[k] < 0:
            first_bad[k] = np.int64(numbers[0])
        if normalised:
            _descend_normalised(p[start:stop], g[start:stop], v[start:stop], decay, rest, rate, eps)
        else:
            _descend(p[start:stop], g[start:stop], v[start:stop], decay, rate)


@njit
def _update(p, g, bounds, v, first_bad, numbers, normalised, decay, rest, eps, threads):
    parallel_for(threads, _share, (p, g, bounds, v, first_bad, numbers, normalised, decay, rest, eps))


def _signature(number):
    vector, integers = types.Array(number, 1, "C"), types.Array(types.int64, 1, "C")
    bounds, numbers = types.Array(types.int64, 2, "C"), types.Array(types.float64, 1, "C")
    return (vector, vector, bounds, vector, integers, numbers, types.boolean, *(number,) * 3, types.int64)


DESCENT = Compiled("sgd and rmsprop", _update, _signature, "p v first_bad")


def sgd(p, g, bounds, velocity, first_bad, numbers, momentum):
    """One step, in place; see `reference.sgd`."""
    _run(p, g, bounds, velocity, first_bad, numbers, False, momentum, 0.0)


def rmsprop(p, g, bounds, v, first_bad, numbers, decay, eps):
    """One step, in place; see `reference.rmsprop`."""
    _run(p, g, bounds, v, first_bad, numbers, True, decay, eps)


def _run(p, g, bounds, v, first_bad, numbers, normalised, decay, eps):
    number, threads = p.dtype.type, threads_for(_WORK * p.size)
    settings = number(decay), number(1 - decay), number(eps)
    DESCENT.launch(p.dtype, p, plain(g), bounds, v, first_bad, numbers, normalised, *settings, threads)
