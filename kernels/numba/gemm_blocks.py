"""One thread's part of a matrix product: packing blocks of the operands and multiplying them.

For each block of k, rows of A are packed so that they stay in the second-level cache. Then one panel of B after another
is packed and multiplied with all of these rows: the panel stays in the first-level cache, and meanwhile the next panel
is prefetched. A panel that lies in B as the micro-kernel reads it is packed by the first block of rows on its way.
"""

from __future__ import annotations

from minigan_kernels.numba import gemm_functions as index
from minigan_kernels.numba.cpu import vector_bytes
from minigan_kernels.numba.jit import inner
from minigan_kernels.numba.microkernel import address
from minigan_kernels.numba.packed_microkernel import (
    PANEL_BYTES,
    SHORT,
    TALL,
    UNIT,
)
from minigan_kernels.numba.vector_code import call_native

_CACHE_LINE = 64
_VECTOR_BYTES = vector_bytes()
_VECTORS = PANEL_BYTES // _VECTOR_BYTES


@inner
def share(number, parts, total, unit):
    """(first, past the last) of part `number`, where `total` is divided evenly into `parts` parts of whole units."""
    units = (total + unit - 1) // unit
    return min(total, number * units // parts * unit), min(total, (number + 1) * units // parts * unit)


@inner
def _blocks(rows):
    """(tall, short) blocks that cover `rows` rows."""
    units = max(2, (rows + UNIT - 1) // UNIT)
    short = (3 - units % 3) % 3
    return (units - 2 * short) // 3, short


@inner
def _pack_rows(functions, a, transposed, top, rows, units, start, depth, packed):
    """Pack rows top .. top + rows - 1 of op(a) as `units` units, from step `start` of k on."""
    zero, size = a.dtype.type(0), a.itemsize
    step, unit_bytes = a.shape[1] * size, depth * UNIT * size
    if transposed:
        source = address(a) + start * step + top * size
        call_native(functions[index.UNITS_COPIED], zero, (source, step, rows, depth, units, packed, unit_bytes))
    else:
        source = address(a) + top * step + start * size
        call_native(functions[index.UNITS_TRANSPOSED], zero, (source, step, rows, depth, units, packed, unit_bytes))


@inner
def _ahead(b, transposed, is_packed, panel, source, depth):
    """What to prefetch of the next panel; see MULTIPLY_TALL. `source` is where this panel lies in B."""
    step = b.shape[1] * b.itemsize
    if is_packed:
        return panel + depth * PANEL_BYTES, PANEL_BYTES, 4 * PANEL_BYTES, depth // 4 * PANEL_BYTES, _CACHE_LINE
    if transposed:
        width = PANEL_BYTES // b.itemsize
        return source + width * step, step, _CACHE_LINE, width // 4 * step, 4 * step
    return source + PANEL_BYTES, step, 4 * step, depth // 4 * step, _CACHE_LINE


@inner
def _copy_tile(source, source_step, target, target_step, rows, columns):
    """Copy rows x columns numbers between flat arrays with these distances of the rows."""
    for i in range(rows):
        read, write = source[i * source_step :], target[i * target_step :]
        for j in range(columns):
            write[j] = read[j]


@inner
def _multiply_panel(
    functions, slope, packed, rows, depth, b, transposed, source, panel, columns, is_packed, target, ahead
):
    """Multiply `rows` packed rows of A with one panel, which is packed into `panel` first unless it `is_packed`."""
    zero, size, step = b.dtype.type(0), b.itemsize, b.shape[1] * b.itemsize
    tall, short = _blocks(rows)
    copies = 0
    if not is_packed:
        if transposed:
            call_native(
                functions[index.PANEL_TRANSPOSED], zero, (source, step, columns, depth, _VECTORS, panel, _VECTOR_BYTES)
            )
        elif tall > 0 and columns * size == PANEL_BYTES:
            copies = 1
            call_native(functions[index.AND_COPY], slope, ((packed, depth, 1, 0), (source, step, panel), target, ahead))
        else:
            call_native(functions[index.PANEL_COPIED], zero, (source, step, columns, depth, 1, panel, 0))
    out, out_step, stored, discarded, adds, bias = target
    top, blocks = copies * TALL, tall - copies
    if blocks > 0:
        target = (out + top * out_step, out_step, stored - top, discarded, adds, bias)
        call_native(
            functions[index.TALL],
            slope,
            ((packed + top * depth * size, depth, blocks, copies), (panel, 0, 0), target, ahead),
        )
    if short > 0:
        top = tall * TALL
        target = (out + top * out_step, out_step, stored - top, discarded, adds, bias)
        call_native(
            functions[index.SHORT],
            slope,
            ((packed + top * depth * size, depth, short, tall), (panel, 0, 0), target, ahead),
        )


@inner
def multiply_part(t, threads, functions, a, a_transposed, b, b_transposed, bias, slope, out, plan, space):
    """Compute thread t's rectangle of `out`; `plan` is a `Plan`, and space[t] is the memory of thread t."""
    down, across, most_depth, most_rows, most_columns, keeps, _ = plan
    size = a.itemsize
    width, step = PANEL_BYTES // size, b.shape[1] * size
    depth_total = a.shape[0] if a_transposed else a.shape[1]
    row = t // across
    first_row, last_row = share(row, down, out.shape[0], SHORT)
    first_column, last_column = share(t - row * across, across, out.shape[1], width)
    own, flat_out = space[t], out.reshape(-1)
    # The memory: a tile for a narrow panel, its bias, a row for what is discarded, packed rows of A, packed panels.
    tile, tile_bias, unit = own, own[(most_rows + SHORT) * width :], width * size
    discarded = address(tile_bias) + unit
    packed_rows = discarded + unit
    panels = packed_rows + (most_rows + SHORT) * most_depth * size
    for start in range(first_column, last_column, most_columns):
        stop = min(last_column, start + most_columns)
        for k in range(0, depth_total, most_depth):
            depth = min(most_depth, depth_total - k)
            adds, finishes = min(k, 1), k + depth == depth_total and bias.size > 0
            for top in range(first_row, last_row, most_rows):
                rows = min(most_rows, last_row - top)
                tall, short = _blocks(rows)
                _pack_rows(functions, a, a_transposed, top, rows, 3 * tall + 2 * short, k, depth, packed_rows)
                is_packed = keeps == 1 and top > first_row
                for left in range(start, stop, width):
                    columns = min(width, stop - left)
                    panel = panels + keeps * (left - start) * depth * size
                    source = address(b) + (left * step + k * size if b_transposed else k * step + left * size)
                    ahead = (panel, 0, 0, 0, 0)
                    if left + width < stop:
                        ahead = _ahead(b, b_transposed, is_packed, panel, source, depth)
                    place, place_step = address(out) + (top * out.shape[1] + left) * size, out.shape[1] * size
                    summands = address(bias) + left * size if finishes else 0
                    if columns < width:
                        place, place_step = address(tile), unit
                        if adds:
                            _copy_tile(flat_out[top * out.shape[1] + left :], out.shape[1], tile, width, rows, columns)
                        if finishes:
                            _copy_tile(bias[left:], 0, tile_bias, 0, 1, columns)
                            summands = address(tile_bias)
                    target = (place, place_step, rows, discarded, adds, summands)
                    right = (b, b_transposed, source, panel, columns, is_packed)
                    _multiply_panel(functions, slope, packed_rows, rows, depth, *right, target, ahead)
                    if columns < width:
                        _copy_tile(tile, width, flat_out[top * out.shape[1] + left :], out.shape[1], rows, columns)
    # A use after the last use of the addresses, which keeps the arrays alive; see `address`.
    return a.size + b.size + bias.size + out.size + space.size
