"""Moving averages in place, in one pass: of a batch's moments, and of a network's numbers.

    follow      running = momentum running + (1 - momentum) value
    approach    mean = mean + (value - mean) share

Two reads and one write of every number: memory-bound. Each product and each sum is rounded by itself, as in NumPy:
the bits are those of the reference.
"""

from __future__ import annotations

from numba import njit, types

from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import flat, plain
from minigan_kernels.numba.parallel_for import parallel_for


@inner
def _follow_share(t, threads, running_all, value_all, momentum, rest):
    first, last = t * running_all.size // threads, (t + 1) * running_all.size // threads
    running, value = running_all[first:last], value_all[first:last]
    for i in range(running.size):
        running[i] = momentum * running[i] + rest * value[i]


@njit
def _follow(running, value, momentum, rest, threads):
    parallel_for(threads, _follow_share, (running, value, momentum, rest))


@inner
def _approach_share(t, threads, mean_all, value_all, numbers):
    first, last = t * mean_all.size // threads, (t + 1) * mean_all.size // threads
    mean, value, part = mean_all[first:last], value_all[first:last], mean_all.dtype.type(numbers[0])
    for i in range(mean.size):
        mean[i] += (value[i] - mean[i]) * part


@njit
def _approach(mean, value, numbers, threads):
    parallel_for(threads, _approach_share, (mean, value, numbers))


def _follow_signature(number):
    vector = types.Array(number, 1, "C")
    return (vector, vector, number, number, types.int64)


def _approach_signature(number):
    vector = types.Array(number, 1, "C")
    return (vector, vector, types.Array(types.float64, 1, "C"), types.int64)


FOLLOW = Compiled("update_running_statistics", _follow, _follow_signature, "running")
APPROACH = Compiled("lerp", _approach, _approach_signature, "mean")


def update_running_statistics(running, value, momentum):
    """Move `running` towards `value`, in place; see `reference.update_running_statistics`."""
    number = running.dtype.type
    rates = number(momentum), number(1 - momentum)
    FOLLOW.launch(running.dtype, flat(running), plain(value).reshape(-1), *rates, threads_for(running.size))


def lerp(mean, value, numbers):
    """Move `mean` towards `value`, in place; see `reference.lerp`."""
    APPROACH.launch(mean.dtype, flat(mean), plain(value).reshape(-1), numbers, threads_for(mean.size))
