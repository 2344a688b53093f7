"""Exponential moving averages in place, in one pass: of a batch's moments, and of a network's parameters (EMA).

    update_running_statistics   running = momentum running + (1 - momentum) value
    lerp                        mean = mean + (value - mean) weight

Memory-bound: two reads and one write for each element. Each product and each sum is rounded separately, as in NumPy, so
the bits are those of the reference.
"""

from __future__ import annotations

from numba import njit, types

from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import flat_view, row_major
from minigan_kernels.numba.parallel_for import parallel_for


@inner
def _update_running_chunk(t, threads, running_all, value_all, momentum, rest):
    first, last = t * running_all.size // threads, (t + 1) * running_all.size // threads
    running, value = running_all[first:last], value_all[first:last]
    for i in range(running.size):
        running[i] = momentum * running[i] + rest * value[i]


@njit
def _update_running(running, value, momentum, rest, threads):
    parallel_for(threads, _update_running_chunk, (running, value, momentum, rest))


@inner
def _lerp_chunk(t, threads, mean_all, value_all, weights):
    first, last = t * mean_all.size // threads, (t + 1) * mean_all.size // threads
    mean, value, weight = mean_all[first:last], value_all[first:last], mean_all.dtype.type(weights[0])
    for i in range(mean.size):
        mean[i] += (value[i] - mean[i]) * weight


@njit
def _lerp(mean, value, weight, threads):
    parallel_for(threads, _lerp_chunk, (mean, value, weight))


def _update_running_signature(dtype):
    vector = types.Array(dtype, 1, "C")
    return (vector, vector, dtype, dtype, types.int64)


def _lerp_signature(dtype):
    vector = types.Array(dtype, 1, "C")
    return (vector, vector, types.Array(types.float64, 1, "C"), types.int64)


UPDATE_RUNNING = Compiled("update_running_statistics", _update_running, _update_running_signature, "running")
LERP = Compiled("lerp", _lerp, _lerp_signature, "mean")


def update_running_statistics(running, value, momentum):
    """Move `running` towards `value`, in place; see `reference.update_running_statistics`."""
    cast, threads = running.dtype.type, threads_for(running.size)
    coefficients = cast(momentum), cast(1 - momentum)
    UPDATE_RUNNING.launch(running.dtype, flat_view(running), row_major(value).reshape(-1), *coefficients, threads)


def lerp(mean, value, weight):
    """Move `mean` towards `value`, in place; see `reference.lerp`."""
    LERP.launch(mean.dtype, flat_view(mean), row_major(value).reshape(-1), weight, threads_for(mean.size))
