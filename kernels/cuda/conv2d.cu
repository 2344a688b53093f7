// Convolution with a fused bias and LeakyReLU, as an implicit matrix product.
//
//     out[n, i, j, o] = leaky_relu(sum over u, v, c of x[n, y, x, c] * w[u, v, c, o] + bias[o])
//         where y = i * down + u - top and x = j * across + v - left
//
// x (N, H, W, in), w (kh, kw, in, out), out (N, OH, OW, out). As a matrix product: M = N OH OW windows of x, inner
// extent K = kh kw in, N = out columns; w is the right operand as it lies, and out is the row-major result.
// 2 M K out flops for N H W in + K out + M out numbers of memory. DCGAN's second layer at batch 64 (x 32 x 32 x 64,
// 128 channels out) has 4.3 Gflop for 25 MB of float32: 170 flops a byte, bound by arithmetic. A first layer with 3
// channels (x 64 x 64 x 3, 64 channels out) has 0.4 Gflop for 20 MB, of which the result is most: bound by memory.
//
// The speed is that of the tile loop (gemm.cuh), as long as an address costs few integer instructions: some 15 for a
// fragment (convolution.cuh), against VECTOR * TILE_N multiplications that the fragment takes part in.

#include "gemm.cuh"
#include "convolution.cuh"

// The extents as in `Windows`; outputs: columns of the result.
extern "C" __global__ __launch_bounds__(THREADS, RESIDENT)
void conv2d(const real* __restrict__ x, const real* __restrict__ w, const real* __restrict__ bias, real slope,
            real* __restrict__ out, int height, int row_elements, int windows, int rows, int columns, int top, int left,
            int down, int across, int k_extent, int kernel_row, int outputs) {
    const Windows a = {{x, height, row_elements}, windows, rows, columns, top, left, down, across, k_extent,
                       Division(kernel_row)};
    const LinesInColumns b = {w, outputs, k_extent};
    const RowMajor result = {out + blockIdx.z * size_t(windows) * outputs, bias, slope, windows, outputs};
    gemm(a, b, result, windows, outputs, k_extent);
}

extern "C" __global__ void conv2d_add_parts(const real* __restrict__ workspace, int parts,
                                            const real* __restrict__ bias, real slope, real* __restrict__ out,
                                            int windows, int outputs) {
    const RowMajor result = {out, bias, slope, windows, outputs};
    add_parts(workspace, parts, result, windows, outputs);
}
