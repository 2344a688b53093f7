"""The compiled inner loops of the matrix product, which other kernels call by their addresses."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit

from minigan_kernels import compile_ahead
from minigan_kernels.numba.gemm_packing import COPY_PANEL, COPY_UNITS, TRANSPOSE_PANEL, TRANSPOSE_UNITS
from minigan_kernels.numba.jit import Compiled
from minigan_kernels.numba.packed_microkernel import (
    MULTIPLY_AND_COPY,
    MULTIPLY_COLUMNS,
    MULTIPLY_ROWS,
    MULTIPLY_SHORT,
    MULTIPLY_TALL,
)
from minigan_kernels.numba.vector_code import addresses_of

_FUNCTIONS = (
    MULTIPLY_TALL, MULTIPLY_SHORT, MULTIPLY_AND_COPY, TRANSPOSE_UNITS, COPY_UNITS, TRANSPOSE_PANEL, COPY_PANEL,
    MULTIPLY_ROWS, MULTIPLY_COLUMNS,
)  # fmt: skip
# The places of their addresses in the tuple that `gemm_functions` returns.
(
    TALL, SHORT, AND_COPY, UNITS_TRANSPOSED, UNITS_COPIED, PANEL_TRANSPOSED, PANEL_COPIED, ROWS, COLUMNS,
) = range(len(_FUNCTIONS))  # fmt: skip
COUNT = len(_FUNCTIONS)

_addresses_of = addresses_of(_FUNCTIONS)


@njit(no_cfunc_wrapper=True)
def _addresses(zero):
    return _addresses_of(zero)


_COMPILED = Compiled("matmul's inner loops", _addresses, lambda dtype: (dtype,), "")


def gemm_functions(dtype: np.dtype) -> tuple[int, ...]:
    """The addresses of the functions for this dtype, for `call_native`; they stay valid in this process."""
    if compile_ahead.note(_COMPILED.name, dtype):
        return (0,) * COUNT
    return _addresses_for(dtype)


@lru_cache
def _addresses_for(dtype: np.dtype) -> tuple[int, ...]:
    return _COMPILED[dtype](dtype.type(0))
