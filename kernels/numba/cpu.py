"""The vector registers of the CPU that Numba compiles for: their width, and the register tile that fits into them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import llvmlite.binding as llvm
from numba import config

# Values of `NUMBA_CPU_NAME` for CPUs with 512-bit vectors and for those with 128-bit vectors. A name that is missing
# here costs only speed: LLVM splits or widens vectors, so every choice computes the same sums.
_AVX512_NAMES = (
    "skylake-avx512", "cascadelake", "cooperlake", "cannonlake", "icelake", "tigerlake", "rocketlake",
    "sapphirerapids", "emeraldrapids", "graniterapids", "znver4", "znver5", "x86-64-v4",
)  # fmt: skip
_SSE_NAMES = ("generic", "x86-64", "x86-64-v2", "nehalem", "westmere", "core2", "penryn")


def vector_bytes() -> int:
    """The width of the widest vector register in bytes: 64 (AVX-512), 32 (AVX2) or 16 (NEON, SSE)."""
    if not llvm.get_process_triple().startswith(("x86_64", "i686", "amd64")):
        return 16
    chosen = config.CPU_NAME
    if chosen and chosen != "host":
        if chosen.startswith(_AVX512_NAMES):
            return 64
        return 16 if chosen in _SSE_NAMES else 32
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


def tile_shape() -> tuple[int, int]:
    """(rows, panel bytes) of the largest matmul register tile whose accumulators stay in registers.

    The accumulators take rows * panel bytes / vector bytes registers. The vectors of one row of the panel and one
    broadcast value need registers, too: 24 + 4 + 1 of 32 (AVX-512, NEON), 12 + 2 + 1 of 16 (AVX2), 8 + 2 + 1 of 16
    (SSE).
    """
    width = vector_bytes()
    if width == 64:
        return 6, 4 * width
    if width == 32:
        return 6, 2 * width
    return (4, 2 * width) if llvm.get_process_triple().startswith(("x86_64", "i686", "amd64")) else (6, 4 * width)


def packed_tile() -> tuple[int, int]:
    """(rows of a unit, panel bytes) of the register tile for packed operands; see packed_microkernel.py.

    A tile is 3 units high; its sums take 24 of 32 registers (AVX-512, NEON) or 12 of 16 (AVX2, SSE).
    """
    width = vector_bytes()
    if width == 64:
        return 4, 2 * width
    if width == 32:
        return 2, 2 * width
    return (1 if llvm.get_process_triple().startswith(("x86_64", "i686", "amd64")) else 2), 4 * width


@lru_cache
def cache_bytes(level: int) -> int:
    """The bytes of a core's data cache of this level, 1 or 2, as Linux reports them; elsewhere a common small size."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind, found, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
            if kind != "Instruction" and int(found) == level:
                return int(size.removesuffix("K")) << 10
        except (OSError, ValueError):  # not this kernel's format: use the default
            continue
    return {1: 32 << 10, 2: 256 << 10}[level]
