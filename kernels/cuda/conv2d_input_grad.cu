// The gradient of a convolution with respect to its input, with a fused bias and LeakyReLU: the transposed convolution.
//
//     out[n, y, x, c] = leaky_relu(sum over u, v, o of g[n, i, j, o] * w[u, v, c, o] + bias[c])
//         where y = i * down + u - top and x = j * across + v - left
//
// g (N, OH, OW, out), w (kh, kw, in, out), out (N, H, W, in). One matrix product for each phase of the stride
// (transposed.cuh): M = N H W / (down * across) pixels, K = about kh kw out / (down * across), in columns. So it takes
// the flops of the convolution, 2 N OH OW kh kw in out, and not down * across times as many, for N OH OW out +
// kh kw in out + N H W in numbers of memory. blockIdx.y is the phase.
//
// With split-K, each part of each phase writes its sums to the workspace [part][phase][pixel][in], in which every phase
// has as many pixels as the largest, and a second kernel adds the parts.
//
// A kernel as large as the image, without padding, would multiply mostly zeros around g: the launch code makes it a
// product of g (N, out) with the transpose of w (kh kw in, out).

#include "gemm.cuh"
#include "transposed.cuh"

extern "C" __global__ __launch_bounds__(THREADS, RESIDENT)
void conv2d_input_grad(const real* __restrict__ g, const real* __restrict__ w, const real* __restrict__ bias,
                       real slope, real* __restrict__ out, int batch, int height, int width, int channels, int down,
                       int across, int phase_pixels, int g_height, int row_elements, int outputs, int kernel_height,
                       int kernel_width, int top, int left, int row_step, int column_step) {
    const RowMajor image_pixels = {out, bias, slope, batch * height * width, channels};
    const PhasePixels result(image_pixels, height, width, down, across, blockIdx.y);
    const PhaseOperands operands = operands_of(g, w, result, batch, g_height, row_elements, outputs, channels,
                                               kernel_height, kernel_width, top, left, row_step, column_step);
    gemm(operands.windows, operands.taps, result, phase_pixels, channels, operands.k_extent);
}

extern "C" __global__ __launch_bounds__(THREADS, RESIDENT)
void conv2d_input_grad_parts(const real* __restrict__ g, const real* __restrict__ w, real* __restrict__ workspace,
                             int batch, int height, int width, int channels, int down, int across, int phase_pixels,
                             int g_height, int row_elements, int outputs, int kernel_height, int kernel_width,
                             int top, int left, int row_step, int column_step) {
    const size_t part_of_phase = size_t(blockIdx.z) * gridDim.y + blockIdx.y;
    const RowMajor part = {workspace + part_of_phase * phase_pixels * channels, nullptr, 1, phase_pixels, channels};
    const PhasePixels pixels(part, height, width, down, across, blockIdx.y);
    const PhaseOperands operands = operands_of(g, w, pixels, batch, g_height, row_elements, outputs, channels,
                                               kernel_height, kernel_width, top, left, row_step, column_step);
    gemm(operands.windows, operands.taps, part, phase_pixels, channels, operands.k_extent);
}

// The pixels of all phases, phase_pixels a phase, as rows of a result.
struct PixelsOfPhases {
    RowMajor image_pixels;
    int height, width, down, across;
    int phase_pixels;

    template <int COUNT> __device__ void store(const real (&values)[COUNT], int m, int n) const {
        const PhasePixels pixels(image_pixels, height, width, down, across, m / phase_pixels);
        pixels.store(values, m % phase_pixels, n);
    }
};

extern "C" __global__ void conv2d_input_grad_add_parts(const real* __restrict__ workspace, int parts,
                                                       const real* __restrict__ bias, real slope,
                                                       real* __restrict__ out, int batch, int height, int width,
                                                       int channels, int down, int across, int phases,
                                                       int phase_pixels) {
    const RowMajor image_pixels = {out, bias, slope, batch * height * width, channels};
    const PixelsOfPhases result = {image_pixels, height, width, down, across, phase_pixels};
    add_parts(workspace, parts, result, phases * phase_pixels, channels);
}
