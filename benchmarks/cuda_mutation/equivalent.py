"""Planted mistakes that the tests on fibers cannot notice, each with the reason.

They are named by the file, the text of the line and the change. They count only if they survive.
"""

from __future__ import annotations

Key = tuple[str, str, str]

# They change no result and access nothing outside.
EQUIVALENT: dict[Key, str] = {
    (
        "sums.cuh",
        "for (unsigned start = 0; start < count; start += GROUP) {",
        "< becomes <=",
    ): "a group more is empty, and adds 0",
    (
        "gemm.cuh",
        "const bool wide = n_tiles > m_tiles;",
        "> becomes >=",
    ): "both orders visit every tile once; which is faster, no test of results can say",
    (
        "gemm.cuh",
        "const bool wide = n_tiles > m_tiles;",
        "> lets one less through",
    ): "both orders visit every tile once; which is faster, no test of results can say",
    (
        "clip.cu",
        "values[i] = value < -limit ? -limit : value > limit ? limit : value;",
        "< becomes <=",
    ): "at the limit both branches give the limit",
    (
        "clip.cu",
        "values[i] = value < -limit ? -limit : value > limit ? limit : value;",
        "> becomes >=",
    ): "at the limit both branches give the limit",
    (
        "few_channels.cu",
        "if (threadIdx.x % WARP == 0) warp_sums[threadIdx.x / WARP][i] = sum[i];",
        "WARP becomes WARP + 1",
    ): "every lane of a warp holds its sum, and each warp still has one lane that writes it",
}

_PIXELS_OF = "const Windows windows = {{g, g_height, row_elements}, batch * rows * columns, rows, columns, u.start,"
_COPIED = "tile[j][threadIdx.x] = source[(long long)(left + j) * source_column + top + threadIdx.x];"
# They read outside an array, and what they read is not used. AddressSanitizer sees it: for each, the file whose
# launches tests/cuda/test_sanitized_kernels.py repeats, and what it changes the line to.
READ_OUTSIDE: dict[Key, tuple[str, str]] = {
    (
        "transpose.cu",
        f"if (threadIdx.x < height) {_COPIED}",
        "< becomes <=",
    ): (
        "transpose",
        f"if (threadIdx.x <= height) {_COPIED}",
    ),
    ("optimizers.cu", "for (int k = 0; k < parameters; ++k) {", "< becomes <="): (
        "optimizers",
        "for (int k = 0; k <= parameters; ++k) {",
    ),
    ("transposed.cuh", _PIXELS_OF, "rows becomes rows + 1"): (
        "conv2d_input_grad",
        _PIXELS_OF.replace("batch * rows", "batch * (rows + 1)"),
    ),
    ("transposed.cuh", _PIXELS_OF, "columns becomes columns + 1"): (
        "conv2d_input_grad",
        _PIXELS_OF.replace("rows * columns", "rows * (columns + 1)"),
    ),
}
