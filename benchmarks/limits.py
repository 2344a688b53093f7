"""The peak performance of this machine: multiply-adds in registers, and copying memory, on all threads."""

from __future__ import annotations

import time
from collections.abc import Callable

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan_kernels.numba.cpu import vector_bytes

_LANES = vector_bytes() // 4
# Independent sums: more than two execution units with a latency of up to five cycles can work on at once, but fewer
# than there are registers.
_CHAINS = 12
_LENGTH = 500_000  # multiply-adds in each chain: some 2 ms
_COPY_BYTES = 256 << 20  # larger than any cache
_REPEATS = 20  # the fastest is reported
_SIZES = [1 << n for n in range(12, 29)]  # bytes touched by a copy: from the first-level cache to memory
_BYTES_PER_TIMING = 1 << 24  # small copies are repeated, so that starting the threads does not count


@intrinsic
def _multiply_add(typingctx, factor, term, count):
    """Compute s = s * factor + term `count` times, in _CHAINS independent vectors; return one of the numbers."""
    vector = ir.VectorType(ir.FloatType(), _LANES)

    def codegen(context, builder, signature, args):
        def broadcast(number):
            filled = ir.Constant(vector, ir.Undefined)
            for lane in range(_LANES):
                filled = builder.insert_element(filled, number, ir.Constant(ir.IntType(32), lane))
            return filled

        factor, term = broadcast(args[0]), broadcast(args[1])
        shape = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, shape, f"llvm.fma.v{_LANES}f32")
        # Equal starts would let LLVM merge the chains.
        starts = [ir.Constant(vector, [float(i)] * _LANES) for i in range(_CHAINS)]
        sums = [cgutils.alloca_once_value(builder, start) for start in starts]
        with cgutils.for_range(builder, args[2]):
            for chain in sums:
                builder.store(builder.call(fma, [builder.load(chain), factor, term]), chain)
        total = builder.load(sums[0])
        for chain in sums[1:]:
            total = builder.fadd(total, builder.load(chain))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.float32, types.float32, types.int64), codegen


@njit(parallel=True)
def _multiply(factors, out):
    for t in prange(out.size):
        out[t] = _multiply_add(factors[t], np.float32(1), _LENGTH)


@njit(parallel=True)
def _copy(source, target, threads):
    for t in prange(threads):
        first, last = t * source.size // threads, (t + 1) * source.size // threads
        target[first:last] = source[first:last]


@njit(parallel=True)
def _copy_again(source, target, threads, times):
    for t in prange(threads):
        first, last = t * source.size // threads, (t + 1) * source.size // threads
        for _ in range(times):
            target[first:last] = source[first:last]


def multiply_adds_per_second() -> float:
    """The highest measured number of float32 operations per second; a fused multiply-add counts as two."""
    threads = numba.get_num_threads()
    factors, out = np.full(threads, 0.5, np.float32), np.zeros(threads, np.float32)
    seconds = _shortest_time(lambda: _multiply(factors, out))
    return 2 * _LANES * _CHAINS * _LENGTH * threads / seconds


def bytes_copied_per_second() -> float:
    """The highest measured number of bytes per second, read and written, when copying arrays larger than any cache."""
    source = np.ones(_COPY_BYTES // 8)
    target = np.zeros_like(source)
    return 2 * _COPY_BYTES / _shortest_time(lambda: _copy(source, target, numba.get_num_threads()))


def copy_speeds() -> dict[int, float]:
    """The highest measured bytes per second, read and written, of a copy by the bytes that it touches.

    A small copy stays in the caches, as what one kernel of a small network leaves for the next. On one thread or on
    all, whichever is faster.
    """
    speeds = {}
    for size in _SIZES:
        source = np.ones(size // 16)
        target, times = np.zeros_like(source), max(1, _BYTES_PER_TIMING // size)
        counts = {1, numba.get_num_threads()}
        seconds = min(_shortest_time(lambda n=n: _copy_again(source, target, n, times)) for n in counts)  # noqa: B023
        speeds[size] = size * times / seconds
    return speeds


def _shortest_time(work: Callable[[], None]) -> float:
    work()  # compiles
    return min(_time(work) for _ in range(_REPEATS))


def _time(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
