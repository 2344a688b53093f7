"""Packing the operands of a matrix product for the micro-kernel; see packed_microkernel.py.

Both packed forms are groups of lines, (group, k, line). A line is UNIT numbers of A, from as many rows, or PANEL
numbers of B. Both operands are stored either way round, so there are two cases. Where the numbers of a line lie side by
side in the matrix, they are copied. Otherwise small blocks of the matrix are transposed in registers.

Lines that reach past the edge of the matrix repeat its last row or column: what is computed from them is never stored.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from minigan_kernels.numba import cpu
from minigan_kernels.numba.packed_microkernel import PANEL_BYTES, UNIT
from minigan_kernels.numba.vector_code import I64, Native, constant, load, shuffle, size_of, store

_CACHE_LINE = 64
_PART_BYTES = 16  # vectors are rearranged within parts of 128 bits, which takes one instruction on every CPU


def _interleaved(builder: ir.IRBuilder, rows: list, part: int) -> list:
    """Vectors with the numbers rows[0][0], rows[1][0], ..., rows[0][1], rows[1][1], ..., for each part on its own."""
    if len(rows) == 1:
        return rows
    pairs = zip(_interleaved(builder, rows[::2], part), _interleaved(builder, rows[1::2], part), strict=True)
    lanes = rows[0].type.count
    result = []
    for x, y in pairs:
        for first in (0, part // 2):
            order = [base + first + i for base in range(0, lanes, part) for i in range(part // 2)]
            result.append(shuffle(builder, x, y, [lane for i in order for lane in (i, lanes + i)]))
    return result


def _joined(builder: ir.IRBuilder, vectors: list) -> Any:
    """The vectors, a power of two of them, one after another in one vector."""
    while len(vectors) > 1:
        lanes = range(2 * vectors[0].type.count)
        vectors = [shuffle(builder, x, y, lanes) for x, y in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]


def _clamped(builder: ir.IRBuilder, number: Any, count: Any) -> Any:
    last = builder.sub(count, constant(1))
    return builder.select(builder.icmp_signed("<", number, last), number, last)


def _write_transposition(
    builder: ir.IRBuilder, scalar: ir.Type, rows: int, parts: int, lines: int, integers: tuple
) -> None:
    """Transpose groups of `rows` rows, (rows, k) to (k, rows); the packed lines have distances of `lines` bytes.

    A vector consists of `parts` parts, each of another row, so that interleaving vectors within their parts is enough.
    """
    source, step, valid, depth, count, target, group_bytes = integers
    size = size_of(scalar)
    part = _PART_BYTES // size
    kind = ir.VectorType(scalar, part)
    vectors = rows // parts
    group_line, vector_bytes = rows * size, parts * _PART_BYTES
    cursor, offset = (cgutils.alloca_once(builder, I64) for _ in range(2))
    with cgutils.for_range(builder, count, intp=I64) as group:
        first = builder.mul(group.index, constant(rows))
        numbers = [_clamped(builder, builder.add(first, constant(i)), valid) for i in range(rows)]
        starts = [builder.add(source, builder.mul(number, step)) for number in numbers]
        builder.store(builder.add(target, builder.mul(group.index, group_bytes)), cursor)
        builder.store(constant(0), offset)

        def advance(steps: int) -> None:
            builder.store(builder.add(builder.load(cursor), constant(steps * lines)), cursor)
            builder.store(builder.add(builder.load(offset), constant(steps * size)), offset)

        with cgutils.for_range(builder, builder.udiv(depth, constant(part)), intp=I64):
            now, place = builder.load(offset), builder.load(cursor)
            halves = [load(builder, builder.add(start, now), kind, size) for start in starts]
            wide = [_joined(builder, halves[i::vectors]) for i in range(vectors)]
            for number, vector in enumerate(_interleaved(builder, wide, part)):
                line, rest = divmod(number * vector_bytes, group_line)
                store(builder, vector, place, size, line * lines + rest)
            advance(part)
        with cgutils.for_range(builder, builder.urem(depth, constant(part)), intp=I64):
            now, place = builder.load(offset), builder.load(cursor)
            for i, start in enumerate(starts):
                store(builder, load(builder, builder.add(start, now), scalar, size), place, size, i * size)
            advance(1)


def _write_copy(builder: ir.IRBuilder, scalar: ir.Type, line: int, integers: tuple) -> None:
    """Copy lines of `line` numbers: of a few rows of the matrix for all groups, then of the next few rows.

    The lines of these rows fill a cache line of the packed form, or more: it is written in one go.
    """
    source, step, valid, depth, count, target, group_bytes = integers
    size = size_of(scalar)
    complete = builder.udiv(valid, constant(line))
    complete = builder.select(builder.icmp_signed("<", complete, count), complete, count)
    line_bytes = line * size
    together = max(1, _CACHE_LINE // line_bytes)
    kind = ir.VectorType(scalar, line)

    def copy(first: Any, steps: int) -> None:
        rows = [builder.add(source, builder.mul(builder.add(first, constant(k)), step)) for k in range(steps)]
        start = builder.add(target, builder.mul(first, constant(line_bytes)))
        with cgutils.for_range(builder, complete, intp=I64) as group:
            place = builder.add(start, builder.mul(group.index, group_bytes))
            left = builder.mul(group.index, constant(line_bytes))
            lines = [load(builder, builder.add(row, left), kind, size) for row in rows]
            store(builder, _joined(builder, lines), place, size)
        with cgutils.for_range_slice(builder, complete, count, constant(1), intp=I64) as (group, _):
            place = builder.add(start, builder.mul(group, group_bytes))
            for i in range(line):
                number = _clamped(builder, builder.add(builder.mul(group, constant(line)), constant(i)), valid)
                for k, row in enumerate(rows):
                    found = load(builder, builder.add(row, builder.mul(number, constant(size))), scalar, size)
                    store(builder, found, place, size, k * line_bytes + i * size)

    with cgutils.for_range(builder, builder.udiv(depth, constant(together)), intp=I64) as group:
        copy(builder.mul(group.index, constant(together)), together)
    if together > 1:
        whole = builder.and_(depth, constant(-together))
        with cgutils.for_range_slice(builder, whole, depth, constant(1), intp=I64) as (k, _):
            copy(k, 1)


def _transpose_units(builder: ir.IRBuilder, zero: Any, *integers: Any) -> None:
    _write_transposition(builder, zero.type, UNIT, 1, UNIT * size_of(zero.type), integers)


def _transpose_panel(builder: ir.IRBuilder, zero: Any, *integers: Any) -> None:
    rows = cpu.vector_bytes() // size_of(zero.type)
    _write_transposition(builder, zero.type, rows, cpu.vector_bytes() // _PART_BYTES, PANEL_BYTES, integers)


def _copy_units(builder: ir.IRBuilder, zero: Any, *integers: Any) -> None:
    _write_copy(builder, zero.type, UNIT, integers)


def _copy_panel(builder: ir.IRBuilder, zero: Any, *integers: Any) -> None:
    _write_copy(builder, zero.type, PANEL_BYTES // size_of(zero.type), integers)


TRANSPOSE_UNITS = Native("transpose_units", 7, _transpose_units)
"""Pack `count` units of A, stored as (row, k).

(zero, source, step, valid, depth, count, target, group_bytes): a number of the dtype; the address of the matrix and the
distance between its rows; the number of rows that it has; the number of steps of k; the number of units; where the
first unit goes, and the distance to the next.
"""

COPY_UNITS = Native("copy_units", 7, _copy_units)
"""The same for A stored transposed, as (k, row); `step` is the distance between two steps of k."""

TRANSPOSE_PANEL = Native("transpose_panel", 7, _transpose_panel)
"""Pack a panel of B, stored transposed, as (column, k): `count` groups of one vector of columns; see TRANSPOSE_UNITS.

`valid` is the number of columns that the matrix has, `step` the distance between them.
"""

COPY_PANEL = Native("copy_panel", 7, _copy_panel)
"""Pack `count` panels of B, stored as (k, column)."""
