"""What the CPU that Numba compiles for can do: the width of its vectors and how many it can name."""

from __future__ import annotations

import llvmlite.binding as llvm
from numba import config

# Names that `NUMBA_CPU_NAME` may carry for CPUs with 512-bit vectors. A name missing here costs speed only:
# LLVM splits or widens vectors, so every choice computes the same sums.
_AVX512_NAMES = (
    "skylake-avx512", "cascadelake", "cooperlake", "cannonlake", "icelake", "tigerlake", "rocketlake",
    "sapphirerapids", "emeraldrapids", "graniterapids", "znver4", "znver5", "x86-64-v4",
)  # fmt: skip
_SSE_NAMES = ("generic", "x86-64", "x86-64-v2", "nehalem", "westmere", "core2", "penryn")


def vector_bytes() -> int:
    """Width of the widest vector register in bytes: 64 (AVX-512), 32 (AVX2) or 16 (NEON, SSE)."""
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
    """(rows, panel bytes) of the matmul register tile that fills the register file without spilling.

    Accumulators take rows * panel / vector registers; the panel's own vectors and one broadcast come on top:
    24 + 4 + 1 of 32 (AVX-512, NEON), 12 + 2 + 1 of 16 (AVX2), 8 + 2 + 1 of 16 (SSE).
    """
    width = vector_bytes()
    if width == 64:
        return 6, 4 * width
    if width == 32:
        return 6, 2 * width
    return (4, 2 * width) if llvm.get_process_triple().startswith(("x86_64", "i686", "amd64")) else (6, 4 * width)
