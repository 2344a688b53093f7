// Version 3: the block loads tiles of A and B into shared memory, and each number there serves 32 threads.
//
// A block computes 32 x 32 elements of C in steps of 32 along k. In each step every thread loads one number of A and one
// of B, where version 2 loads 32 of each. Two barriers: nobody reads a tile before all of it is there, and nobody loads
// the next one while somebody still reads. Now the loads from shared memory decide: two for each multiplication.

constexpr int TILE = 32;

extern "C" __global__ void matmul(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m,
                                  int n, int k) {
    __shared__ float tile_a[TILE][TILE];
    __shared__ float tile_b[TILE][TILE];
    const int row = blockIdx.y * TILE + threadIdx.y;
    const int column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;
    for (int start = 0; start < k; start += TILE) {
        const int of_a = start + threadIdx.x;
        const int of_b = start + threadIdx.y;
        tile_a[threadIdx.y][threadIdx.x] = row < m && of_a < k ? a[row * k + of_a] : 0;
        tile_b[threadIdx.y][threadIdx.x] = column < n && of_b < k ? b[of_b * n + column] : 0;
        __syncthreads();
        for (int i = 0; i < TILE; ++i) sum += tile_a[threadIdx.y][i] * tile_b[i][threadIdx.x];
        __syncthreads();
    }
    if (row < m && column < n) c[row * n + column] = sum;
}
