"""Adam (Kingma and Ba, 2015, Algorithm 1) over one flat buffer, in one pass.

    m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
    p = p - rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

Memory-bound: four reads and three writes of every number. All parameters lie in one buffer, so there is one
launch for a whole network; the gradients stay where `grad` made them and are found by address, which saves
copying them together. The same pass notes, for each parameter, the first step whose gradient was not finite:
g * 0 is NaN exactly for such a g.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic

from minigan_kernels.numba.crew import share
from minigan_kernels.numba.jit import Compiled, inner, threads_for

_WORK = 8  # numbers are read and written for each parameter, and a root and a division taken


@intrinsic
def _pointer(typingctx, place):
    """An address as a pointer that `carray` takes."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), codegen


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
def _update_share(t, threads, p, gradients, bounds, m, v, first_bad, step, scalars):
    first, last = t * p.size // threads, (t + 1) * p.size // threads
    for k in range(bounds.shape[0]):
        start, stop = max(first, bounds[k, 0]), min(last, bounds[k, 1])
        if start >= stop:
            continue
        g = carray(_pointer(gradients[k]), bounds[k, 1] - bounds[k, 0], p.dtype)
        run = g[start - bounds[k, 0] : stop - bounds[k, 0]]
        alarm = _update(p[start:stop], run, m[start:stop], v[start:stop], *scalars)
        if alarm != 0 and first_bad[k] < 0:
            first_bad[k] = step


@njit
def _adam(p, gradients, bounds, m, v, first_bad, step, scalars, threads):
    share(threads, _update_share, (p, gradients, bounds, m, v, first_bad, step, scalars))


def _signature(number):
    vector, integers = types.Array(number, 1, "C"), types.Array(types.int64, 1, "C")
    bounds = types.Array(types.int64, 2, "C")
    return (vector, integers, bounds, vector, vector, integers, types.int64, types.UniTuple(number, 7), types.int64)


ADAM = Compiled("adam", _adam, _signature)


def adam(p, gradients, bounds, m, v, first_bad, step, rate, beta1, beta2, eps):
    """One step, in place; see `reference.adam`."""
    gradients = [np.ascontiguousarray(g) for g in gradients]  # held until the kernel has returned
    places = np.array([g.__array_interface__["data"][0] for g in gradients], np.int64)
    # 1 - beta is taken here, in double precision: float32(0.999) is off by 100 times as much as float32(0.001).
    root_correction = (1 - beta2**step) ** -0.5
    scalars = (beta1, 1 - beta1, beta2, 1 - beta2, rate / (1 - beta1**step), root_correction, eps)
    number = p.dtype.type
    scalars = tuple([number(scalar) for scalar in scalars])
    ADAM[p.dtype](p, places, bounds, m, v, first_bad, step, scalars, threads_for(_WORK * p.size))
