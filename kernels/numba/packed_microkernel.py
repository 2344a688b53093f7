"""The register tile of the matrix product: a GEMM micro-kernel for packed operands, written as LLVM code.

    out[i, j] = (or +=) sum over k of A[i, k] * B[k, j]        i < rows of the tile, j < PANEL

The sums stay in vector registers during the whole loop over k. Each step of k takes PANEL / lanes loads of B, one
broadcast of A for every row, and rows * PANEL / lanes fused multiply-adds, each of which depends only on its own sum
(Goto and van de Geijn, 2008, "Anatomy of High-Performance Matrix Multiplication").

Both operands are packed, so that they are read in order:

    A (unit, k, UNIT)   UNIT consecutive rows are a unit. A block of rows is TALL (3 units) or SHORT (2 units) rows
                        high; 3 t + 2 s units, which is any number from 2 on, need no other heights.
    B (k, PANEL)        PANEL consecutive columns are a panel.

A that is used only once or twice is not worth packing. Two further kernels read it where it lies: MULTIPLY_ROWS from
rows of consecutive numbers, MULTIPLY_COLUMNS from rows that lie side by side.

One call multiplies `count` blocks of rows, one below the other, with one panel. Meanwhile it prefetches the memory from
which the next panel comes. Bias and LeakyReLU are applied to the sums in their registers.

The shapes of the tile, rows x columns in float32. GFLOP/s on one thread of an AMD Zen 4, all packing included, medians
of interleaved runs (peak 114 with AVX-512 and AVX2, 54 with SSE, which multiplies and adds apart); the first is in use:

                    AVX-512          AVX2                    SSE
                    12x32   6x64     6x16   3x32   12x8      3x16    6x8   12x4
    64x512x1024     102.9  102.5    102.7  102.6   89.2      50.6   49.0   41.9
    128x784x512     103.2  104.3    103.8  104.8   93.9      43.8   42.5   40.2
    64x784x1024 B.T  99.0  100.7     97.6   96.7   88.3      47.0   46.7   41.1
    1024x64x784 A.T  98.3   93.0    105.2  102.3   89.5      41.3   38.8   35.4
    256x128x128      97.8   99.4     98.8   99.2   86.7      46.2   44.9   39.7
    512x512x512     107.5  107.0    105.6  106.0   94.3      48.7   44.6   41.8

NEON has 32 registers of 128 bits: 6x16 takes 24 sums, 4 vectors of B and a broadcast. It has not been measured.

Plain Numba loops reach a fifth of this speed, because they keep the sums in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from minigan_kernels.numba.cpu import packed_tile, tile_shape, vector_bytes
from minigan_kernels.numba.vector_code import I64, Native, Vectors, constant, load, prefetch

UNIT, PANEL_BYTES = packed_tile()
TALL, SHORT = 3 * UNIT, 2 * UNIT
PREFETCHING = 4  # the first so many blocks of rows prefetch the next panel, a quarter each
_STEPS = 4  # steps of k between two prefetches
_CACHE_LINE = 64
_VECTOR_BYTES = vector_bytes()


class _Tile:
    """Writes the code for a block of `rows` rows, of which `unit` lie side by side in A.

    With `copies`, B is packed on the way.
    """

    def __init__(
        self,
        builder: ir.IRBuilder,
        scalar: ir.Type,
        rows: int,
        unit: int,
        *,
        copies: bool = False,
        panel_bytes: int = PANEL_BYTES,
    ) -> None:
        self.builder, self.code, self.unit, self.copies = builder, Vectors(builder, scalar), unit, copies
        self.size, self.rows, self.panel_bytes = self.code.size, rows, panel_bytes
        self.vectors = range(panel_bytes // _VECTOR_BYTES)
        self.places = list(itertools.product(range(self.rows), self.vectors))
        self.sums = {place: cgutils.alloca_once(builder, self.code.kind) for place in self.places}
        self.cursors = [cgutils.alloca_once(builder, I64) for _ in range(3)]  # in A, in B, in the packed copy of B

    def start(self, *addresses: Any) -> None:
        """Set the cursors to `addresses` and the sums to 0."""
        for cursor, address in zip(self.cursors, addresses, strict=True):
            self.builder.store(address, cursor)
        for place in self.places:
            self.builder.store(self.code.constant(0.0), self.sums[place])

    def _row(self, address: Any) -> list:
        """The vectors of the row of PANEL numbers at `address`."""
        return [self.code.load(address, j * _VECTOR_BYTES) for j in self.vectors]

    def multiply(self, steps: int, unit_bytes: Any, a_step: Any, b_step: Any) -> None:
        """Add the next `steps` steps of k to the sums, and move the cursors on.

        unit_bytes: the distance between the units of A. a_step: that between two steps of k; None if they are adjacent.
        """
        builder, code = self.builder, self.code
        a, b, copy = (builder.load(cursor) for cursor in self.cursors)
        units = [a]
        for _ in range(self.rows // self.unit - 1):
            units.append(builder.add(units[-1], unit_bytes))
        for step in range(steps):
            right = self._row(b)
            b = builder.add(b, b_step)
            for j in self.vectors if self.copies else ():
                code.store(right[j], copy, step * PANEL_BYTES + j * _VECTOR_BYTES)
            for i in range(self.rows):
                offset = ((step if a_step is None else 0) * self.unit + i % self.unit) * self.size
                left = code.repeat(load(builder, units[i // self.unit], code.scalar, self.size, offset))
                for j in self.vectors:
                    total = code.multiply_add(left, right[j], builder.load(self.sums[i, j]))
                    builder.store(total, self.sums[i, j])
            if a_step is not None:
                units = [builder.add(unit, a_step) for unit in units]
        a = units[0] if a_step is not None else builder.add(a, constant(steps * self.unit * self.size))
        copy = builder.add(copy, constant(steps * PANEL_BYTES))
        for cursor, address in zip(self.cursors, (a, b, copy), strict=True):
            builder.store(address, cursor)

    def _change_sums(self, change: Callable[[Any, int, int], Any]) -> None:
        for i, j in self.places:
            self.builder.store(change(self.builder.load(self.sums[i, j]), i, j), self.sums[i, j])

    def finish(self, rows: list, adds: Any, bias: Any, slope: Any) -> None:
        """Add what the `rows` of `out` hold, if `adds`; then bias and LeakyReLU, unless `bias` is 0; store the sums.

        Added last instead of first: a sum of sums has a smaller rounding error than one long sum.
        """
        builder = self.builder
        with builder.if_then(builder.icmp_signed("!=", adds, constant(0))):
            before = [self._row(row) for row in rows]
            self._change_sums(lambda total, i, j: builder.fadd(before[i][j], total))
        with builder.if_then(builder.icmp_signed("!=", bias, constant(0))):
            summands, slopes = self._row(bias), self.code.repeat(slope)
            self._change_sums(lambda total, i, j: self.code.leaky_relu(self.code.add(total, summands[j]), slopes))
        for i, j in self.places:
            self.code.store(builder.load(self.sums[i, j]), rows[i], j * _VECTOR_BYTES)


def _write(builder: ir.IRBuilder, tile: _Tile, slope: Any, integers: tuple, unit_bytes: Any, a_step: Any) -> None:
    """The body of the function that MULTIPLY_TALL describes; see `_Tile.multiply`."""
    a, depth, count, number, b, b_step, copy, out, out_step, stored, discarded, adds, bias, *ahead = integers
    block_bytes = builder.mul(unit_bytes, constant(tile.rows // tile.unit))
    with cgutils.for_range(builder, count, intp=I64) as block:
        tile.start(builder.add(a, builder.mul(block.index, block_bytes)), b, copy)
        rows = []
        for i in range(tile.rows):
            row = builder.add(builder.mul(block.index, constant(tile.rows)), constant(i))
            place = builder.add(out, builder.mul(row, out_step))
            rows.append(builder.select(builder.icmp_signed("<", row, stored), place, discarded))
        for row, j in itertools.product(rows, range(0, tile.panel_bytes, _CACHE_LINE)):
            prefetch(builder, builder.add(row, constant(j)))
        next_line = _prefetching(builder, tile.panel_bytes, builder.add(number, block.index), b, *ahead)
        with cgutils.for_range(builder, builder.udiv(depth, constant(_STEPS)), intp=I64) as group:
            next_line(group.index)
            tile.multiply(_STEPS, unit_bytes, a_step, b_step if tile.copies else constant(tile.panel_bytes))
        with cgutils.for_range(builder, builder.urem(depth, constant(_STEPS)), intp=I64):
            tile.multiply(1, unit_bytes, a_step, b_step if tile.copies else constant(tile.panel_bytes))
        tile.finish(rows, adds, bias, slope)


def _prefetching(
    builder: ir.IRBuilder, panel_bytes: int, number: Any, at_hand: Any, first: Any, *steps: Any
) -> Callable[[Any], None]:
    """The function that writes the prefetches of group n of the steps of k, in the block with this number.

    Later blocks than the first PREFETCHING ones prefetch the line `at_hand`, which is in the cache anyway.
    """
    prefetches = builder.icmp_signed("<", number, constant(PREFETCHING))
    near, far, quarter, beside = (builder.select(prefetches, step, constant(0)) for step in steps)
    line = builder.add(builder.select(prefetches, first, at_hand), builder.mul(number, quarter))

    def write(n: Any) -> None:
        distance = builder.mul(builder.and_(n, constant(3)), near)
        distance = builder.add(distance, builder.mul(builder.lshr(n, constant(2)), far))
        address = builder.add(line, distance)
        for _ in range(max(1, panel_bytes // _CACHE_LINE)):
            prefetch(builder, address)
            address = builder.add(address, beside)

    return write


def _micro_kernel(units: int, *, copies: bool) -> Native:
    def write(builder: ir.IRBuilder, slope: Any, *integers: Any) -> None:
        tile = _Tile(builder, slope.type, units * UNIT, UNIT, copies=copies)
        unit_bytes = builder.mul(integers[1], constant(UNIT * tile.size))
        _write(builder, tile, slope, integers, unit_bytes, None)

    return Native(f"multiply_{units}_units{'_and_copy' * copies}", 18, write)


def _multiply_rows(builder: ir.IRBuilder, slope: Any, *integers: Any) -> None:
    *integers, row_step = integers
    rows, panel_bytes = tile_shape()
    tile = _Tile(builder, slope.type, rows, 1, panel_bytes=panel_bytes)
    _write(builder, tile, slope, integers, row_step, None)


def _multiply_columns(builder: ir.IRBuilder, slope: Any, *integers: Any) -> None:
    *integers, a_step = integers
    tile = _Tile(builder, slope.type, TALL, TALL)
    _write(builder, tile, slope, integers, constant(TALL * tile.size), a_step)


MULTIPLY_TALL = _micro_kernel(3, copies=False)
"""Multiply `count` blocks of TALL rows of A with one panel of B: (slope, left, right, target, ahead).

slope   has the dtype of all numbers.
left    (a, depth, count, number): the packed blocks and their number of steps of k; `number` counts the blocks of rows
        that were multiplied with this panel before.
right   (b, b_step, copy): the packed panel; the other two matter to MULTIPLY_AND_COPY only.
target  (out, out_step, rows, discarded, adds, bias): the rows of `out`, and the distance between them. Only the first
        `rows` rows are stored; what is computed for rows past the end goes to `discarded`, a row of PANEL numbers.
        `adds`: 0 to store the sums, 1 to add them to what `out` holds. `bias`: PANEL summands, after whose addition
        LeakyReLU with `slope` is applied; 0 for neither.
ahead   (address, near, far, quarter, beside): what to prefetch. The block with number q < PREFETCHING prefetches the
        lines at address + q * quarter + n % 4 * near + n // 4 * far, for n = 0 .. depth / 4 - 1, and where a row of a
        panel takes several lines, those at multiples of `beside` after them.

All but `depth`, `count`, `number`, `rows` and `adds` are addresses or distances in bytes.
"""

MULTIPLY_SHORT = _micro_kernel(2, copies=False)
"""The same for blocks of SHORT rows."""

MULTIPLY_AND_COPY = _micro_kernel(3, copies=True)
"""MULTIPLY_TALL with a panel that is not packed yet: rows of PANEL numbers at b + k * b_step.

The panel is packed into `copy` on the way, so that other blocks can read it from there. `count` must be 1.
"""

MULTIPLY_ROWS = Native("multiply_rows", 19, _multiply_rows)
"""MULTIPLY_TALL for A as it is, each row consecutive: one more integer, the distance between its rows, comes last.

Its tile and panels have the shape of `tile_shape`: with AVX-512, A that is not in the first-level cache is read half as
often, which makes Winograd's convolutions 4% faster.
"""

MULTIPLY_COLUMNS = Native("multiply_columns", 19, _multiply_columns)
"""MULTIPLY_TALL for A stored transposed, with its rows side by side: last comes the distance between two steps of k."""
