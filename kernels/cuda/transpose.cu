// Copies of transposed matrices, in tiles.
//
//     target[k, i, j] = source[k, i, j]
//
// for matrices (rows, columns) whose elements are neighbours along i in the source and along j in the target. Memory-
// bound: 8 bytes of float32 for each element, if whole lines are read and written. So a block reads a tile along i, and
// writes it along j from shared memory. Its rows are padded by one number: the elements of a column lie in different
// banks.
//
// Compiled for sm_75 to sm_120: at most 64 registers in blocks of 256 threads, 4.1 KiB of shared memory (8.3 KiB in
// float64), no spills.

constexpr int TILE = 32;
constexpr int TILE_ROWS = 8;  // of threads; each thread copies TILE / TILE_ROWS elements

// A block of TILE x TILE_ROWS threads copies one tile; gridDim.z is the number of matrices. The strides count elements.
extern "C" __global__ void copy_transposed(const real* __restrict__ source, real* __restrict__ target, int rows,
                                           int columns, int source_matrix, int source_column, int target_matrix,
                                           int target_row) {
    __shared__ real tile[TILE][TILE + 1];
    const int top = blockIdx.y * TILE;
    const int left = blockIdx.x * TILE;
    source += (long long)(blockIdx.z) * source_matrix;
    target += (long long)(blockIdx.z) * target_matrix;
    const int height = min(TILE, rows - top);
    const int width = min(TILE, columns - left);
    for (int j = threadIdx.y; j < width; j += TILE_ROWS) {
        if (threadIdx.x < height) tile[j][threadIdx.x] = source[(long long)(left + j) * source_column + top + threadIdx.x];
    }
    __syncthreads();
    for (int i = threadIdx.y; i < height; i += TILE_ROWS) {
        if (threadIdx.x < width) target[(long long)(top + i) * target_row + left + threadIdx.x] = tile[threadIdx.x][i];
    }
}
