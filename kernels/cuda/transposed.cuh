// The transposed convolution as matrix products, one for each phase.
//
//     out[n, y, x, c] = sum over u, v, o of g[n, i, j, o] * w[u, v, c, o]
//         where y = i * down + u - top and x = j * across + v - left
//
// An image row y meets only the taps u for which `down` divides y + top - u. All pixels whose rows have the same
// remainder modulo `down`, and whose columns have the same remainder modulo `across`, meet the same taps: they are a
// phase. Each phase is a convolution of g, with stride 1, with its own taps, flipped. So nothing is multiplied with the
// zeros that a stride puts between the pixels of g, and each element of the result is summed by one thread: no atomics.
// Around g there are zeros, though, which an infinite weight turns into NaN; the reference has none there.

#include "convolution.cuh"

// Along one axis of an image: the pixels first, first + step, ..., which belong to one phase.
struct Pixels {
    int first, step;
    int count;

    __device__ Pixels(int first, int step, int size)
        : first(first), step(step), count((size - first + step - 1) / step) {}
};

// Along one axis: the taps first, first + step, ... of the kernel, which the pixels of a phase meet.
struct Taps {
    int first, step;
    int count;
    int start;  // the pixel of g that the last tap meets for the first pixel of the phase; negative outside g

    __device__ Taps(const Pixels& pixels, int kernel, int before)
        : first((pixels.first + before) % pixels.step), step(pixels.step), count((kernel - first + step - 1) / step),
          start((pixels.first + before) / step - (count - 1)) {}

    __device__ int last() const { return first + (count - 1) * step; }
};

// The taps of a phase as the right operand. A line is a channel of the result. k counts (row of taps, column of taps,
// channel of g), from the last tap to the first: in this order the pixels of g ascend.
struct FlippedTaps {
    static constexpr bool ALONG_K = true;
    const real* w;
    int last_tap;               // its offset in w
    int row_step, column_step;  // from a tap back to the one before it, in elements
    int channels;
    int k_extent;
    Division tap_row, tap;  // by the number of k in a row of taps, and in a tap

    struct Line {
        int offset;  // of the first k
    };

    // Lines past the end repeat the last channel; their results are not stored.
    __device__ Line line(int index) const { return {last_tap + min(index, channels - 1) * tap.divisor}; }

    __device__ void load(real (&fragment)[VECTOR], const Line& line, int k) const {
        const int row = tap_row.quotient(k);
        const int k_in_row = k - row * tap_row.divisor;
        const int column = tap.quotient(k_in_row);
        const int k_in_tap = k_in_row - column * tap.divisor;
        if (k < k_extent) {
            read_word(fragment, w + line.offset - row * row_step - column * column_step + k_in_tap);
        } else {
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) fragment[i] = 0;
        }
    }
};

// The pixels of a phase, as rows of a result.
struct PhasePixels {
    RowMajor image_pixels;  // of all phases
    int height, width;
    Pixels y, x;

    __device__ PhasePixels(const RowMajor& image_pixels, int height, int width, int down, int across, int phase)
        : image_pixels(image_pixels), height(height), width(width), y(phase / min(across, width), down, height),
          x(phase % min(across, width), across, width) {}

    // Rows past the end of the phase belong to an image past the last one: `image_pixels` ignores them.
    template <int COUNT> __device__ void store(const real (&values)[COUNT], int m, int n) const {
        const int row = m / x.count;
        const int image = row / y.count;
        const int pixel_y = y.first + row % y.count * y.step;
        const int pixel_x = x.first + m % x.count * x.step;
        image_pixels.store(values, (image * height + pixel_y) * width + pixel_x, n);
    }
};

// The operands of a phase: its windows of g, and its taps.
struct PhaseOperands {
    Windows windows;
    FlippedTaps taps;
    int k_extent;
};

// g: `batch` images of g_height x row_elements, where row_elements is the width times `outputs` channels; w:
// `channels` x `outputs` numbers a tap; row_step, column_step: as in FlippedTaps.
__device__ inline PhaseOperands operands_of(const real* g, const real* w, const PhasePixels& pixels, int batch,
                                            int g_height, int row_elements, int outputs, int channels,
                                            int kernel_height, int kernel_width, int top, int left, int row_step,
                                            int column_step) {
    const Taps u(pixels.y, kernel_height, top);
    const Taps v(pixels.x, kernel_width, left);
    const int rows = pixels.y.count;
    const int columns = pixels.x.count;
    const int k_extent = u.count * v.count * outputs;
    const Division tap_row(max(v.count * outputs, 1));
    const int last_tap = (u.last() * kernel_width + v.last()) * channels * outputs;
    const Windows windows = {{g, g_height, row_elements}, batch * rows * columns, rows, columns, u.start,
                             v.start * outputs, 1, outputs, k_extent, tap_row};
    const FlippedTaps taps = {w, last_tap, row_step, column_step, channels, k_extent, tap_row,
                              Division(max(outputs, 1))};
    return {windows, taps, k_extent};
}
