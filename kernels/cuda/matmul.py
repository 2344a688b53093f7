"""Matrix products on the GPU; see matmul.cu and gemm.cuh."""

from __future__ import annotations

from minigan_kernels.cuda.gemm import launch_product, vector_width
from minigan_kernels.cuda.launch import Kernel, output_array, row_major

PRODUCTS = {
    (False, False): Kernel("matmul.cu", "matmul_nn"),
    (False, True): Kernel("matmul.cu", "matmul_nt"),
    (True, False): Kernel("matmul.cu", "matmul_tn"),
    (True, True): Kernel("matmul.cu", "matmul_tt"),
}
ADD_PARTS = Kernel("matmul.cu", "matmul_add_parts")


def matmul(a, b, transpose_a, transpose_b, out=None):
    """op(a) @ op(b); see `reference.matmul`."""
    return product(a, b, transpose_a, transpose_b, None, 1, out)


def dense(x, w, b, slope, out=None):
    """leaky_relu(x @ w + b); see `reference.dense`."""
    return product(x, w, False, False, b, slope, out)


def product(a, b, transpose_a, transpose_b, bias, slope, out, tf32=False):
    """leaky_relu(op(a) @ op(b) + bias), with TF32 tensor cores if `tf32`; `bias` (N,) or None."""
    a, b = row_major(a), row_major(b)
    bias = None if bias is None else row_major(bias)
    m, k = a.shape[::-1] if transpose_a else a.shape
    n = b.shape[0] if transpose_b else b.shape[1]
    out = output_array((m, n), a.dtype, out)
    vector = vector_width(a.dtype, (a.shape[1], b.shape[1], n), (a, b, out))
    kernel = PRODUCTS[bool(transpose_a), bool(transpose_b)]
    launch_product(kernel, ADD_PARTS, a.dtype, (m, n, k), (a, b), bias, slope, out, (m, n, k), vector=vector, tf32=tf32)
    return out
