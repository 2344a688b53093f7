"""The sum of the rows of a matrix of partial sums, in an order that keeps the rounding error small."""

from __future__ import annotations

from minigan_kernels.numba.jit import clear, inner

GROUP = 32  # rows that are added one after another


@inner
def add_rows(partial, sums):
    """Write the sum of each column of `partial` to `sums`; `partial` is overwritten.

    Rows are added in groups, groups of groups and so on, so that the error grows with the logarithm of their number
    (Higham, 2002, section 4.2). The order is always the same, so the bits do not depend on the number of threads.
    """
    count = partial.shape[0]
    if not count:
        clear(sums)
        return
    while count > 1:
        groups = (count + GROUP - 1) // GROUP
        for group in range(groups):  # the sum of a group overwrites a row that has already been added
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
