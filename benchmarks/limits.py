"""What this machine can do at most: multiply-adds in registers, and copying memory, on all threads."""

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
_CHAINS = 12  # independent sums: more than two units of up to five cycles' latency can work on, fewer than registers
_LENGTH = 500_000  # multiply-adds of each chain: some 2 ms
_COPIED = 256 << 20  # bytes: larger than any cache
_TRIES = 20  # the fastest counts


@intrinsic
def _multiply_add(typingctx, factor, term, count):
    """`count` times s = s * factor + term, in _CHAINS vectors that depend on nothing but themselves; one number."""
    vector = ir.VectorType(ir.FloatType(), _LANES)

    def codegen(context, builder, signature, args):
        def everywhere(number):
            filled = ir.Constant(vector, ir.Undefined)
            for lane in range(_LANES):
                filled = builder.insert_element(filled, number, ir.Constant(ir.IntType(32), lane))
            return filled

        factor, term = everywhere(args[0]), everywhere(args[1])
        shape = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, shape, f"llvm.fma.v{_LANES}f32")
        starts = [ir.Constant(vector, [float(i)] * _LANES) for i in range(_CHAINS)]  # alike, they would be made one
        sums = [cgutils.alloca_once_value(builder, start) for start in starts]
        with cgutils.for_range(builder, args[2]):
            for place in sums:
                builder.store(builder.call(fma, [builder.load(place), factor, term]), place)
        total = builder.load(sums[0])
        for place in sums[1:]:
            total = builder.fadd(total, builder.load(place))
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


def multiply_adds_per_second() -> float:
    """The most floating-point operations a second, in float32; a fused multiply-add counts as two."""
    threads = numba.get_num_threads()
    factors, out = np.full(threads, 0.5, np.float32), np.zeros(threads, np.float32)
    seconds = _least(lambda: _multiply(factors, out))
    return 2 * _LANES * _CHAINS * _LENGTH * threads / seconds


def bytes_copied_per_second() -> float:
    """The most bytes a second, read and written, of copying arrays that fit in no cache."""
    source = np.ones(_COPIED // 8)
    target = np.zeros_like(source)
    return 2 * _COPIED / _least(lambda: _copy(source, target, numba.get_num_threads()))


def _least(work: Callable[[], None]) -> float:
    work()  # compiles
    return min(_timed(work) for _ in range(_TRIES))


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
