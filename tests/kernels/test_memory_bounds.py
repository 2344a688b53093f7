"""Kernels read nothing outside their operands: each ends where a page begins that the process may not touch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.environment import needs_numba

PROGRAM = """
import ctypes, itertools, mmap, sys
import numpy as np
import minigan_kernels
from minigan_kernels.geometry import Geometry

dtype, page = sys.argv[1], mmap.PAGESIZE
protect = ctypes.CDLL(None, use_errno=True).mprotect
protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
kernels, rng, kept = minigan_kernels.table("numba", np), np.random.default_rng(0), []

def bounded(*shape, at_start=False):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    kept.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for number in (0, pages + 1):
        assert protect(start + number * page, page, 0) == 0, ctypes.get_errno()
    array = np.frombuffer(memory, dtype, int(np.prod(shape)), page if at_start else (pages + 1) * page - size)
    array = array.reshape(shape)
    array[...] = rng.integers(-4, 5, shape)
    return array

for at_start in (False, True):
    def new(*shape):
        return bounded(*shape, at_start=at_start)
    for (m, k, n), (ta, tb) in itertools.product(
        [(5, 7, 5), (13, 33, 37), (64, 9, 65), (3, 50, 70), (70, 50, 3), (31, 2, 31), (1, 1, 1)],
        itertools.product([False, True], repeat=2),
    ):
        a, b = new(*((k, m) if ta else (m, k))), new(*((n, k) if tb else (k, n)))
        found = kernels["matmul"](a, b, ta, tb, new(m, n))
        np.testing.assert_array_equal(found, (a.T if ta else a) @ (b.T if tb else b))
        if not ta and not tb:
            kernels["dense"](a, b, new(n), 0.2, new(m, n))
    one = ((1, 1), (1, 1))
    for geometry, inputs, outputs in [
        (Geometry((14, 9), (4, 4), (2, 2), one), 1, 37), (Geometry((9, 7), (3, 2), (1, 1), one), 3, 64),
        (Geometry((9, 7), (3, 2), (2, 1), one), 11, 17), (Geometry((9, 7), (3, 2), (1, 1), one), 11, 3),
        (Geometry((32, 36), (4, 4), (2, 2), one), 16, 48),
    ]:
        x, w = new(2, *geometry.size, inputs), new(*geometry.kernel, inputs, outputs)
        g = new(2, *geometry.out, outputs)
        kernels["conv2d"](x, w, new(outputs), 0.2, geometry, out=new(*g.shape))
        kernels["conv2d_input_grad"](g, w, new(inputs), 0.2, geometry, out=new(*x.shape))
        kernels["conv2d_weight_grad"](x, g, geometry, out=new(*w.shape))
    for shape in [(1, 1), (7, 65), (60, 33), (257, 129)]:
        x, v, gamma, beta = new(*shape), new(*shape), new(shape[1]), new(shape[1])
        kernels["bias_act_grad"](x, v, 0.2, (new(*shape), new(shape[1])))
        kernels["bias_grad"](v, new(shape[1]))
        kernels["tanh_grad"](x, v, new(*shape))
        kernels["slope_gate"](x, v, 0.2, new(*shape))
        out = new(*shape), new(shape[1]), new(shape[1])
        y, mean, variance = kernels["batch_norm"](x, gamma, beta, 1e-3, 0.2, out)
        out = new(*shape), new(shape[1]), new(shape[1])
        kernels["batch_norm_grad"](v, x, gamma, beta, mean, variance, 1e-3, 0.2, out)
print("done")
"""


@needs_numba
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mprotect as Linux has it")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_touch_no_memory_beside_their_operands(dtype: str) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM, dtype], capture_output=True, text=True)
    assert run.stdout == "done\n", (run.returncode, run.stderr[-2000:])
