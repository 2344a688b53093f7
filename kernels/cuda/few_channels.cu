// Convolutions, forward and transposed, whose result has 1 to 4 channels (COLUMNS): last layers, which make pictures
// from features, or a score from each picture.
//
//     out[m, n] = leaky_relu(sum over k of A(m, k) * B(k, n) + bias[n]),  n < COLUMNS
//
// with the operands of conv2d.cu and conv2d_input_grad.cu. The tile loop would compute 32 columns or more: for pictures
// of 64 x 64 x 3 from 32 x 32 x 64 at batch 64, 4.3 in place of 0.4 Gflop, for 20 MB of memory. Here the threads of a
// block share LINES rows m. Each takes VECTOR consecutive k of all rows at a time, and all columns: VECTOR * COLUMNS
// weights serve LINES rows, from registers. 2 M K COLUMNS flops; (LINES + COLUMNS) K / LINES numbers a row are read
// through the first-level cache. At the end the threads' sums are added, in an order that is always the same.
//
// Few channels in the other operand need no kernel of their own. With few input channels, K = kh kw in is short, but
// contiguous along a row of the window, and the result fills the tiles: the forward pass and the weight gradient take
// about the time that reading and writing the image with many channels takes.

#include "transposed.cuh"

constexpr int WARP = 32;
constexpr int MAX_WARPS = 8;
constexpr int RESIDENT = 2;  // blocks of a multiprocessor: without it, ptxas spills registers to hold one block more
constexpr int SUMS = LINES * COLUMNS;
constexpr int WEIGHTS = VECTOR * COLUMNS;

// The weights (K, COLUMNS) of a convolution.
struct Weights {
    const real* w;

    __device__ void load(real (&weights)[WEIGHTS], int k) const {
#pragma unroll
        for (int i = 0; i < COLUMNS; ++i) {
            real word[VECTOR];
            read_word(word, w + k * COLUMNS + i * VECTOR);
#pragma unroll
            for (int j = 0; j < VECTOR; ++j) weights[i * VECTOR + j] = word[j];
        }
    }
};

// The same of a phase of a transposed convolution.
struct PhaseWeights {
    FlippedTaps taps;

    __device__ void load(real (&weights)[WEIGHTS], int k) const {
#pragma unroll
        for (int n = 0; n < COLUMNS; ++n) {
            real word[VECTOR];
            taps.load(word, taps.line(n), k);
#pragma unroll
            for (int j = 0; j < VECTOR; ++j) weights[j * COLUMNS + n] = word[j];
        }
    }
};

// LINES rows of the result, from row blockIdx.x * LINES on. The block has whole warps, MAX_WARPS at most.
template <class B, class Result>
__device__ void multiply_few_columns(const Windows& a, const B& b, const Result& result, int k_extent) {
    const int first = blockIdx.x * LINES;
    Windows::Line line[LINES];
#pragma unroll
    for (int i = 0; i < LINES; ++i) line[i] = a.line(first + i);
    real sum[SUMS] = {};
    for (int k = threadIdx.x * VECTOR; k < k_extent; k += blockDim.x * VECTOR) {
        real weights[WEIGHTS];
        b.load(weights, k);
#pragma unroll
        for (int i = 0; i < LINES; ++i) {
            real elements[VECTOR];
            a.load(elements, line[i], k);
#pragma unroll
            for (int j = 0; j < VECTOR; ++j) {
#pragma unroll
                for (int n = 0; n < COLUMNS; ++n) sum[i * COLUMNS + n] += elements[j] * weights[j * COLUMNS + n];
            }
        }
    }
    // Each warp adds its threads' sums; then a thread for each sum adds the warps'.
    __shared__ real warp_sums[MAX_WARPS][SUMS];
#pragma unroll
    for (int i = 0; i < SUMS; ++i) {
#pragma unroll
        for (int distance = WARP / 2; distance > 0; distance /= 2) {
            sum[i] += __shfl_xor_sync(0xffffffff, sum[i], distance);
        }
        if (threadIdx.x % WARP == 0) warp_sums[threadIdx.x / WARP][i] = sum[i];
    }
    __syncthreads();
    if (threadIdx.x < SUMS) {
        real total[1] = {};
        for (int warp = 0; warp < blockDim.x / WARP; ++warp) total[0] += warp_sums[warp][threadIdx.x];
        result.store(total, first + threadIdx.x / COLUMNS, threadIdx.x % COLUMNS);
    }
}

// The extents as in `Windows`.
extern "C" __global__ __launch_bounds__(MAX_WARPS * WARP, RESIDENT)
void conv2d_few(const real* __restrict__ x, const real* __restrict__ w, const real* __restrict__ bias, real slope,
                real* __restrict__ out, int height, int row_elements, int windows, int rows, int columns, int top,
                int left, int down, int across, int k_extent, int kernel_row) {
    const Windows a = {{x, height, row_elements}, windows, rows, columns, top, left, down, across, k_extent,
                       Division(kernel_row)};
    const RowMajor result = {out, bias, slope, windows, COLUMNS};
    multiply_few_columns(a, Weights{w}, result, k_extent);
}

extern "C" __global__ __launch_bounds__(MAX_WARPS * WARP, RESIDENT)
void conv2d_input_grad_few(const real* __restrict__ g, const real* __restrict__ w, const real* __restrict__ bias,
                           real slope, real* __restrict__ out, int batch, int height, int width, int down, int across,
                           int g_height, int row_elements, int outputs, int kernel_height, int kernel_width, int top,
                           int left, int row_step, int column_step) {
    const RowMajor image_pixels = {out, bias, slope, batch * height * width, COLUMNS};
    const PhasePixels result(image_pixels, height, width, down, across, blockIdx.y);
    const PhaseOperands operands = operands_of(g, w, result, batch, g_height, row_elements, outputs, COLUMNS,
                                               kernel_height, kernel_width, top, left, row_step, column_step);
    multiply_few_columns(operands.windows, PhaseWeights{operands.taps}, result, operands.k_extent);
}
