// Sums of a row-major matrix along its columns or its rows.
//
//     column_sums     out[j] = sum over i of x[i, j]
//     row_sums        out[i] = sum over j of x[i, j]
//
// A block adds a part of the summed axis; out holds one row (column_sums) or one column (row_sums) for each part. Where
// there are several parts, a second launch of the same kernel adds them: see sums.cuh for the order.
//
// Memory-bound: one addition for each element of 4 or 8 bytes. Neighbouring threads read neighbouring elements: their
// columns differ in both kernels. A matrix of few columns is read by threads that differ in the row, too: the block of
// threads is as wide as the matrix, so that a warp always reads consecutive elements.
//
// Compiled for sm_75 to sm_120: at most 44 registers (50 in float64), 4 KiB of shared memory (8 KiB), no spills.

#include "sums.cuh"

// gridDim.z: the number of matrices that lie one behind the other in x.
extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void column_sums(
    const real* __restrict__ x, real* __restrict__ out, int rows, int columns, int rows_per_block) {
    x += (long long)(blockIdx.z) * rows * columns;
    out += (long long)(blockIdx.z) * gridDim.y * columns;
    const RowBlock block(rows, columns, rows_per_block);
    const real sum = block.total(block.partial_sum<real>([&](int row) { return x[block.index(row)]; }));
    if (threadIdx.y == 0 && block.writes()) out[blockIdx.y * columns + block.own_column] = sum;
}

extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void row_sums(
    const real* __restrict__ x, real* __restrict__ out, int rows, int columns, int columns_per_block) {
    const int own_row = blockIdx.x * blockDim.y + threadIdx.y;
    const int row = min(own_row, rows - 1);
    const int first = blockIdx.y * columns_per_block;
    const int last = first + min(columns_per_block, columns - first);
    const real part = sum_of_terms<real>(first + threadIdx.x, last, blockDim.x,
                                         [&](int column) { return x[row * columns + column]; });
    const real sum = sum_over_members(part, threadIdx.x, blockDim.x, 1);
    if (threadIdx.x == 0 && own_row < rows) out[own_row * gridDim.y + blockIdx.y] = sum;
}
