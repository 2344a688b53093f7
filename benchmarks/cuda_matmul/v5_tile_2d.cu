// Version 5: a thread computes 8 x 8 elements of C: 64 multiplications for 16 numbers read from shared memory.
//
// A block computes 128 x 128 elements with 256 threads, in steps of 8 along k: for a step it loads 2,048 numbers from
// memory and does 131,072 multiplications, 64 for each number. The sums take 64 registers, the numbers in use 16.

constexpr int TILE = 128;
constexpr int TILE_K = 8;
constexpr int SIDE = 8;       // of the square of a thread
constexpr int THREADS = 256;  // of a block: (TILE / SIDE) squared

extern "C" __global__ __launch_bounds__(THREADS)
void matmul(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n, int k) {
    __shared__ float tile_a[TILE][TILE_K];
    __shared__ float tile_b[TILE_K][TILE];
    const int thread = threadIdx.x;
    const int first_row = blockIdx.y * TILE;
    const int first_column = blockIdx.x * TILE;
    const int my_row = thread / (TILE / SIDE) * SIDE;  // within the tile
    const int my_column = thread % (TILE / SIDE) * SIDE;
    float sums[SIDE][SIDE] = {};
    for (int start = 0; start < k; start += TILE_K) {
        for (int i = thread; i < TILE * TILE_K; i += THREADS) {
            const int row = first_row + i / TILE_K;
            const int of_a = start + i % TILE_K;
            const int of_b = start + i / TILE;
            const int column = first_column + i % TILE;
            tile_a[i / TILE_K][i % TILE_K] = row < m && of_a < k ? a[row * k + of_a] : 0;
            tile_b[i / TILE][i % TILE] = of_b < k && column < n ? b[of_b * n + column] : 0;
        }
        __syncthreads();
        for (int i = 0; i < TILE_K; ++i) {
            float left[SIDE], right[SIDE];
#pragma unroll
            for (int r = 0; r < SIDE; ++r) left[r] = tile_a[my_row + r][i];
#pragma unroll
            for (int s = 0; s < SIDE; ++s) right[s] = tile_b[i][my_column + s];
#pragma unroll
            for (int r = 0; r < SIDE; ++r) {
#pragma unroll
                for (int s = 0; s < SIDE; ++s) sums[r][s] += left[r] * right[s];
            }
        }
        __syncthreads();
    }
    for (int r = 0; r < SIDE; ++r) {
        for (int s = 0; s < SIDE; ++s) {
            const int row = first_row + my_row + r;
            const int column = first_column + my_column + s;
            if (row < m && column < n) c[row * n + column] = sums[r][s];
        }
    }
}
