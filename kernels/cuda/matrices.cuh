// Matrices in row-major memory: operands and results of the tile loop in gemm.cuh, whose terms are used here.

#include "common.cuh"

// COUNT numbers that are read or written at once.
template <int COUNT> struct alignas(COUNT * REAL_BYTES) Word {
    real element[COUNT];
};

template <int COUNT> __device__ inline void read_word(real (&to)[COUNT], const real* from) {
    const Word<COUNT> word = *reinterpret_cast<const Word<COUNT>*>(from);
#pragma unroll
    for (int i = 0; i < COUNT; ++i) to[i] = word.element[i];
}

template <int COUNT> __device__ inline void write_word(real* to, const real (&from)[COUNT]) {
    Word<COUNT> word;
#pragma unroll
    for (int i = 0; i < COUNT; ++i) word.element[i] = from[i];
    *reinterpret_cast<Word<COUNT>*>(to) = word;
}

// A matrix of (lines, k) numbers in row-major order: a fragment is VECTOR consecutive k.
struct LinesInRows {
    static constexpr bool ALONG_K = true;
    const real* matrix;
    int lines, k_extent;

    struct Line {
        int start;
        int k_end;  // 0 for a line outside
    };

    __device__ Line line(int index) const { return {index * k_extent, index < lines ? k_extent : 0}; }

    __device__ void load(real (&fragment)[VECTOR], const Line& line, int k) const {
        if (k < line.k_end) {
            read_word(fragment, matrix + line.start + k);
        } else {
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) fragment[i] = 0;
        }
    }
};

// A matrix of (k, lines) numbers in row-major order: a fragment is VECTOR consecutive lines.
struct LinesInColumns {
    static constexpr bool ALONG_K = false;
    const real* matrix;
    int lines, k_extent;

    struct Line {
        int start;
        int k_end;  // 0 for a line outside
    };

    __device__ Line line(int index) const { return {index, index < lines ? k_extent : 0}; }

    __device__ void load(real (&fragment)[VECTOR], const Line& line, int k) const {
        if (k < line.k_end) {
            read_word(fragment, matrix + line.start + k * lines);
        } else {
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) fragment[i] = 0;
        }
    }
};

// A result in row-major memory: out[m, n] = leaky_relu(value + bias[n]). `bias` may be null; a slope of 1 means no
// activation. For a part of a product: out is the workspace at this part, without bias and activation.
struct RowMajor {
    real* out;
    const real* bias;
    real slope;
    int m_extent, n_extent;

    template <int COUNT> __device__ void store(const real (&values)[COUNT], int m, int n) const {
        if (m < m_extent && n < n_extent) {
            real finished[COUNT];
#pragma unroll
            for (int i = 0; i < COUNT; ++i) {
                const real y = bias ? values[i] + bias[n + i] : values[i];
                finished[i] = gated(y, y, slope);
            }
            write_word(out + size_t(m) * n_extent + n, finished);
        }
    }
};

// Adds the parts of a product, workspace[part][m][n], in order; VECTOR elements a thread.
template <class Result>
__device__ void add_parts(const real* workspace, int parts, const Result& result, int m_extent, int n_extent) {
    const size_t part_size = size_t(m_extent) * n_extent;
    const size_t first = (size_t(blockIdx.x) * blockDim.x + threadIdx.x) * VECTOR;
    if (first < part_size) {
        real sum[VECTOR] = {};
        for (int part = 0; part < parts; ++part) {
            real values[VECTOR];
            read_word(values, workspace + part * part_size + first);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) sum[i] += values[i];
        }
        result.store(sum, int(first / n_extent), int(first % n_extent));
    }
}
