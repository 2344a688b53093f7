"""How a matrix product is divided: among the threads, and into blocks that fit the caches."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from minigan_kernels.numba.cpu import cache_bytes
from minigan_kernels.numba.packed_microkernel import PANEL_BYTES, SHORT, TALL

# Steps of k in a block, at most. With fewer, `out` is read and written more often: 2048^3 with AVX-512 reaches 88 to 92
# GFLOP/s with 128, 98 with 256 and 104 with 512, though a panel of 512 steps does not fit the first-level cache there.
_STEPS = 512
_KEPT_BYTES = 1 << 22  # of the packed panels that are kept for several blocks of rows


class Plan(NamedTuple):
    """The division of one product.

    The threads form a grid, `down` x `across`, and each computes a rectangle of `out` on its own. It goes through its
    rectangle in blocks of at most `depth` steps of k, `rows` rows, whose packed A stays in the second-level cache, and
    `columns` columns. If its rows are more than one block, it keeps all packed panels of these columns (`keeps` is 1),
    else one panel at a time. `numbers` is the scratch memory of a thread.
    """

    down: int
    across: int
    depth: int
    rows: int
    columns: int
    keeps: int
    numbers: int


@lru_cache(maxsize=1024)
def plan(rows: int, depth: int, columns: int, size: int, threads: int) -> Plan:
    """The plan for (rows, depth) @ (depth, columns) in numbers of `size` bytes.

    The blocks of k depend on `depth` alone, because they determine the order in which the products are summed: neither
    the number of threads nor the size of a cache changes the bits.
    """
    width = PANEL_BYTES // size
    block = _even_share(depth, _STEPS, 4)
    down, across = _grid(rows, columns, width, threads)
    own_rows, own_columns = _largest_share(rows, down, SHORT), _largest_share(columns, across, width)
    block_rows = _even_share(own_rows, cache_bytes(2) // 2 // (block * size), TALL)
    keeps = int(block_rows < own_rows)
    if keeps:
        own_columns = _even_share(own_columns, _KEPT_BYTES // (block * size), width)
    kept_columns = own_columns if keeps else width
    numbers = (block_rows + SHORT) * (block + width) + kept_columns * block + 2 * width
    return Plan(down, across, block, block_rows, own_columns, keeps, -(-numbers // 16) * 16)


def _largest_share(total: int, parts: int, unit: int) -> int:
    """The largest share of `total`, in whole units, when it is divided evenly; see `gemm_blocks.share`."""
    units = -(-total // unit)
    return -(-units // parts) * unit


def _even_share(total: int, most: int, unit: int) -> int:
    """The size, in whole units, of the fewest equal parts of `total` of at most `most`, or one unit if that is more."""
    units, most_units = -(-total // unit), max(1, most // unit)
    return -(-units // -(-units // most_units)) * unit


def _grid(rows: int, columns: int, width: int, threads: int) -> tuple[int, int]:
    """(threads down, threads across): the division of `threads` with which each has the least to pack.

    A thread packs its rows of A and its columns of B. If the tiles are too few for every such grid, fewer threads work.
    """
    tiles_down, tiles_across = -(-rows // SHORT), -(-columns // width)
    grids = [(down, threads // down) for down in range(1, threads + 1) if threads % down == 0]
    grids = [grid for grid in grids if grid[0] <= tiles_down and grid[1] <= tiles_across]
    if not grids:
        return max((min(threads, tiles_down), 1), (1, min(threads, tiles_across)), key=max)
    return min(grids, key=lambda grid: rows / grid[0] + columns / grid[1])
