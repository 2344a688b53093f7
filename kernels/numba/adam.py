"""Adam (Kingma and Ba, 2015, Algorithm 1) over one flat buffer, in one pass.

    m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
    p = p - rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

Memory-bound: four reads and three writes of every number. All parameters lie in one buffer, and all gradients in
another, in the same places, so there is one launch for a whole network. What changes with the step t comes in an array,
so that the same launch serves for every step. The same pass notes, for each parameter, the first step whose gradient
was not finite: g * 0 is NaN exactly for such a g.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import plain
from minigan_kernels.numba.parallel_for import parallel_for

_WORK = 8  # numbers are read and written for each parameter, and a root and a division taken


@njit(fastmath={"reassoc"}, error_model="numpy")  # lets the sum of zeros run in vectors; zero is zero in any order
def _update(p, g, m, v, beta1, rest1, beta2, rest2, rate, root_correction, eps):
    """Update one run of numbers; returns 0, or NaN if a gradient among them was not finite."""
    alarm = p.dtype.type(0)
    for i in range(p.size):
        gi = g[i]
        alarm += gi * p.dtype.type(0)
        m[i] = beta1 * m[i] + rest1 * gi
        v[i] = beta2 * v[i] + rest2 * gi * gi
        p[i] -= rate * m[i] / (np.sqrt(v[i]) * root_correction + eps)
    return alarm


@inner
def _update_share(t, threads, p, g, bounds, m, v, first_bad, numbers, decays, eps):
    first, last = t * p.size // threads, (t + 1) * p.size // threads
    number = p.dtype.type
    rate, root_correction = number(numbers[1]), number(numbers[3])
    for k in range(bounds.shape[0]):
        start, stop = max(first, bounds[k, 0]), min(last, bounds[k, 1])
        if start >= stop:
            continue
        run = (p[start:stop], g[start:stop], m[start:stop], v[start:stop])
        alarm = _update(*run, *decays, rate, root_correction, eps)
        if alarm != 0 and first_bad[k] < 0:
            first_bad[k] = np.int64(numbers[0])


@njit
def _adam(p, g, bounds, m, v, first_bad, numbers, decays, eps, threads):
    parallel_for(threads, _update_share, (p, g, bounds, m, v, first_bad, numbers, decays, eps))


def _signature(number):
    vector, integers = types.Array(number, 1, "C"), types.Array(types.int64, 1, "C")
    bounds, numbers = types.Array(types.int64, 2, "C"), types.Array(types.float64, 1, "C")
    decays = types.UniTuple(number, 4)
    return (vector, vector, bounds, vector, vector, integers, numbers, decays, number, types.int64)


ADAM = Compiled("adam", _adam, _signature, "p m v first_bad")


def adam(p, g, bounds, m, v, first_bad, numbers, beta1, beta2, eps):
    """One step, in place; see `reference.adam`."""
    number = p.dtype.type
    # 1 - beta is taken here, in double precision: float32(0.999) is off by 100 times as much as float32(0.001).
    decays = number(beta1), number(1 - beta1), number(beta2), number(1 - beta2)
    threads = threads_for(_WORK * p.size)
    ADAM.launch(p.dtype, p, plain(g), bounds, m, v, first_bad, numbers, decays, number(eps), threads)
