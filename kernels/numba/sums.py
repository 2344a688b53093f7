"""The sum of the rows of a matrix of partial sums, in an order that keeps the rounding error small."""

from __future__ import annotations

from minigan_kernels.numba.column_loops import add_columns, copy_columns, fill_columns
from minigan_kernels.numba.jit import inner

GROUP = 32  # rows that are added one after another


@inner
def add_rows(zero, partial, rows, columns, step, sums):
    """Write the sum of each column of the row-major matrix at the address `partial` to `sums`; it is overwritten.

    zero: a number of the matrix's dtype. step: the bytes of a row. Rows are added in groups, groups of groups and so
    on, so that the error grows with the logarithm of their number (Higham, 2002, section 4.2). The order is always the
    same, so the bits do not depend on the number of threads.
    """
    while rows > 1:
        groups = (rows + GROUP - 1) // GROUP
        for group in range(groups):  # the sum of a group overwrites a row that has already been added
            target, first = partial + group * step, group * GROUP
            if group:
                copy_columns(zero, columns, (partial + first * step,), (target,), ())
            for row in range(first + 1, min(rows, first + GROUP)):
                add_columns(zero, columns, (target, partial + row * step), (target,), ())
        rows = groups
    if rows:
        copy_columns(zero, columns, (partial,), (sums,), ())
    else:
        fill_columns(zero, columns, (), (sums,), (0.0,))
