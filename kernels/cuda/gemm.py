"""Tiles and parts for the products of gemm.cuh, chosen from the shape and the GPU alone; see there for the terms."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minigan_kernels.cuda import driver
from minigan_kernels.cuda.launch import MAX_ELEMENTS, Kernel, blocks_for

ADD_THREADS = 256  # of a block that adds parts
MOST_PARTS = 128


class Tile(NamedTuple):
    """The extents of a block's tile, and the predicted clock cycles of a step of `k`.

    busy: of a multiprocessor that has enough blocks; alone: of a block that has a multiprocessor to itself, and waits
    for memory; resident: how many blocks a multiprocessor holds.
    """

    m: int
    n: int
    k: int
    busy: int
    alone: int
    resident: int

    @property
    def threads(self) -> int:
        """The number of threads of a block: THREADS in gemm.cuh."""
        return self.m // (4 if self.m < 64 else 8) * (self.n // (4 if self.n < 128 else 8))

    def blocks(self, m: int, n: int) -> int:
        """The number of tiles of an (m, n) matrix."""
        return blocks_for(m, self.m) * blocks_for(n, self.n)


# Predictions for an H200 in clock cycles, from instruction counts and usual latencies; not measured.
_FLOAT32 = (Tile(128, 128, 8, 1150, 1250, 2), Tile(64, 64, 16, 620, 750, 4), Tile(32, 32, 32, 330, 700, 8))
_FLOAT64 = (Tile(64, 64, 16, 1100, 1250, 2), Tile(32, 32, 32, 560, 900, 5))  # a larger tile's sums fill the registers
_TF32 = (Tile(128, 128, 8, 260, 700, 2), Tile(64, 64, 16, 200, 650, 4), Tile(32, 32, 32, 150, 650, 8))
_START = 1200  # of a block: its first loads and its stores
_SECOND_KERNEL = 2500  # between the end of a kernel and the work of the next
_ADDED_PER_CYCLE = 3  # numbers of the workspace that are written, read and added for each multiprocessor


@lru_cache(maxsize=4096)
def plan(
    m: int, n: int, k: int, itemsize: int, multiprocessors: int, vector: int = 4, tf32: bool = False
) -> tuple[Tile, int]:
    """The tile and the number of parts whose predicted time for an (m, k) by (k, n) product is the shortest.

    itemsize: 4 or 8 bytes a number; vector, tf32: as in `launch_product`. A part takes a whole number of steps of the
    tile's `k`, and no part is empty.
    """
    most = max(1, min(MOST_PARTS, MAX_ELEMENTS // max(1, m * n)))
    best = min(
        (_cycles(tile, parts, m, n, k, multiprocessors), parts, tile)
        for tile in _tiles(itemsize, vector, tf32)
        for parts in {_without_empty(parts, blocks_for(k, tile.k)) for parts in range(1, most + 1)}
    )
    return best[2], best[1]


def _tiles(itemsize: int, vector: int, tf32: bool) -> tuple[Tile, ...]:
    """The tiles to choose from. Copying single numbers takes more registers than the largest tile leaves."""
    tiles = _FLOAT64 if itemsize == 8 else _TF32 if tf32 else _FLOAT32
    return tiles[1:] if itemsize == 4 and vector == 1 else tiles


def _without_empty(parts: int, steps: int) -> int:
    """The number of parts that get steps if each of `parts` would take its equal share, rounded up."""
    return blocks_for(steps, blocks_for(steps, parts)) if steps else 1


def _cycles(tile: Tile, parts: int, m: int, n: int, k: int, multiprocessors: int) -> float:
    """The predicted time of a product, in clock cycles."""
    steps = blocks_for(blocks_for(k, tile.k), parts)
    blocks = blocks_for(tile.blocks(m, n) * parts, multiprocessors)  # of the busiest multiprocessor
    cycles: float = _START + steps * max(blocks * tile.busy, blocks_for(blocks, tile.resident) * tile.alone)
    if parts > 1:
        cycles += _SECOND_KERNEL + parts * m * n / (multiprocessors * _ADDED_PER_CYCLE)
    return cycles


def launch_product(
    kernel: Kernel,
    add_parts: Kernel,
    dtype: np.dtype,
    extents: tuple[int, int, int],
    operands: tuple[Any, ...],
    bias: Any,
    slope: float,
    out: Any,
    integers: tuple[int, ...],
    *,
    vector: int,
    tf32: bool = False,
    **constants: int,
) -> None:
    """Launch the product `kernel` for the extents (M, N, K), and `add_parts` after it where it has parts.

    The parameters of `kernel` are (*operands, bias, slope, out, *integers), those of `add_parts` (workspace, parts,
    bias, slope, out, M, N). vector: the constant VECTOR; tf32: whether the constant TF32 is defined, which takes effect
    for float32. Launches nothing for M or N of 0.
    """
    m, n, k = extents
    tile, parts = plan(m, n, k, dtype.itemsize, driver.multiprocessors(), vector, tf32)
    constants |= tile_constants(tile, vector, dtype, tf32)
    grid, scalar = (tile.blocks(m, n), 1, parts), dtype.type
    if parts == 1:
        kernel.launch(dtype, grid, tile.threads, *operands, bias, scalar(slope), out, *integers, **constants)
        return
    workspace = driver.cupy_module().empty((parts, m, n), dtype)
    kernel.launch(dtype, grid, tile.threads, *operands, None, scalar(1), workspace, *integers, **constants)
    blocks = blocks_for(m * n, vector * ADD_THREADS)
    add_parts.launch(dtype, blocks, ADD_THREADS, workspace, parts, bias, scalar(slope), out, m, n, **constants)


def tile_constants(tile: Tile, vector: int, dtype: np.dtype, tf32: bool) -> dict[str, int]:
    """The compile-time constants of gemm.cuh; see `launch_product`."""
    constants = {"TILE_M": tile.m, "TILE_N": tile.n, "TILE_K": tile.k, "VECTOR": vector}
    return constants | {"TF32": 1} if tf32 and dtype == np.float32 else constants


def vector_width(dtype: np.dtype, extents: tuple[int, ...], arrays: tuple[Any, ...]) -> int:
    """The constant VECTOR: the numbers in 16 bytes if `extents` are multiples of it and `arrays` are aligned; else 1.

    `extents`: those along which the arrays are contiguous; `arrays`: device arrays.
    """
    width = 16 // dtype.itemsize
    aligned = all(array.data.ptr % 16 == 0 for array in arrays)
    return width if aligned and all(extent % width == 0 for extent in extents) else 1
