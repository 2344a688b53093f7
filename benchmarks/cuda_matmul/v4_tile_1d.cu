// Version 4: a thread computes 8 elements of a column of C, and uses each number of B that it reads 8 times.
//
// A block computes 64 x 64 elements with 512 threads, in steps of 8 along k. A thread keeps 8 sums in registers. For 8
// multiplications it reads one number of B and 8 of A from shared memory: 9 loads, where version 3 needs 16. The 32
// threads of a warp read the same number of A, which costs one access.

constexpr int TILE = 64;    // rows and columns of a block's tile
constexpr int TILE_K = 8;   // of a step
constexpr int ROWS = 8;     // of a thread: TILE * TILE / 512 threads

extern "C" __global__ void matmul(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m,
                                  int n, int k) {
    __shared__ float tile_a[TILE][TILE_K];
    __shared__ float tile_b[TILE_K][TILE];
    const int thread = threadIdx.x;
    const int first_row = blockIdx.y * TILE;
    const int first_column = blockIdx.x * TILE;
    const int my_row = thread / TILE * ROWS;  // within the tile
    const int my_column = thread % TILE;
    float sums[ROWS] = {};
    for (int start = 0; start < k; start += TILE_K) {
        const int row = thread / TILE_K;  // each thread copies one number of each tile
        const int of_a = start + thread % TILE_K;
        const int of_b = start + thread / TILE;
        const bool inside_a = first_row + row < m && of_a < k;
        const bool inside_b = of_b < k && first_column + my_column < n;
        tile_a[row][thread % TILE_K] = inside_a ? a[(first_row + row) * k + of_a] : 0;
        tile_b[thread / TILE][my_column] = inside_b ? b[of_b * n + first_column + my_column] : 0;
        __syncthreads();
        for (int i = 0; i < TILE_K; ++i) {
            const float right = tile_b[i][my_column];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) sums[r] += tile_a[my_row + r][i] * right;
        }
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int row = first_row + my_row + r;
        const int column = first_column + my_column;
        if (row < m && column < n) c[row * n + column] = sums[r];
    }
}
