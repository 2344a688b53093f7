// General matrix multiplication: C(m, n) = sum over k of A(m, k) * B(k, n), for every kernel that can be written so.
//
// A block of threads computes a tile of TILE_M x TILE_N elements of C. It walks over k in steps of TILE_K: both
// operands' tiles are copied to shared memory, k-major (tile[k][line]), and each thread multiplies its THREAD_M +
// THREAD_N numbers at each k into THREAD_M x THREAD_N sums in registers. The numbers of the next step are on their way
// from global memory to registers meanwhile, and they go to the other one of two buffers: one barrier a step.
//
// gridDim.z parts may share the walk over k ("split-K"): C then has few tiles, and without parts most multiprocessors
// would idle. Each part writes its sums to a workspace [part][m][n], and `add_parts` adds them in order, so that the
// result has the same bits in every run.
//
// The including file defines how operands are read and results are written:
//
//     struct Operand {                    // A line is a row m of A or a column n of B.
//         static constexpr bool ALONG_K;  // A fragment is VECTOR consecutive k of a line; else VECTOR lines at a k.
//         struct Line { ... };            // what depends on the line alone
//         __device__ Line line(int index) const;  // of the fragment's first line, which may lie outside
//         __device__ void load(real (&fragment)[VECTOR], const Line& line, int k) const;  // 0 for elements outside
//     };
//     struct Result {  // takes COUNT consecutive elements of row m, from column n on; ignores those outside.
//         template <int COUNT> __device__ void store(const real (&values)[COUNT], int m, int n) const;
//     };
//
// Compile-time constants: TILE_M, TILE_N, TILE_K; VECTOR: 16 bytes of `real`s, where every fragment is aligned and
// lies inside or outside as a whole, or else 1; TF32, if defined: multiply on tensor cores, factors rounded to TF32.
//
// Launch: gemm.py chooses the tile and the number of parts; the grid is (tiles of C, 1, parts), a block has THREADS
// threads in x.
//
// How fast it can be. A multiprocessor of an H200 does 256 flops of float32 a clock cycle and reads 128 bytes from
// shared memory; the GPU's memory delivers a byte for every 14 flops. In float32, the tiles do so many flops for
// each byte that they read from global memory, 2 m n / (4 (m + n)), and from shared memory, where the 4 x 8 threads of
// a warp share what they read:
//
//     tile           128 x 128 x 8    64 x 64 x 16    32 x 32 x 32
//     threads        256              128             64
//     sums a thread  8 x 8            8 x 4           4 x 4
//     global memory  32 flops a byte  16              8
//     shared memory  10.7             8               5.3
//
// At 2 flops a byte, reading shared memory would take as long as the arithmetic; all tiles do more. A large tile is
// limited by arithmetic even if nothing it reads is cached. Smaller tiles rely on the L2 cache, and serve products with
// too few large tiles to occupy every multiprocessor. On tensor cores a warp's 64 x 32 sums take 10.7 flops for a byte
// of shared memory, about what they can multiply meanwhile.
//
// What the compiler says (nvcc 13.0, `-Xptxas -v`), for matmul.cu with VECTOR > 1 on sm_75, 80, 90, 120, no spills:
//
//     registers      float32        TF32           float64        blocks of a multiprocessor (from registers)
//     128 x 128      118 to 122     117 to 124     -              2
//     64 x 64        99 to 113      92 to 110      138 to 176     4 (float64: 2)
//     32 x 32        96 to 121      104 to 128     128 to 176     8 (float64: 5)
//     shared memory  16.5 to 18 KiB 17 to 20 KiB   34 to 36 KiB
//
// Copying single numbers (VECTOR = 1) to a large tile spills: gemm.py never asks for it. 128 sums of float64 would fill
// the registers alone. Nothing here has been timed on a GPU. Known room: tensor cores multiply a step faster than
// memory answers, so they want more than two buffers (`cp.async`, over 48 KiB of shared memory), and on sm_90 `wgmma`.

#include "matrices.cuh"
#include "ptx.cuh"

constexpr int WIDTH = 16 / REAL_BYTES;  // numbers in the longest word that a thread can read at once
constexpr int THREAD_M = TILE_M < 64 ? 4 : 8;
constexpr int THREAD_N = TILE_N < 128 ? 4 : 8;
constexpr int THREADS_N = TILE_N / THREAD_N;
constexpr int THREADS_M = TILE_M / THREAD_M;
constexpr int THREADS = THREADS_M * THREADS_N;
// The number of blocks for which a multiprocessor must have enough registers. For 512 threads it has 128 a thread.
constexpr int RESIDENT = (REAL_BYTES == 8 ? 256 : THREADS < 128 ? 384 : 512) / THREADS;

// Unused numbers after those of each k in shared memory, so that the next k begins PADDING banks further. With 4, a
// warp that writes 4 consecutive k of 8 lines (or 8 of 4) writes to 32 different banks; with 8, one that reads 4 k of
// 8 lines, as tensor cores want them, reads from 32.
#ifdef TF32
constexpr int PADDING = 8;
#else
constexpr int PADDING = 4;
#endif
constexpr int STRIDE_M = TILE_M + PADDING;
constexpr int STRIDE_N = TILE_N + PADDING;

// What is multiplied for an operand's element x.
__device__ inline real factor(real x) {
#ifdef TF32
    return rounded_to_tf32(x);
#else
    return x;
#endif
}

// What a thread copies of an operand's tile of TILE lines and TILE_K k, from global memory to registers and from there
// to shared memory, [k][line] with STRIDE numbers a k.
template <class Operand, int TILE> struct Copy {
    static constexpr int STRIDE = TILE + PADDING;
    static constexpr int FRAGMENTS = TILE * TILE_K / VECTOR / THREADS;
    // SPAN threads side by side read from one line, 32 bytes if that is along k: what global memory hands out at least.
    static constexpr int SPAN = Operand::ALONG_K ? 32 / (VECTOR * REAL_BYTES) : THREADS / (TILE / VECTOR);
    // The thread's fragments belong to LINES lines (or groups of VECTOR lines), one after another.
    static constexpr int LINES = Operand::ALONG_K ? TILE * SPAN / THREADS : 1;
    static_assert(FRAGMENTS * VECTOR * THREADS == TILE * TILE_K, "each thread copies as many fragments");
    static_assert(LINES * THREADS == (Operand::ALONG_K ? TILE * SPAN : THREADS), "each thread copies as many lines");

    real fragment[FRAGMENTS][VECTOR];
    typename Operand::Line line[LINES];
    int first_line, first_k;  // of the thread's first fragment in the tile

    __device__ Copy(const Operand& operand, int tile_start) {
        const int thread = threadIdx.x;
        first_line = Operand::ALONG_K ? thread / SPAN : thread % (TILE / VECTOR) * VECTOR;
        first_k = Operand::ALONG_K ? thread % SPAN * VECTOR : thread / (TILE / VECTOR);
#pragma unroll
        for (int i = 0; i < LINES; ++i) line[i] = operand.line(tile_start + line_in_tile(i));
    }

    // The place of fragment i in the tile.
    __device__ int line_in_tile(int i) const { return first_line + i % LINES * (THREADS / SPAN); }
    __device__ int k_in_tile(int i) const { return first_k + i / LINES * (Operand::ALONG_K ? SPAN * VECTOR : SPAN); }

    __device__ void load(const Operand& operand, int k_start) {
#pragma unroll
        for (int i = 0; i < FRAGMENTS; ++i) operand.load(fragment[i], line[i % LINES], k_start + k_in_tile(i));
    }

    __device__ void store(real* shared) const {
#pragma unroll
        for (int i = 0; i < FRAGMENTS; ++i) {
            real* const to = shared + k_in_tile(i) * STRIDE + line_in_tile(i);
            real factors[VECTOR];
#pragma unroll
            for (int j = 0; j < VECTOR; ++j) factors[j] = factor(fragment[i][j]);
            if constexpr (Operand::ALONG_K) {
#pragma unroll
                for (int j = 0; j < VECTOR; ++j) to[j * STRIDE] = factors[j];
            } else {
                write_word(to, factors);
            }
        }
    }
};

#ifdef TF32

// The sums of a warp, WARP_M x WARP_N, on the tensor cores: MMA_M x MMA_N products of 16 x 8 elements; see mma_tf32.
constexpr int WARP_N = 32;
constexpr int WARPS_N = TILE_N / WARP_N;
constexpr int WARP_M = TILE_M * 32 / THREADS * WARPS_N;
constexpr int MMA_M = WARP_M / 16;
constexpr int MMA_N = WARP_N / 8;

struct Sums {
    float sum[MMA_M][MMA_N][4] = {};
    int group, t, warp_m, warp_n;

    __device__ Sums() {
        const int lane = threadIdx.x % 32;
        const int warp = threadIdx.x / 32;
        group = lane / 4;
        t = lane % 4;
        warp_m = warp / WARPS_N * WARP_M;
        warp_n = warp % WARPS_N * WARP_N;
    }

    __device__ void add_product(const real* a, const real* b) {
#pragma unroll
        for (int k = 0; k < TILE_K; k += 8) {
            float left[MMA_M][4], right[MMA_N][2];
#pragma unroll
            for (int i = 0; i < MMA_M; ++i) {
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    left[i][e] = a[(k + t + e / 2 * 4) * STRIDE_M + warp_m + i * 16 + group + e % 2 * 8];
            }
#pragma unroll
            for (int j = 0; j < MMA_N; ++j) {
#pragma unroll
                for (int e = 0; e < 2; ++e) right[j][e] = b[(k + t + e * 4) * STRIDE_N + warp_n + j * 8 + group];
            }
#pragma unroll
            for (int i = 0; i < MMA_M; ++i) {
#pragma unroll
                for (int j = 0; j < MMA_N; ++j) mma_tf32(sum[i][j], left[i], right[j]);
            }
        }
    }

    template <class Result> __device__ void store(const Result& result, int m_start, int n_start) const {
        constexpr int COUNT = VECTOR < 2 ? 1 : 2;
#pragma unroll
        for (int i = 0; i < MMA_M; ++i) {
#pragma unroll
            for (int j = 0; j < MMA_N; ++j) {
#pragma unroll
                for (int e = 0; e < 4; e += COUNT) {
                    real values[COUNT];
#pragma unroll
                    for (int f = 0; f < COUNT; ++f) values[f] = sum[i][j][e + f];
                    const int m = m_start + warp_m + i * 16 + group + e / 2 * 8;
                    const int n = n_start + warp_n + j * 8 + t * 2 + e % 2;
                    result.store(values, m, n);
                }
            }
        }
    }
};

#else

// The THREAD_M x THREAD_N sums of a thread. Its rows lie in groups of WIDTH, THREADS_M groups apart, and so do its
// columns: the words that a warp reads lie side by side.
constexpr int WARP_M = 4;  // a warp is 4 x 8 threads, whose 4 + 8 words are the fewest that 32 threads can read
constexpr int WARP_N = 8;
constexpr int UNROLLED = THREAD_N < 8 ? TILE_K : 2;  // more would spill: 64 sums leave few registers

struct Sums {
    real sum[THREAD_M][THREAD_N] = {};
    int thread_m, thread_n;

    __device__ Sums() {
        const int lane = threadIdx.x % 32;
        const int warp = threadIdx.x / 32;
        thread_m = warp / (THREADS_N / WARP_N) * WARP_M + lane / WARP_N;
        thread_n = warp % (THREADS_N / WARP_N) * WARP_N + lane % WARP_N;
    }

    // Row or column i of the thread, within the tile.
    __device__ int row(int i) const { return (i / WIDTH * THREADS_M + thread_m) * WIDTH + i % WIDTH; }
    __device__ int column(int j) const { return (j / WIDTH * THREADS_N + thread_n) * WIDTH + j % WIDTH; }

    __device__ void add_product(const real* a, const real* b) {
#pragma unroll UNROLLED
        for (int k = 0; k < TILE_K; ++k) {
            real left[THREAD_M / WIDTH][WIDTH], right[THREAD_N / WIDTH][WIDTH];
#pragma unroll
            for (int i = 0; i < THREAD_M; i += WIDTH) read_word(left[i / WIDTH], a + k * STRIDE_M + row(i));
#pragma unroll
            for (int j = 0; j < THREAD_N; j += WIDTH) read_word(right[j / WIDTH], b + k * STRIDE_N + column(j));
#pragma unroll
            for (int i = 0; i < THREAD_M; ++i) {
#pragma unroll
                for (int j = 0; j < THREAD_N; ++j)
                    sum[i][j] += left[i / WIDTH][i % WIDTH] * right[j / WIDTH][j % WIDTH];
            }
        }
    }

    template <class Result> __device__ void store(const Result& result, int m_start, int n_start) const {
#pragma unroll
        for (int i = 0; i < THREAD_M; ++i) {
#pragma unroll
            for (int j = 0; j < THREAD_N; j += VECTOR) {
                real values[VECTOR];
#pragma unroll
                for (int e = 0; e < VECTOR; ++e) values[e] = sum[i][j + e];
                result.store(values, m_start + row(i), n_start + column(j));
            }
        }
    }
};

#endif

// This block's share of the product; every thread of the block must call it.
template <class A, class B, class Result>
__device__ void gemm(const A& a, const B& b, const Result& result, int m_extent, int n_extent, int k_extent) {
    __shared__ alignas(16) real shared_a[2][TILE_K * STRIDE_M];
    __shared__ alignas(16) real shared_b[2][TILE_K * STRIDE_N];

    // Blocks that run at the same time share the lines of the longer extent: those come from memory once, and the
    // whole other operand is small enough for the cache.
    const int m_tiles = (m_extent - 1) / TILE_M + 1;
    const int n_tiles = (n_extent - 1) / TILE_N + 1;
    const bool wide = n_tiles > m_tiles;
    const int m_start = (wide ? blockIdx.x % m_tiles : blockIdx.x / n_tiles) * TILE_M;
    const int n_start = (wide ? blockIdx.x / m_tiles : blockIdx.x % n_tiles) * TILE_N;

    const int parts = gridDim.z;
    const int steps_in_all = (k_extent + TILE_K - 1) / TILE_K;
    const int steps = (steps_in_all + parts - 1) / parts;  // of each part; those of the last may lie outside, and add 0
    const int k_start = blockIdx.z * steps * TILE_K;

    Copy<A, TILE_M> copy_a(a, m_start);
    Copy<B, TILE_N> copy_b(b, n_start);
    Sums sums;
    copy_a.load(a, k_start);
    copy_b.load(b, k_start);
    for (int step = 0; step < steps; ++step) {
        const int buffer = step % 2;
        copy_a.store(shared_a[buffer]);
        copy_b.store(shared_b[buffer]);
        __syncthreads();  // also: every thread has multiplied the step before, so its buffer may be filled again
        copy_a.load(a, k_start + (step + 1) * TILE_K);  // unused after the last step, where a check would cost more
        copy_b.load(b, k_start + (step + 1) * TILE_K);
        sums.add_product(shared_a[buffer], shared_b[buffer]);
    }
    sums.store(result, m_start, n_start);
}
