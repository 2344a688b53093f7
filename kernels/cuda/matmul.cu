// Matrix products: out = leaky_relu(op(a) @ op(b) + bias), where op may transpose.
//
//     out[m, n] = leaky_relu(sum over k of A(m, k) * B(k, n) + bias[n])
//
// All matrices are row-major: A is a (M, K) or its transpose (K, M), B is b (K, N) or its transpose (N, K).
// 2 M N K flops for M K + K N + M N numbers of memory; how the tiles keep the arithmetic units busy: gemm.cuh.

#include "gemm.cuh"

template <class A, class B>
__device__ void multiply(const real* a, const real* b, const real* bias, real slope, real* out, int m_extent,
                         int n_extent, int k_extent) {
    const size_t part_size = size_t(m_extent) * n_extent;
    const A left = {a, m_extent, k_extent};
    const B right = {b, n_extent, k_extent};
    const RowMajor result = {out + blockIdx.z * part_size, bias, slope, m_extent, n_extent};
    gemm(left, right, result, m_extent, n_extent, k_extent);
}

extern "C" __global__ __launch_bounds__(THREADS, RESIDENT)
void matmul_nn(const real* __restrict__ a, const real* __restrict__ b, const real* __restrict__ bias, real slope,
               real* __restrict__ out, int m_extent, int n_extent, int k_extent) {
    multiply<LinesInRows, LinesInColumns>(a, b, bias, slope, out, m_extent, n_extent, k_extent);
}

extern "C" __global__ __launch_bounds__(THREADS, RESIDENT)
void matmul_nt(const real* __restrict__ a, const real* __restrict__ b, const real* __restrict__ bias, real slope,
               real* __restrict__ out, int m_extent, int n_extent, int k_extent) {
    multiply<LinesInRows, LinesInRows>(a, b, bias, slope, out, m_extent, n_extent, k_extent);
}

extern "C" __global__ __launch_bounds__(THREADS, RESIDENT)
void matmul_tn(const real* __restrict__ a, const real* __restrict__ b, const real* __restrict__ bias, real slope,
               real* __restrict__ out, int m_extent, int n_extent, int k_extent) {
    multiply<LinesInColumns, LinesInColumns>(a, b, bias, slope, out, m_extent, n_extent, k_extent);
}

extern "C" __global__ __launch_bounds__(THREADS, RESIDENT)
void matmul_tt(const real* __restrict__ a, const real* __restrict__ b, const real* __restrict__ bias, real slope,
               real* __restrict__ out, int m_extent, int n_extent, int k_extent) {
    multiply<LinesInColumns, LinesInRows>(a, b, bias, slope, out, m_extent, n_extent, k_extent);
}

extern "C" __global__ void matmul_add_parts(const real* __restrict__ workspace, int parts,
                                            const real* __restrict__ bias, real slope, real* __restrict__ out,
                                            int m_extent, int n_extent) {
    const RowMajor result = {out, bias, slope, m_extent, n_extent};
    add_parts(workspace, parts, result, m_extent, n_extent);
}
