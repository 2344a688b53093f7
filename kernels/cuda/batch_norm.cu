// Batch normalisation fused with LeakyReLU (Ioffe and Szegedy, 2015) on a (rows, channels) matrix, and its VJP.
//
//     y  = leaky_relu(gamma * xhat + beta)        xhat = (x - mean) / sqrt(variance + eps), moments over the rows
//     h  = g where gamma * xhat + beta > 0, slope * g elsewhere
//     dx = gamma / sqrt(variance + eps) * (h - mean(h) - xhat * mean(h * xhat))
//     dgamma = sum(h * xhat)                      dbeta = sum(h)
//
// Memory-bound. Forward: x is read twice and y written, 12 bytes an element of float32 for some 8 operations. Backward:
// g and x are read twice and dx is written, 20 bytes for some 20 operations.
//
// The rows are divided into blocks. A block computes its mean and then the sum of squared deviations from it, reading
// the rows again from the caches. A second launch combines the moments of the blocks (Chan, Golub and LeVeque, 1983), a
// third normalises. Where one block holds all rows, a single launch does everything. E[x^2] - E[x]^2 would lose all
// digits when the mean is large: here all sums are of differences from the first row, near the mean, and so are the
// means until the last step. A mean rounded before would change the sum of squares by its rounding error times the
// distance of the blocks' means. All sums have a fixed order: see sums.cuh.
//
// Compiled for sm_75 to sm_120: at most 64 registers, 4 KiB of shared memory (8 KiB in float64), no spills.

#include "common.cuh"
#include "sums.cuh"

// The moments of a block of rows in a column. shift: the mean less the first of all rows; square: the sum of squared
// deviations from the mean.
struct Moments {
    real shift, square;
};

// The moments of the block's rows in its column, for every thread of the column; origin: x in the first of all rows.
__device__ inline Moments moments_of(const RowBlock& block, const real* __restrict__ x, real origin) {
    const real sum = block.total(block.partial_sum<real>([&](int row) { return x[block.index(row)] - origin; }));
    const real shift = sum / real(block.last - block.first);
    const real square = block.total(block.partial_sum<real>([&](int row) {
        const real distance = x[block.index(row)] - origin - shift;
        return distance * distance;
    }));
    return {shift, square};
}

// What normalises a column: xhat = (x - mean) * scale.
struct Channel {
    real mean, scale, gamma, beta;

    __device__ Channel(const RowBlock& block, real mean_, real variance, real eps, const real* __restrict__ gammas,
                       const real* __restrict__ betas) {
        mean = mean_;
        scale = real(1) / sqrt(variance + eps);
        gamma = gammas[block.column];
        beta = betas[block.column];
    }

    __device__ real xhat(real x) const { return (x - mean) * scale; }

    // The argument of LeakyReLU: the same bits forward and backward, which decide the side of the kink.
    __device__ real argument(real xhat) const { return fma(xhat, gamma, beta); }
};

__device__ inline void normalise(const RowBlock& block, const Channel& channel, const real* __restrict__ x, real slope,
                                 real* __restrict__ y) {
    if (block.writes()) block.for_each_row([&](int row) {
        const int i = block.index(row);
        const real value = channel.argument(channel.xhat(x[i]));
        y[i] = gated(value, value, slope);
    });
}

extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void batch_norm_at_once(
    const real* __restrict__ x, const real* __restrict__ gamma, const real* __restrict__ beta, real eps, real slope,
    real* __restrict__ y, real* __restrict__ mean, real* __restrict__ variance, int rows, int columns) {
    const RowBlock block(rows, columns, rows);
    const real origin = x[block.column];
    const Moments moments = moments_of(block, x, origin);
    const real of_mean = origin + moments.shift;
    const real of_variance = moments.square / real(rows);
    if (threadIdx.y == 0 && block.writes()) {
        mean[block.own_column] = of_mean;
        variance[block.own_column] = of_variance;
    }
    normalise(block, Channel(block, of_mean, of_variance, eps, gamma, beta), x, slope, y);
}

// shifts, squares (row blocks, columns): the moments of each row block.
extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void batch_norm_moments(
    const real* __restrict__ x, real* __restrict__ shifts, real* __restrict__ squares, int rows, int columns,
    int rows_per_block) {
    const RowBlock block(rows, columns, rows_per_block);
    const Moments moments = moments_of(block, x, x[block.column]);
    if (threadIdx.y == 0 && block.writes()) {
        shifts[blockIdx.y * columns + block.own_column] = moments.shift;
        squares[blockIdx.y * columns + block.own_column] = moments.square;
    }
}

// The moments of all rows from those of `row_blocks` row blocks.
extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void batch_norm_combine(
    const real* __restrict__ x, const real* __restrict__ shifts, const real* __restrict__ squares,
    real* __restrict__ mean, real* __restrict__ variance, int rows, int columns, int rows_per_block, int row_blocks) {
    const RowBlock block(row_blocks, columns, row_blocks);
    const auto rows_of = [&](int k) { return real(min(rows_per_block, rows - k * rows_per_block)); };
    const real sum =
        block.total(block.partial_sum<real>([&](int k) { return rows_of(k) * shifts[block.index(k)]; }));
    const real shift = sum / real(rows);
    const real square = block.total(block.partial_sum<real>([&](int k) {
        const real distance = shifts[block.index(k)] - shift;
        return squares[block.index(k)] + rows_of(k) * distance * distance;
    }));
    if (threadIdx.y == 0 && block.writes()) {
        mean[block.own_column] = x[block.column] + shift;
        variance[block.own_column] = square / real(rows);
    }
}

extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void batch_norm_normalise(
    const real* __restrict__ x, const real* __restrict__ gamma, const real* __restrict__ beta,
    const real* __restrict__ mean, const real* __restrict__ variance, real eps, real slope, real* __restrict__ y,
    int rows, int columns, int rows_per_block) {
    const RowBlock block(rows, columns, rows_per_block);
    const Channel channel(block, mean[block.column], variance[block.column], eps, gamma, beta);
    normalise(block, channel, x, slope, y);
}

// The sums of h and of h * xhat.
struct GradientSums {
    real h, hx;

    __device__ void operator+=(const GradientSums& other) {
        h += other.h;
        hx += other.hx;
    }
};

// The sums over the block's rows in its column, for every thread of the column.
__device__ inline GradientSums gradient_sums_of(const RowBlock& block, const Channel& channel,
                                                const real* __restrict__ g, const real* __restrict__ x, real slope) {
    const GradientSums own = block.partial_sum<GradientSums>([&](int row) {
        const int i = block.index(row);
        const real xhat = channel.xhat(x[i]);
        const real h = gated(channel.argument(xhat), g[i], slope);
        return GradientSums{h, h * xhat};
    });
    return {block.total(own.h), block.total(own.hx)};
}

__device__ inline void input_gradient(const RowBlock& block, const Channel& channel, const GradientSums& sums,
                                      const real* __restrict__ g, const real* __restrict__ x, real slope, int rows,
                                      real* __restrict__ dx) {
    const real mean_h = sums.h / real(rows);
    const real mean_hx = sums.hx / real(rows);
    const real factor = channel.gamma * channel.scale;
    if (block.writes()) block.for_each_row([&](int row) {
        const int i = block.index(row);
        const real xhat = channel.xhat(x[i]);
        const real h = gated(channel.argument(xhat), g[i], slope);
        dx[i] = factor * (h - mean_h - xhat * mean_hx);
    });
}

extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void batch_norm_grad_at_once(
    const real* __restrict__ g, const real* __restrict__ x, const real* __restrict__ gamma,
    const real* __restrict__ beta, const real* __restrict__ mean, const real* __restrict__ variance, real eps,
    real slope, real* __restrict__ dx, real* __restrict__ dgamma, real* __restrict__ dbeta, int rows, int columns) {
    const RowBlock block(rows, columns, rows);
    const Channel channel(block, mean[block.column], variance[block.column], eps, gamma, beta);
    const GradientSums sums = gradient_sums_of(block, channel, g, x, slope);
    if (threadIdx.y == 0 && block.writes()) {
        dgamma[block.own_column] = sums.hx;
        dbeta[block.own_column] = sums.h;
    }
    input_gradient(block, channel, sums, g, x, slope, rows, dx);
}

// partial (row blocks, 2, columns): the sums of h and of h * xhat of each row block.
extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void batch_norm_grad_sums(
    const real* __restrict__ g, const real* __restrict__ x, const real* __restrict__ gamma,
    const real* __restrict__ beta, const real* __restrict__ mean, const real* __restrict__ variance, real eps,
    real slope, real* __restrict__ partial, int rows, int columns, int rows_per_block) {
    const RowBlock block(rows, columns, rows_per_block);
    const Channel channel(block, mean[block.column], variance[block.column], eps, gamma, beta);
    const GradientSums sums = gradient_sums_of(block, channel, g, x, slope);
    if (threadIdx.y == 0 && block.writes()) {
        partial[(blockIdx.y * 2) * columns + block.own_column] = sums.h;
        partial[(blockIdx.y * 2 + 1) * columns + block.own_column] = sums.hx;
    }
}

// The sums of all rows from those of `row_blocks` row blocks.
extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void batch_norm_grad_combine(
    const real* __restrict__ partial, real* __restrict__ dgamma, real* __restrict__ dbeta, int columns,
    int row_blocks) {
    const RowBlock block(row_blocks, columns, row_blocks);
    const GradientSums own = block.partial_sum<GradientSums>([&](int k) {
        return GradientSums{partial[block.index(2 * k)], partial[block.index(2 * k + 1)]};
    });
    const real h = block.total(own.h);
    const real hx = block.total(own.hx);
    if (threadIdx.y == 0 && block.writes()) {
        dbeta[block.own_column] = h;
        dgamma[block.own_column] = hx;
    }
}

extern "C" __global__ __launch_bounds__(MOST_THREADS, 1) void batch_norm_grad_input(
    const real* __restrict__ g, const real* __restrict__ x, const real* __restrict__ gamma,
    const real* __restrict__ beta, const real* __restrict__ mean, const real* __restrict__ variance,
    const real* __restrict__ dgamma, const real* __restrict__ dbeta, real eps, real slope, real* __restrict__ dx,
    int rows, int columns, int rows_per_block) {
    const RowBlock block(rows, columns, rows_per_block);
    const Channel channel(block, mean[block.column], variance[block.column], eps, gamma, beta);
    const GradientSums sums{dbeta[block.column], dgamma[block.column]};
    input_gradient(block, channel, sums, g, x, slope, rows, dx);
}
