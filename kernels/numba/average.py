"""Moving averages in place, in one pass: of a batch's moments, and of a network's numbers.

    follow      running = momentum running + (1 - momentum) value
    approach    mean = mean + (value - mean) share

Two reads and one write of every number: memory-bound. Each product and each sum is rounded by itself, as in NumPy:
the bits are those of the reference.
"""

from __future__ import annotations

from numba import njit, types

from minigan_kernels.numba.crew import share
from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import flat, plain


@inner
def _follow_share(t, threads, running_all, value_all, momentum, rest):
    first, last = t * running_all.size // threads, (t + 1) * running_all.size // threads
    running, value = running_all[first:last], value_all[first:last]
    for i in range(running.size):
        running[i] = momentum * running[i] + rest * value[i]


@njit
def _follow(running, value, momentum, rest, threads):
    share(threads, _follow_share, (running, value, momentum, rest))


@inner
def _approach_share(t, threads, mean_all, value_all, numbers):
    first, last = t * mean_all.size // threads, (t + 1) * mean_all.size // threads
    mean, value, part = mean_all[first:last], value_all[first:last], mean_all.dtype.type(numbers[0])
    for i in range(mean.size):
        mean[i] += (value[i] - mean[i]) * part


@njit
def _approach(mean, value, numbers, threads):
    share(threads, _approach_share, (mean, value, numbers))


def _follow_signature(number):
    vector = types.Array(number, 1, "C")
    return (vector, vector, number, number, types.int64)


def _approach_signature(number):
    vector = types.Array(number, 1, "C")
    return (vector, vector, types.Array(types.float64, 1, "C"), types.int64)


FOLLOW = Compiled("follow", _follow, _follow_signature, "running")
APPROACH = Compiled("approach", _approach, _approach_signature, "mean")


def follow(running, value, momentum):
    """Move `running` towards `value`, in place; see `reference.follow`."""
    number = running.dtype.type
    rates = number(momentum), number(1 - momentum)
    FOLLOW.launch(running.dtype, flat(running), plain(value).reshape(-1), *rates, threads_for(running.size))


def approach(mean, value, numbers):
    """Move `mean` towards `value`, in place; see `reference.approach`."""
    APPROACH.launch(mean.dtype, flat(mean), plain(value).reshape(-1), numbers, threads_for(mean.size))
