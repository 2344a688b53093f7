"""How the kernels that sum along an axis divide a matrix among blocks of threads; see sums.cuh."""

from __future__ import annotations

from typing import NamedTuple

from minigan_kernels.cuda.launch import MAX_BLOCK, WARP, blocks_for

_THREADS = 256  # of a block, where there are many
_MANY_BLOCKS = 128  # about one for each multiprocessor of a large GPU; fixed, so that the bits are those of any GPU
_MOST_BLOCKS = 4 * _MANY_BLOCKS
_FEWEST_TERMS = 8  # of a thread, and their divisor, where there are partial sums: as many as are loaded at once


class RowBlocks(NamedTuple):
    """A division of a matrix whose rows are summed: `count` blocks of `rows_per_block` rows, by `strips` of columns.

    threads: those of a block along the columns of a strip, one for each, and along the rows; a power of two each.
    """

    threads: tuple[int, int]
    strips: int
    count: int
    rows_per_block: int

    @property
    def grid(self) -> tuple[int, int]:
        """The blocks along the columns and along the rows."""
        return self.strips, self.count


def divide_rows(rows: int, columns: int, widest: int = WARP, matrices: int = 1, at_once: bool = False) -> RowBlocks:
    """The division of each of `matrices` matrices (rows, columns), a function of the arguments alone.

    widest: the most columns in a strip, a power of two. at_once: in one block of rows, however many there are.
    """
    width = min(widest, power_of_two(columns))
    strips = blocks_for(columns, width)
    tallest = (MAX_BLOCK if strips * matrices < _MANY_BLOCKS else _THREADS) // width
    if at_once or rows <= _FEWEST_TERMS * tallest:
        return RowBlocks((width, min(tallest, power_of_two(rows))), strips, 1, max(1, rows))
    height = _THREADS // width
    count = min(max(1, _MOST_BLOCKS // max(1, strips * matrices)), blocks_for(rows, _FEWEST_TERMS * height))
    rows_per_block = _FEWEST_TERMS * height * blocks_for(rows, count * _FEWEST_TERMS * height)
    return RowBlocks((width, height), strips, blocks_for(rows, rows_per_block), rows_per_block)


def power_of_two(count: int) -> int:
    """The smallest power of two that is at least `count`."""
    return 1 << max(0, count - 1).bit_length()
