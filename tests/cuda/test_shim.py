"""The shim that runs CUDA kernels on the CPU: what CUDA promises, and in which mode it finds which planted bug.

    planted bug                          fibers, 8 orders   ThreadSanitizer   AddressSanitizer
    no barrier after a load              wrong values       data race         -
    no barrier before the next load      wrong values       data race         -
    no barrier in a reduction            wrong values       data race         -
    lanes assumed to run in lockstep     wrong values       data race         -
    return before a barrier              error              error             error
    divergent barrier                    error              error             error
    warp operation by a part of a warp   error              error             error
    last block to write wins             wrong values       data race         -
    blocks add to one number             -                  data race         -
    shared memory read unwritten         wrong values       -                 -
    read past an array                   wrong values       -                 overflow
    write past an array                  guard changed      -                 overflow
    read past a shared array             wrong values       -                 poison
    write past a shared array            error              -                 poison
    wild address                         error              crash             crash
    vector at an unaligned address       error (x86)        crash (x86)       misaligned
    loop that never ends                 hangs              time-out          time-out

`BUGS` is this table, and `test_planted_bug_...` compares it with what happens. What the shim cannot see: what nvcc or
NVRTC makes of the source (they are run for that), the memory model between blocks and between `volatile` accesses, the
rounding of tensor cores and of CUDA's own exp, log and rsqrt, and how fast a kernel is. Under ThreadSanitizer a race is
found if both accesses happen, in whatever order; so a data-dependent one must be provoked by the data.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.cuda_cpu import build, coverage, run, sanitized
from support.environment import WITHOUT_COMPILER

pytestmark = pytest.mark.skipif(build.compiler() is None, reason=WITHOUT_COMPILER)

REAL = "typedef float real;\n"
X86 = platform.machine() == "x86_64"
SEEDS = range(1, 9)
THREADS = 64

BUG_SOURCE = """
typedef float real;
constexpr int THREADS = 64;

extern "C" __global__ void reverse_twice(const real* x, real* out, int count) {
    __shared__ real tile[THREADS];
    const int t = threadIdx.x;
    for (int start = 0; start < count; start += THREADS) {
        tile[t] = x[start + t];
        __syncthreads();
        out[start + t] = tile[THREADS - 1 - t];
        __syncthreads();
    }
}

extern "C" __global__ void no_barrier_after_load(const real* x, real* out, int count) {
    __shared__ real tile[THREADS];
    const int t = threadIdx.x;
    for (int start = 0; start < count; start += THREADS) {
        tile[t] = x[start + t];
        out[start + t] = tile[THREADS - 1 - t];
        __syncthreads();
    }
}

extern "C" __global__ void no_barrier_before_load(const real* x, real* out, int count) {
    __shared__ real tile[THREADS];
    const int t = threadIdx.x;
    for (int start = 0; start < count; start += THREADS) {
        tile[t] = x[start + t];
        __syncthreads();
        out[start + t] = tile[THREADS - 1 - t];
    }
}

extern "C" __global__ void no_barrier_in_reduction(const real* x, real* out, int count) {
    __shared__ real sums[THREADS];
    const int t = threadIdx.x;
    sums[t] = x[t] + x[THREADS + t];
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (t < half) sums[t] += sums[t + half];
    }
    if (t == 0) out[0] = sums[0];
}

extern "C" __global__ void lockstep(const real* x, real* out, int count) {
    __shared__ real pairs[THREADS];
    const int t = threadIdx.x;
    pairs[t] = x[t];
    out[t] = pairs[t ^ 1];
}

extern "C" __global__ void return_before_barrier(const real* x, real* out, int count) {
    if (threadIdx.x == 5) return;
    __syncthreads();
    out[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void divergent_barrier(const real* x, real* out, int count) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    out[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void part_of_warp(const real* x, real* out, int count) {
    const real mine = x[threadIdx.x];
    if (threadIdx.x < 48) out[threadIdx.x] = __shfl_xor_sync(0xffffffff, mine, 1);
}

extern "C" __global__ void last_block_wins(const real* x, real* out, int count) {
    if (threadIdx.x == 0) out[0] = x[blockIdx.x];
}

extern "C" __global__ void blocks_add(const real* x, real* out, int count) {
    if (threadIdx.x == 0) out[0] += x[blockIdx.x];
}

extern "C" __global__ void unwritten(const real* x, real* out, int count) {
    __shared__ real tile[THREADS];
    if (threadIdx.x > 0) tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void reads_past_array(const real* x, real* out, int count) {
    for (int i = threadIdx.x; i < count; i += THREADS) out[i] = x[i + 1];
}

extern "C" __global__ void writes_past_array(const real* x, real* out, int count) {
    for (int i = threadIdx.x; i <= count; i += THREADS) out[i] = 1;
}

extern "C" __global__ void reads_past_shared_array(const real* x, real* out, int count) {
    __shared__ real tile[THREADS], other[THREADS];
    const int t = threadIdx.x;
    tile[t] = x[t];
    other[t] = x[t];
    __syncthreads();
    const int past = count / 2;
    out[t] = tile[t] + tile[past] - tile[past] + other[t];
}

extern "C" __global__ void writes_past_shared_array(const real* x, real* out, int count) {
    __shared__ real tile[THREADS], other[THREADS];
    const int t = threadIdx.x;
    tile[t + count / 2 - THREADS + 1] = x[t];
    other[t] = x[t];
    __syncthreads();
    out[t] = tile[THREADS / 2] + other[t];
}

extern "C" __global__ void wild_address(const real* x, real* out, int count) {
    out[threadIdx.x * (1LL << 40)] = x[threadIdx.x];
}

extern "C" __global__ void unaligned_vector(const real* x, real* out, int count) {
    const int i = 4 * threadIdx.x;
    if (i + 4 < count) *reinterpret_cast<float4*>(out + i + 1) = *reinterpret_cast<const float4*>(x + i);
}
"""

# what finds each bug: in the values of 8 shuffled orders, as an error of fibers, under each sanitizer
BUGS = {
    "no_barrier_after_load": ("wrong", "data race", ""),
    "no_barrier_before_load": ("wrong", "data race", ""),
    "no_barrier_in_reduction": ("wrong", "data race", ""),
    "lockstep": ("wrong", "data race", ""),
    "return_before_barrier": ("divergent barrier", "divergent barrier", "divergent barrier"),
    "divergent_barrier": ("divergent barrier", "divergent barrier", "divergent barrier"),
    "part_of_warp": ("divergent barrier", "divergent barrier", "divergent barrier"),
    "last_block_wins": ("wrong", "data race", ""),
    "blocks_add": ("", "data race", ""),
    "unwritten": ("wrong", "", ""),
    "reads_past_array": ("wrong", "", "heap-buffer-overflow"),
    "writes_past_array": ("guard", "", "heap-buffer-overflow"),
    "reads_past_shared_array": ("wrong", "", "use-after-poison"),
    "writes_past_shared_array": ("past the end of the shared array tile", "", "use-after-poison"),
    "wild_address": ("accessed memory outside", "SEGV", "SEGV"),
    "unaligned_vector": ("not a multiple of its size" if X86 else "", "SEGV" if X86 else "", "misaligned address"),
}
COUNT = 2 * THREADS


def arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x and out with NaN around both, and the memory of out."""
    rng = np.random.default_rng(0)
    memory = np.full((2, COUNT + 32), np.nan, np.float32)
    x, out = memory[:, 16:-16]
    x[:], out[:] = rng.standard_normal((1, COUNT)), 0
    return x, out, memory[1]


def right_result(name: str, x: np.ndarray) -> np.ndarray:
    """What the kernel `name` should compute, in an array of zeros."""
    out = np.zeros(COUNT, np.float32)
    halves = x.reshape(2, THREADS)
    match name:
        case "reverse_twice" | "no_barrier_after_load" | "no_barrier_before_load":
            out = halves[:, ::-1].reshape(-1)
        case "no_barrier_in_reduction":
            sums = halves.sum(0)
            while len(sums) > 1:
                sums = sums[: len(sums) // 2] + sums[len(sums) // 2 :]
            out[0] = sums[0]
        case "lockstep":
            out[:THREADS] = halves[0].reshape(-1, 2)[:, ::-1].reshape(-1)
        case "last_block_wins":
            out[0] = x[3]
        case "blocks_add":
            out[0] = x[0] + x[1] + x[2] + x[3]
        case "unwritten":
            out[:THREADS] = halves[0]
        case "reads_past_array":
            out[:-1] = x[1:]
        case "writes_past_array":
            out[:] = 1
        case "reads_past_shared_array":
            out[:THREADS] = 2 * halves[0]
        case _:
            raise ValueError(name)
    return out


def blocks_of(name: str) -> int:
    return 4 if name in ("last_block_wins", "blocks_add") else 1


@cache
def bugs() -> run.Library:
    return run.Library(build.compile(BUG_SOURCE, "bugs.cu"))


def library(text: str) -> run.Library:
    return run.Library(build.compile(text, "test.cu"))


def found_by_fibers(name: str) -> str:
    """How a bug shows in some order: an error's message, "guard", "wrong" values, or "" if it does not."""
    for seed in SEEDS:
        x, out, memory = arrays()
        try:
            bugs().launch(name, blocks_of(name), THREADS, (x, out, COUNT), seed=seed)
        except RuntimeError as error:
            assert f"kernel {name}," in str(error)
            return str(error)
        if not np.isnan(memory[[*range(16), *range(-16, 0)]]).all():
            return "guard"
        # not closer: a sum's order could matter in the last bit
        if not np.allclose(out, right_result(name, x), rtol=1e-5, atol=1e-6):
            return "wrong"
    return ""


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_on_fibers(name):
    expected, found = BUGS[name][0], found_by_fibers(name)
    assert expected in found and bool(expected) == bool(found)


def test_correct_kernel_on_fibers():
    assert found_by_fibers("reverse_twice") == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reverse_twice", *BUGS])
@pytest.mark.parametrize("sanitizer", ["thread", "address"])
def test_planted_bug_under_sanitizer(sanitizer, name):
    if problem := sanitized.problem(sanitizer):
        pytest.skip(problem)
    expected = BUGS.get(name, ("", "", ""))[1 + ["thread", "address"].index(sanitizer)]
    x, out, _ = arrays()
    report = sanitized.run_sanitized(
        BUG_SOURCE, name, blocks_of(name), THREADS, (x, out, COUNT), name="bugs.cu", sanitizer=sanitizer
    )
    kinds = [finding.kind for finding in report.findings]
    assert any(expected in kind for kind in kinds) if expected else kinds == []
    if expected not in ("", "SEGV"):
        assert report.findings[0].line in lines_of(name)
    if name == "reverse_twice":
        np.testing.assert_array_equal(report.arrays[1], right_result(name, x))


def lines_of(name: str) -> range:
    """The lines of the kernel `name` in BUG_SOURCE."""
    lines = BUG_SOURCE.splitlines()
    first = next(i for i, line in enumerate(lines) if f"void {name}(" in line)
    return range(first + 1, lines.index("}", first) + 2)


@pytest.mark.slow
def test_launch_that_never_ends_under_sanitizer():
    if problem := sanitized.problem("address"):
        pytest.skip(problem)
    text = 'extern "C" __global__ void spin(int* x) { while (*static_cast<volatile int*>(x) == 0) {} }'
    report = sanitized.run_sanitized(text, "spin", 1, 1, (np.zeros(1, np.int32),), sanitizer="address", timeout=0.5)
    assert [finding.kind for finding in report.findings] == ["time-out"] and report.arrays == []


@pytest.mark.slow
def test_sanitized_arguments():
    text = REAL + 'extern "C" __global__ void f(const real* x, real* out) { out[2 * threadIdx.x] = x[threadIdx.x]; }'
    x = np.arange(12, dtype=np.float32)
    with pytest.raises(ValueError, match="8,192 threads"):
        sanitized.run_sanitized(text, "f", 32, 256, (x, x))
    with pytest.raises(ValueError, match="not addresses, for out"):
        sanitized.run_sanitized(text, "f", 1, 4, (x, np.uint64(x.ctypes.data)))
    if problem := sanitized.problem("address"):
        pytest.skip(problem)
    memory = np.arange(12, dtype=np.float32)
    for seen, view in ((x, memory[5::2]), (memory[:4], memory[5::2])):
        report = sanitized.run_sanitized(text, "f", 1, 4, (seen, view), sanitizer="address")
        assert report.findings == []
        np.testing.assert_array_equal(report.arrays[1], x[:4])
    report = sanitized.run_sanitized(text, "f", 1, 5, (x, memory[5::2]), sanitizer="address")
    assert [finding.kind for finding in report.findings] == ["heap-buffer-overflow"]


# ---- what CUDA promises


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_indices_in_three_dimensions(seed):
    text = """
    extern "C" __global__ void indices(int* out) {
        const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        int* const mine = out + 6 * (block * blockDim.x * blockDim.y * blockDim.z + thread);
        mine[0] = blockIdx.z; mine[1] = blockIdx.y; mine[2] = blockIdx.x;
        mine[3] = threadIdx.z; mine[4] = threadIdx.y; mine[5] = threadIdx.x;
    }"""
    grid, block = (3, 2, 4), (5, 3, 2)
    extents = grid[::-1] + block[::-1]
    out = np.full((*extents, 6), -1, np.int32)
    library(text).launch("indices", grid, block, (out,), seed=seed)
    np.testing.assert_array_equal(out, np.moveaxis(np.indices(extents), 0, -1))


def test_orders_of_threads_and_blocks():
    text = """
    extern "C" __global__ void orders(int* count, int* at_start, int* at_barrier, int* at_warp) {
        const int i = blockIdx.x * blockDim.x + threadIdx.x;
        at_start[atomicAdd(count, 1)] = i;
        __syncthreads();
        at_barrier[atomicAdd(count + 1, 1)] = i;
        __syncthreads();
        __syncwarp();
        at_warp[atomicAdd(count + 2, 1)] = i;
    }"""
    blocks, threads = 7, 96
    orders = {}
    for seed in range(12):
        found = np.zeros((3, blocks * threads), np.int32)
        library(text).launch("orders", blocks, threads, (np.zeros(3, np.int32), *found), seed=seed)
        np.testing.assert_array_equal(np.sort(found), np.broadcast_to(np.arange(blocks * threads), found.shape))
        orders[seed] = found
    for kind in range(3):
        np.testing.assert_array_equal(orders[0][kind], np.arange(blocks * threads))  # 0 is the natural order
        assert len({orders[seed][kind].tobytes() for seed in orders}) > 8
    order_of_blocks = {tuple(orders[seed][0][::threads] // threads) for seed in orders}
    assert len(order_of_blocks) > 8


def test_correct_kernel_has_the_same_bits_in_every_order():
    text = (
        REAL
        + """
    extern "C" __global__ void total(const real* x, real* out, int count) {
        __shared__ real parts[8];
        real sum = 0;
        for (int i = threadIdx.x; i < count; i += blockDim.x) sum += x[i];
        for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_down_sync(0xffffffff, sum, distance);
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
        __syncthreads();
        if (threadIdx.x == 0) {
            for (int warp = 1; warp < 8; ++warp) sum += parts[warp];
            out[blockIdx.x] = sum;
        }
    }"""
    )
    x = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    results = set()
    for seed in range(10):
        out = np.zeros(3, np.float32)
        library(text).launch("total", 3, 256, (x, out, len(x)), seed=seed)
        results.add(out.tobytes())
    assert len(results) == 1
    np.testing.assert_allclose(out, np.full(3, x.astype(np.float64).sum()), rtol=1e-5)


SHUFFLES = """
template <class T> __device__ void shuffles(const T* x, T* out, int width) {
    const int t = threadIdx.x, n = blockDim.x;
    out[t] = __shfl_sync(0xffffffff, x[t], 5, width);
    out[n + t] = __shfl_up_sync(0xffffffff, x[t], 3, width);
    out[2 * n + t] = __shfl_down_sync(0xffffffff, x[t], 3, width);
    out[3 * n + t] = __shfl_xor_sync(0xffffffff, x[t], 5, width);
}
extern "C" __global__ void shuffles_float(const float* x, float* out, int width) { shuffles(x, out, width); }
extern "C" __global__ void shuffles_double(const double* x, double* out, int width) { shuffles(x, out, width); }
extern "C" __global__ void shuffles_int(const int* x, int* out, int width) { shuffles(x, out, width); }
extern "C" __global__ void votes(const int* x, int* out) {
    const int t = threadIdx.x, n = blockDim.x;
    out[t] = __ballot_sync(0xffffffff, x[t] > 0);
    out[n + t] = __any_sync(0xffffffff, x[t] > 0);
    out[2 * n + t] = __all_sync(0xffffffff, x[t] > 0);
}
extern "C" __global__ void half_mask(const int* x, int* out) { out[0] = __shfl_sync(0x0000ffff, x[threadIdx.x], 0); }
"""


@pytest.mark.parametrize("width", [32, 16, 8])
@pytest.mark.parametrize("dtype", ["float", "double", "int"])
def test_shuffles(dtype, width):
    x = np.arange(100, 164).astype({"float": "f4", "double": "f8", "int": "i4"}[dtype])
    out = np.zeros((4, 64), x.dtype)
    library(SHUFFLES).launch(f"shuffles_{dtype}", 1, 64, (x, out, width), seed=width)
    lane = np.arange(64)
    first, place = lane - lane % width, lane % width
    np.testing.assert_array_equal(out[0], x[first + 5])
    np.testing.assert_array_equal(out[1], x[np.where(place >= 3, lane - 3, lane)])
    np.testing.assert_array_equal(out[2], x[np.where(place + 3 < width, lane + 3, lane)])
    np.testing.assert_array_equal(out[3], x[lane ^ 5])


def test_shuffle_from_a_lane_that_does_not_exist_gives_poison():
    x, out = np.arange(40, dtype=np.float32), np.zeros((4, 40), np.float32)
    library(SHUFFLES).launch("shuffles_float", 1, 40, (x, out, 32))
    assert np.isnan(out[2, 37:]).all() and not np.isnan(out[2, :37]).any()


@pytest.mark.parametrize("threads", [32, 40, 64])
def test_votes(threads):
    for x in (np.zeros(threads), np.ones(threads), np.arange(threads) % 3, np.arange(threads) == 35):
        votes, out = (x > 0), np.zeros((3, threads), np.int32)
        library(SHUFFLES).launch("votes", 1, threads, (x.astype(np.int32), out), seed=3)
        for first in range(0, threads, 32):
            warp = votes[first : first + 32]
            ballot = np.uint32(sum(1 << i for i, vote in enumerate(warp) if vote))
            assert (out[0, first : first + 32].view(np.uint32) == ballot).all()
            assert (out[1, first : first + 32] == warp.any()).all()
            assert (out[2, first : first + 32] == warp.all()).all()


def test_part_of_a_mask_is_refused():
    with pytest.raises(RuntimeError, match=r"kernel half_mask, .* only full masks"):
        library(SHUFFLES).launch("half_mask", 1, 32, (np.zeros(32, np.int32), np.zeros(1, np.int32)))


def test_exchange_of_registers_in_a_warp():
    """A product of two 8 x 8 matrices, each element of which is a register of some lane, as mma.sync has them."""
    text = """
    extern "C" __global__ void product(const double* a, const double* b, double* c) {
        struct Registers { double a[2]; double b[2]; int lane; };
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 * 64;
        const int row = lane / 4, column = lane % 4 * 2;
        const double* const a2 = a + warp + 2 * lane;
        const double* const b2 = b + warp + 2 * lane;
        Registers mine = {{a2[0], a2[1]}, {b2[0], b2[1]}, lane};
        double sums[2] = {};
        for (int twice = 0; twice < 2; ++twice) {
            const Registers* lanes = cuda_cpu::warp_exchange(mine);
            for (int k = 0; k < 8; ++k)
                for (int j = 0; j < 2; ++j)
                    sums[j] += lanes[row * 4 + k / 2].a[k % 2] * lanes[k * 4 + column / 2].b[j];
        }
        for (int j = 0; j < 2; ++j) c[warp + row * 8 + column + j] = sums[j];
    }"""
    a, b = np.random.default_rng(2).standard_normal((2, 3, 8, 8))
    c = np.zeros_like(a)
    library(text).launch("product", 1, 96, (a, b, c), seed=4)
    np.testing.assert_allclose(c, 2 * (a @ b), rtol=1e-12, atol=1e-12)


SHARED = """
typedef double real;
template <int ROWS> __device__ real corner(real mine) {
    __shared__ alignas(16) real tile[ROWS][32 + 1], scalar, other[ROWS];
    if (threadIdx.x == 0) scalar = mine;
    tile[ROWS - 1][threadIdx.x] = mine;
    other[threadIdx.x % ROWS] = ROWS;
    __syncthreads();
    return tile[ROWS - 1][31 - threadIdx.x] + 100 * scalar + 1000 * other[0];
}
extern "C" __global__ void static_arrays(const real* x, real* out) {
    const int t = threadIdx.x;
    out[t] = corner<2>(x[t]) + corner<3>(-x[t]);
}
extern "C" __global__ void dynamic_array(const real* x, real* out, int past) {
    extern __shared__ real buffer[];
    const int t = threadIdx.x;
    out[t] = buffer[t];
    buffer[t + past] = x[t];
    __syncthreads();
    out[32 + t] = buffer[31 - t + past];
}
extern "C" __global__ void too_much(real* out) {
    __shared__ real half[3073], rest[3072];
    half[threadIdx.x] = rest[threadIdx.x] = 0;
}
"""


def test_shared_arrays():
    x, out = np.random.default_rng(3).standard_normal(32), np.zeros(32)
    library(SHARED).launch("static_arrays", 1, 32, (x, out), seed=1)
    np.testing.assert_allclose(out, 5000, atol=1e-9)  # the rest cancels


def test_dynamic_shared_memory_is_poisoned_for_every_block():
    x, out = np.arange(32.0), np.zeros((2, 32))
    library(SHARED).launch("dynamic_array", 2, 32, (x, out, 0), shared_bytes=32 * 8, seed=1)
    assert np.isnan(out[0]).all()
    np.testing.assert_array_equal(out[1], x[::-1])


@pytest.mark.parametrize(("past", "where"), [(1, "past the end of"), (-1, "before the start of")])
def test_write_beside_dynamic_shared_memory(past, where):
    x, out = np.arange(32.0), np.zeros((2, 32))
    with pytest.raises(RuntimeError, match=f"kernel dynamic_array, .*wrote {where}"):
        library(SHARED).launch("dynamic_array", 1, 32, (x, out, past), shared_bytes=32 * 8)


def test_more_shared_memory_than_a_block_has():
    with pytest.raises(RuntimeError, match="49160 bytes of shared memory"):
        library(SHARED).launch("too_much", 1, 32, (np.zeros(32),))


def test_arithmetic_of_cuda():
    text = """
    extern "C" __global__ void arithmetic(const float* x, float* out) {
        const float nan = x[0];
        out[0] = min(nan, 1.0f); out[1] = max(1.0f, nan); out[2] = min(2.0f, 1.0f); out[3] = max(2.0f, 1.0f);
        out[4] = rsqrt(4.0f); out[5] = rsqrtf(16.0f); out[6] = __int_as_float(__float_as_int(1.5f));
        out[7] = isfinite(nan) + 2 * isnan(nan) + 4 * isinf(1 / (out[2] - 1));
        out[8] = fmaf(x[1], x[1], -1.0f); out[9] = __fmul_rn(x[1], x[1]) - 1.0f;
        const float4 four = make_float4(1, 2, 3, 4);
        *reinterpret_cast<float4*>(out + 12) = four;
        out[10] = __ldg(x + 1); out[11] = min(3, 4) + max(3LL, 4LL) + __popc(7u) + warpSize;
    }"""
    third = np.float32(1 + 2**-12)
    x, out = np.array([np.nan, third], np.float32), np.zeros(16, np.float32)
    memory = np.zeros(20, np.float32)
    out = memory[(-memory.ctypes.data // 4) % 4 :][:16]
    library(text).launch("arithmetic", 1, 1, (x, out))
    np.testing.assert_array_equal(out[:8], [1, 1, 1, 2, 0.5, 0.25, 1.5, 6])
    assert out[8] == float(third) ** 2 - 1 and out[9] == third * third - np.float32(1)  # once and twice rounded
    np.testing.assert_array_equal(out[10:], [third, 42, 1, 2, 3, 4])


def test_atomics():
    text = """
    extern "C" __global__ void atomics(int* sum, unsigned* count, long long* first) {
        atomicAdd(sum, -int(threadIdx.x));
        atomicAdd(count, 2u);
        atomicCAS(reinterpret_cast<unsigned long long*>(first), 0ULL, 1ULL + threadIdx.x);
    }"""
    results, first = (np.zeros(1, np.int32), np.zeros(1, np.uint32)), np.zeros(1, np.int64)
    library(text).launch("atomics", 1, 96, (*results, first), seed=5)
    assert [int(result[0]) for result in results] == [-sum(range(96)), 192] and 1 <= first[0] <= 96


# ---- arguments

TYPES = """
extern "C" __global__ __launch_bounds__(128)
void types(const float* __restrict__ x, double* out, int count, float a, double b, long long c) {
    out[0] = x[0]; out[1] = count; out[2] = a; out[3] = b; out[4] = c;
}
"""


def good_arguments() -> dict:
    return {
        "x": np.float32([1.5]),
        "out": np.zeros(5),
        "count": -7,
        "a": np.float32(0.1),
        "b": np.float64(0.1),
        "c": np.int64(-(2**40)),
    }


def test_parameters_are_known():
    kernel = library(TYPES).kernels["types"]
    assert [repr(parameter) for parameter in kernel.parameters] == [
        "const float* x", "double* out", "int count", "float a", "double b", "long long c",
    ]  # fmt: skip


def test_arguments_arrive():
    arguments = good_arguments()
    library(TYPES).launch("types", 1, 1, list(arguments.values()))
    np.testing.assert_array_equal(arguments["out"], [1.5, -7, np.float32(0.1), 0.1, -(2.0**40)])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("x", np.zeros(1)),
        ("x", 1.5),
        ("x", [1.5]),
        ("x", np.zeros((4, 4), np.float32).T[:2]),
        ("out", np.zeros(5, np.float32)),
        ("count", np.int64(1)),
        ("count", 2**31),
        ("count", True),
        ("count", None),
        ("a", 0.1),
        ("a", 1),
        ("a", np.float64(0.1)),
        ("b", np.float32(0.1)),
        ("b", 0.1),
        ("c", np.int32(1)),
        ("c", 1),
    ],
)
def test_wrong_arguments(name, wrong):
    with pytest.raises(TypeError, match=rf"the kernel types .*\b{name}\b"):
        library(TYPES).launch("types", 1, 1, list((good_arguments() | {name: wrong}).values()))


def test_arguments_of_pointers():
    arguments = good_arguments()
    out = arguments["out"]
    addresses = arguments | {"x": np.uint64(arguments["x"].ctypes.data), "out": out.ctypes.data_as(run.ctypes.c_void_p)}
    library(TYPES).launch("types", 1, 1, list(addresses.values()))
    assert out[0] == 1.5
    out.flags.writeable = False
    with pytest.raises(TypeError, match="writes to out"):
        library(TYPES).launch("types", 1, 1, list(arguments.values()))
    with pytest.raises(TypeError, match="takes 6 arguments, not 5"):
        library(TYPES).launch("types", 1, 1, list(arguments.values())[:5])
    with pytest.raises(RuntimeError, match=r"kernel types, .* \(address 0x0\)"):
        library(TYPES).launch("types", 1, 1, list((good_arguments() | {"x": None}).values()))


@pytest.mark.parametrize(
    ("grid", "block"), [(0, 1), ((1, 65_536), 1), (1, 129), (1, (8, 17)), (1, (1, 0)), (1, (1, 1, 65))]
)
def test_extents_that_cuda_refuses(grid, block):
    with pytest.raises(ValueError, match=r"the kernel types (cannot run|runs blocks of up to 128)"):
        library(TYPES).launch("types", grid, block, list(good_arguments().values()))


# ---- errors


def test_an_error_leaves_nothing_behind():
    for name, error in (("return_before_barrier", "divergent"), ("wild_address", "accessed"), ("part_of_warp", "warp")):
        x, out, _ = arrays()
        with pytest.raises(RuntimeError, match=error):
            bugs().launch(name, 1, THREADS, (x, out, COUNT), seed=1)
        bugs().launch("reverse_twice", 1, THREADS, (x, out, COUNT), seed=2)
        np.testing.assert_array_equal(out, right_result("reverse_twice", x))


def test_division_by_zero():
    text = 'extern "C" __global__ void divide(int* x) { x[0] = 7 / x[0]; }'
    if not X86:
        pytest.skip("only x86-64 refuses to divide by zero")
    with pytest.raises(RuntimeError, match=r"kernel divide, .*divided an integer by zero"):
        library(text).launch("divide", 1, 1, (np.zeros(1, np.int32),))


def test_launch_from_another_thread():
    x, out, _ = arrays()
    errors = []

    def launch() -> None:
        try:
            bugs().launch("reverse_twice", 1, THREADS, (x, out, COUNT), seed=1)
            bugs().launch("wild_address", 1, THREADS, (x, out, COUNT), seed=1)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=launch)
    thread.start()
    thread.join()
    assert len(errors) == 1
    np.testing.assert_array_equal(out, right_result("reverse_twice", x))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("#include <cuda_fp16.h>\n", ValueError, "test.cu includes <cuda_fp16.h>"),
        ("__global__ void f(int* x) {}", ValueError, 'extern "C" __global__ void'),
        ("__shared__ float tile[4];", ValueError, "outside of a function"),
        ('extern "C" __global__ void f(short x) {}', RuntimeError, "kernels take pointers"),
        ('extern "C" __global__ void f(int* x) {\n    x[0] = y;\n}', RuntimeError, r"test.cu:2:.*'?y'?"),
        ('extern "C" __global__ void f(int* x, int n) { int big[9000]; big[n] = 1; x[0] = big[n + 1]; }', RuntimeError,
         "frame size"),
    ],
)  # fmt: skip
def test_sources_that_are_refused(text, error, message):
    with pytest.raises(error, match=message):
        build.compile(text, "test.cu")


def test_translation_keeps_lines():
    text = (
        'typedef float real;  // "__shared__ real not[1];"\n/* __global__\n*/ void f() {\n__shared__ real\n  a[3];\n}\n'
    )
    lines = build.translate(text, "test.cu").splitlines()[2:]
    assert lines[3] == "CUDA_CPU_SHARED(a, (real), [3])" and lines[4:6] == ["", "}"] and "__shared__" not in lines[0]


# ---- compiling
@pytest.mark.slow
def test_compiled_once(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "_folder", lambda: tmp_path)
    calls, compiler = [], build._run_compiler

    def counted(*arguments) -> None:
        calls.append(arguments)
        compiler(*arguments)

    monkeypatch.setattr(build, "_run_compiler", counted)
    text, paths = 'extern "C" __global__ void once(int* x) { x[0] = 1; }', []
    workers = [threading.Thread(target=lambda: paths.append(build.compile(text, "once.cu"))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(calls) == 1 and len(set(paths)) == 1 and len(paths) == 3
    assert build.compile(text + " ", "once.cu") not in paths
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".lock", ".so", ".so"]


@pytest.mark.slow
def test_other_processors_switch_by_ucontext():
    """The same kernels run where the switch between fibers is not written for the processor."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.cuda_cpu import build
build.EXECUTOR_FLAGS += ("-DCUDA_CPU_UCONTEXT",)
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_shim
assert test_shim.found_by_fibers("reverse_twice") == ""
test_shim.test_an_error_leaves_nothing_behind()
test_shim.test_votes(40)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_lines_are_counted(tmp_path):
    text = """extern "C" __global__ void count(int* x, int n) {
    if (threadIdx.x < n)
        x[threadIdx.x] = 1;
    if (n < 0)
        x[0] = 2;
}
"""
    if not coverage.available():
        pytest.skip("gcov is not installed")
    program = f"""
import sys, numpy
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.cuda_cpu import build, run
library = run.Library(build.compile({text!r}, "count.cu", "coverage"))
library.launch("count", 2, 32, (numpy.zeros(32, numpy.int32), 10))
"""
    environment = os.environ | coverage.environment(tmp_path)
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert coverage.line_counts(tmp_path) == {"count.cu": {1: 128, 2: 128, 3: 40, 4: 128, 5: 0, 6: 128}}
