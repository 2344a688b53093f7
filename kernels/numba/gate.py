"""The derivative of LeakyReLU, and LeakyReLU itself, in one pass.

    out = v where x > 0, slope * v elsewhere

One multiply for 12 bytes of float32 read and written: memory-bound, so a second thread helps only when the
arrays are larger than a core's own cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange, types

from minigan_kernels.numba.jit import Compiled, inner, plain, threads_for


@inner
def _gate_part(x, v, slope, out):
    for i in range(out.size):
        out[i] = v[i] if x[i] > 0 else v[i] * slope


@njit(parallel=True, cache=True)
def _gate(x, v, slope, out, threads):
    size = out.size
    if threads == 1:
        _gate_part(x, v, slope, out)
    else:
        for t in prange(threads):
            first, last = t * size // threads, (t + 1) * size // threads
            _gate_part(x[first:last], v[first:last], slope, out[first:last])


def _signature(number):
    vector = types.Array(number, 1, "C")
    return (vector, vector, number, vector, types.int64)


GATE = Compiled("slope_gate", _gate, _signature)


def slope_gate(x, v, slope):
    """v where x > 0, slope * v elsewhere; see `reference.slope_gate`."""
    x, v = plain(x), plain(v)
    out = np.empty(x.shape, x.dtype)
    GATE[x.dtype](x.reshape(-1), v.reshape(-1), slope, out.reshape(-1), threads_for(x.size))
    return out
