// LeakyReLU and its VJP in one pass, and the VJP of bias + LeakyReLU, which also sums each column.
//
//     slope_gate          out = v where x > 0, slope * v elsewhere
//     bias_act_grad       the same, and sums[j] = sum over i of out[i, j]
//
// Memory-bound: one or two operations for the 12 bytes of float32 (24 of float64) that are read and written. Adding up
// the columns costs nothing while the elements are in registers; see sums.cuh for the order.
//
// Compiled for sm_75 to sm_120: slope_gate takes at most 22 registers (26 in float64), bias_act_grad 56 (64) and
// 4 KiB of shared memory (8 KiB); no spills.

#include "common.cuh"
#include "elementwise.cuh"
#include "sums.cuh"

extern "C" __global__ void slope_gate(const real* __restrict__ x, const real* __restrict__ v, real slope,
                                      real* __restrict__ out, int count) {
    for_each_element(count, [&](int i) { out[i] = gated(x[i], v[i], slope); });
}

// x, v, out (rows, columns); sums (row blocks, columns): the sums of each row block, which column_sums adds.
extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void bias_act_grad(
    const real* __restrict__ x, const real* __restrict__ v, real slope, real* __restrict__ out,
    real* __restrict__ sums, int rows, int columns, int rows_per_block) {
    const RowBlock block(rows, columns, rows_per_block);
    const bool writes = block.writes();
    const real sum = block.total(block.partial_sum<real>([&](int row) {
        const int i = block.index(row);
        const real value = gated(x[i], v[i], slope);
        if (writes) out[i] = value;
        return value;
    }));
    if (threadIdx.y == 0 && writes) sums[blockIdx.y * columns + block.own_column] = sum;
}
