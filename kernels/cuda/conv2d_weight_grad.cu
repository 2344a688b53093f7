// The gradient of a convolution with respect to its weights.
//
//     out[u, v, c, o] = sum over n, i, j of x[n, i * down + u - top, j * across + v - left, c] * g[n, i, j, o]
//
// x (N, H, W, in), g (N, OH, OW, out), out (kh, kw, in, out). As a matrix product: M = kh kw in elements of a window,
// out columns, inner extent K = N OH OW pixels; the left operand is the transpose of the convolution's, g is the right
// operand as it lies, and out is the row-major result. 2 M out K flops for N H W in + K out + M out numbers of memory.
// The result is small and K is long (1,024 x 128 and 16,384 for DCGAN's second layer at batch 64), so it takes split-K
// to have work for every multiprocessor.

#include "gemm.cuh"
#include "convolution.cuh"

// An element of a window as a line; k counts the windows: (image, row, column).
struct WindowElements {
    static constexpr bool ALONG_K = false;
    Images images;
    int top, left;     // the first window's first row and element; negative in the padding
    int down, across;  // from a window to the next, in rows and in elements
    int kernel_row;    // elements of a window in one row
    int k_extent;
    Division rows, columns;  // by the numbers of windows in an image

    struct Line {
        int row, element;  // for the first window
    };

    // Lines past the end are elements below the window, which may lie in the image; their results are not stored.
    __device__ Line line(int index) const { return {top + index / kernel_row, left + index % kernel_row}; }

    __device__ void load(real (&fragment)[VECTOR], const Line& line, int k) const {
        const int window_row = columns.quotient(k);
        const int column = k - window_row * columns.divisor;
        const int image = rows.quotient(window_row);
        const int row = window_row - image * rows.divisor;
        const int image_row = line.row + row * down;
        const int image_element = line.element + column * across;
        const int offset = (image * images.height + image_row) * images.row_elements + image_element;
        images.load(fragment, offset, image_row, image_element, k < k_extent);
    }
};

// The extents as in `WindowElements`; elements: of a window; outputs: columns of the result.
extern "C" __global__ __launch_bounds__(THREADS, RESIDENT)
void conv2d_weight_grad(const real* __restrict__ x, const real* __restrict__ g, real* __restrict__ out, int height,
                        int row_elements, int windows, int rows, int columns, int top, int left, int down, int across,
                        int elements, int kernel_row, int outputs) {
    const WindowElements a = {{x, height, row_elements}, top, left, down, across, kernel_row, windows, Division(rows),
                              Division(columns)};
    const LinesInColumns b = {g, outputs, windows};
    const RowMajor result = {out + blockIdx.z * size_t(elements) * outputs, nullptr, 1, elements, outputs};
    gemm(a, b, result, elements, outputs, windows);
}

extern "C" __global__ void conv2d_weight_grad_add_parts(const real* __restrict__ workspace, int parts,
                                                        real* __restrict__ out, int elements, int outputs) {
    const RowMajor result = {out, nullptr, 1, elements, outputs};
    add_parts(workspace, parts, result, elements, outputs);
}
