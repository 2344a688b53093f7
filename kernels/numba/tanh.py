"""The VJP of the hyperbolic tangent in one pass.

    tanh_grad       out = v * (1 - y * y)

Memory-bound: two reads and one write for each element. Each operation is rounded separately, as in NumPy, so the bits
are those of the reference.
"""

from __future__ import annotations

from numba import njit, types

from minigan_kernels.aligned import output_array
from minigan_kernels.numba.column_loops import column_loop
from minigan_kernels.numba.jit import Compiled, inner, threads_for
from minigan_kernels.numba.memory import row_major
from minigan_kernels.numba.microkernel import address
from minigan_kernels.numba.parallel_for import parallel_for


def _gradient(code, read, settings):
    y, v = read
    return [code.multiply(v, code.subtract(code.constant(1.0), code.multiply(y, y)))]


_gradient_columns = column_loop(_gradient)


@inner
def _tanh_grad_chunk(t, threads, zero, y, v, out, count, size):
    first, last = t * count // threads, (t + 1) * count // threads
    at = first * size
    _gradient_columns(zero, last - first, (y + at, v + at), (out + at,), ())


@njit
def _tanh_grad(y, v, out, threads):
    arrays = (address(y), address(v), address(out))
    parallel_for(threads, _tanh_grad_chunk, (out.dtype.type(0), *arrays, out.size, out.itemsize))


def _signature(dtype):
    return (*(types.Array(dtype, 1, "C"),) * 3, types.int64)


TANH_GRAD = Compiled("tanh_grad", _tanh_grad, _signature, "out")


def tanh_grad(y, v, out=None):
    """v * (1 - y * y); see `reference.tanh_grad`."""
    y, v = row_major(y), row_major(v)
    out = output_array(y.shape, y.dtype, out)
    TANH_GRAD.launch(y.dtype, y.reshape(-1), v.reshape(-1), out.reshape(-1), threads_for(y.size))
    return out
