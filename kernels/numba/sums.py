"""Adding up the rows of a matrix of partial sums, in an order that keeps the digits of float32."""

from __future__ import annotations

from minigan_kernels.numba.jit import clear, inner

GROUP = 32


@inner
def add_rows(partial, sums):
    """The sum of each column of `partial`, which is overwritten.

    In groups of rows, groups of groups and so on, so that the error grows with the logarithm of their number (Higham,
    2002, section 4.2); always in the same order, so that the bits do not depend on the number of threads.
    """
    count = partial.shape[0]
    if not count:
        clear(sums)
        return
    while count > 1:
        groups = (count + GROUP - 1) // GROUP
        for group in range(groups):  # its sum takes the place of a row that has been added already
            first, last = group * GROUP, min(count, (group + 1) * GROUP)
            target = partial[group]
            if group:
                source = partial[first]
                for j in range(target.size):
                    target[j] = source[j]
            for row in range(first + 1, last):
                source = partial[row]
                for j in range(target.size):
                    target[j] += source[j]
        count = groups
    total = partial[0]
    for j in range(sums.size):
        sums[j] = total[j]
