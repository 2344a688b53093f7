// What the convolution kernels share: images as operands of a matrix product; the terms are those of gemm.cuh.
//
// Images are NHWC. A window is a kernel-sized part of an image. Its pixels in one row are contiguous: kw * channels
// elements; so an element of a window is given by the row of the kernel and the element in that row,
// k = row * (kw * channels) + element. An image is treated as `height` rows of width * channels elements: so two
// comparisons decide for pixel and channel together whether an element of a row lies inside, and one division finds the
// row of the kernel. im2col would write each element kh * kw / (down * across) times; here it is read where it lies.
//
// What the compiler says (NVRTC 13, for sm_75, 80, 90, 120; no spills): at most 128 registers in float32 with tiles of
// 128 x 128 and 64 x 64, 148 with 32 x 32 (TF32: 168), 194 in float64, so that as many blocks as for a matrix product
// share a multiprocessor; 16 to 20 KiB of shared memory, 36 KiB in float64. Nothing here has been timed on a GPU.
//
// Elements in the padding are 0 and are multiplied like all others: an infinite weight on padding gives NaN, as in the
// reference and in the kernels for CPUs.

#include "matrices.cuh"

// Division of numbers from 0 to 2^31 - 1 by one divisor of at least 1: a multiplication and a comparison in place of
// some 20 instructions. divisor * multiplier is less than 2^32 by at most the divisor, so the estimate, before it is
// rounded down, is too small by less than 1/2: it is right or 1 too small.
struct Division {
    int divisor;
    unsigned multiplier;

    __device__ explicit Division(int divisor) : divisor(divisor), multiplier(0xffffffffu / unsigned(divisor)) {}

    __device__ int quotient(int number) const {
        const int estimate = int((unsigned long long)(number) * multiplier >> 32);
        return number - estimate * divisor < divisor ? estimate : estimate + 1;
    }
};

// Images as matrices of `height` rows and row_elements = width * channels columns.
struct Images {
    const real* data;
    int height, row_elements;

    // VECTOR elements of one pixel, `offset` elements after the first image's start; 0 if the row or the element of the
    // row lies outside the image, or if `wanted` is false.
    __device__ void load(real (&fragment)[VECTOR], int offset, int row, int element, bool wanted) const {
        const bool row_inside = row >= 0 && row < height;
        const bool element_inside = element >= 0 && element < row_elements;
        if (wanted && row_inside && element_inside) {
            read_word(fragment, data + offset);
        } else {
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) fragment[i] = 0;
        }
    }
};

// The windows of images, `rows` x `columns` an image, as lines; k is an element of the window.
struct Windows {
    static constexpr bool ALONG_K = true;
    Images images;
    int count;          // of all windows
    int rows, columns;  // of windows in an image
    int top, left;      // the first window's first row, and its first element of a row; negative in the padding
    int down, across;   // from a window to the next, in rows and in elements
    int k_extent;
    Division kernel_row;  // by the elements of a window in one row

    struct Line {
        int top, left;  // of the window
        int offset;     // of its first element
    };

    // Lines past the end repeat the last window; their results are not stored.
    __device__ Line line(int index) const {
        const int window = min(index, count - 1);
        const int window_row = window / columns;
        const int image = window_row / rows;
        const int window_top = top + window_row % rows * down;
        const int window_left = left + window % columns * across;
        return {window_top, window_left, (image * images.height + window_top) * images.row_elements + window_left};
    }

    __device__ void load(real (&fragment)[VECTOR], const Line& line, int k) const {
        const int row = kernel_row.quotient(k);
        const int element = k - row * kernel_row.divisor;
        const int offset = line.offset + row * images.row_elements + element;
        images.load(fragment, offset, line.top + row, line.left + element, k < k_extent);
    }
};
