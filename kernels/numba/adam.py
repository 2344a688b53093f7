"""Adam (Kingma and Ba, 2015, Algorithm 1) over one flat buffer, in one pass.

    m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
    p = p - learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

Layout: all parameters lie in one flat buffer and all gradients in another, at the same places, so one launch updates a
whole network. The numbers that change with the step t are passed in an array, so that a recorded launch can be replayed
for every step.

Memory-bound: four reads and three writes for each element. The same pass records, for each parameter, the first step
in which its gradient was not finite: g * 0 is NaN exactly if g is infinite or NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from minigan_kernels.numba.jit import Compiled, inner, optimized_inner, threads_for
from minigan_kernels.numba.memory import row_major
from minigan_kernels.numba.parallel_for import parallel_for

_WORK = 8  # for each parameter, in array elements: seven reads and writes, a square root and a division


# Reassociation lets the sum of zeros be vectorised; a sum of zeros is the same in any order.
@optimized_inner(fastmath={"reassoc"})
def _update(p, g, m, v, beta1, rest1, beta2, rest2, learning_rate, root_correction, eps):
    """Update a slice of one parameter; return 0, or NaN if one of its gradients is not finite."""
    nonfinite = p.dtype.type(0)
    for i in range(p.size):
        gi = g[i]
        nonfinite += gi * p.dtype.type(0)
        m[i] = beta1 * m[i] + rest1 * gi
        v[i] = beta2 * v[i] + rest2 * gi * gi
        p[i] -= learning_rate * m[i] / (np.sqrt(v[i]) * root_correction + eps)
    return nonfinite


@inner
def _update_chunk(t, threads, p, g, bounds, m, v, first_nonfinite, scalars, decays, eps):
    """Update the range of the flat buffers that belongs to thread t."""
    first, last = t * p.size // threads, (t + 1) * p.size // threads
    cast = p.dtype.type
    learning_rate, root_correction = cast(scalars[1]), cast(scalars[3])
    for k in range(bounds.shape[0]):
        start, stop = max(first, bounds[k, 0]), min(last, bounds[k, 1])
        if start >= stop:
            continue
        slices = (p[start:stop], g[start:stop], m[start:stop], v[start:stop])
        nonfinite = _update(*slices, *decays, learning_rate, root_correction, eps)
        if nonfinite != 0 and first_nonfinite[k] < 0:
            first_nonfinite[k] = np.int64(scalars[0])


@njit
def _adam(p, g, bounds, m, v, first_nonfinite, scalars, decays, eps, threads):
    parallel_for(threads, _update_chunk, (p, g, bounds, m, v, first_nonfinite, scalars, decays, eps))


def _signature(dtype):
    vector, integers = types.Array(dtype, 1, "C"), types.Array(types.int64, 1, "C")
    bounds, scalars = types.Array(types.int64, 2, "C"), types.Array(types.float64, 1, "C")
    decays = types.UniTuple(dtype, 4)
    return (vector, vector, bounds, vector, vector, integers, scalars, decays, dtype, types.int64)


ADAM = Compiled("adam", _adam, _signature, "p m v first_nonfinite")


def adam(p, g, bounds, m, v, first_nonfinite, scalars, beta1, beta2, eps):
    """One step, in place; see `reference.adam`."""
    cast = p.dtype.type
    # 1 - beta is computed in double precision: float32(0.999) is off by 100 times as much as float32(0.001).
    decays = cast(beta1), cast(1 - beta1), cast(beta2), cast(1 - beta2)
    threads = threads_for(_WORK * p.size)
    ADAM.launch(p.dtype, p, row_major(g), bounds, m, v, first_nonfinite, scalars, decays, cast(eps), threads)
