// Sums in a fixed order: the bits depend on the extents alone.
//
// A thread adds its numbers in groups of GROUP, then the groups; the threads of a block add their sums in a binary
// tree. So the rounding error grows with GROUP plus the number of groups and the depth of the tree (Higham, 2002,
// section 4.2), not with the number of summands. Blocks write partial sums, which a second launch adds in the same way.
//
// Kernels that include this file are declared with __launch_bounds__(MOST_THREADS, 1): the compiler may use 64
// registers, and keeps the loads of eight numbers in flight. With fewer registers it would load them one after another.

constexpr int GROUP = 32;
constexpr int MOST_THREADS = 1024;

// How many of first, first + step, ... lie below `last`; first < last + step. Unsigned: the sum may exceed 2^31 - 1.
__device__ inline unsigned steps_below(unsigned last, unsigned first, unsigned step) {
    return (last - first + step - 1) / step;
}

// Calls f(i) for each i of first, first + step, ... below `last`. The loop has a counter, so that the compiler can
// unroll it and start the loads of several iterations before it needs the first.
template <class Function>
__device__ inline void for_each_step(unsigned first, unsigned last, unsigned step, Function f) {
    const unsigned count = steps_below(last, first, step);
    unsigned i = first;
#pragma unroll 4
    for (unsigned k = 0; k < count; ++k) {
        f(int(i));
        i += step;
    }
}

// The sum of term(i) over the same numbers i; it has the type Sum, with operator+=.
template <class Sum, class Term>
__device__ inline Sum sum_of_terms(unsigned first, unsigned last, unsigned step, Term term) {
    const unsigned count = steps_below(last, first, step);
    unsigned i = first;
    Sum sum{};
    for (unsigned start = 0; start < count; start += GROUP) {
        const unsigned end = min(start + GROUP, count);
        Sum group{};
#pragma unroll 8
        for (unsigned k = start; k < end; ++k) {
            group += term(int(i));
            i += step;
        }
        sum += group;
    }
    return sum;
}

// The sum of `value` over the members of a group of threads, for every member. There are `members` of them, a power of
// two; the numbers of their threads lie `step` apart.
__device__ inline real sum_over_members(real value, int member, int members, int step) {
    __shared__ real sums[MOST_THREADS];
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    __syncthreads();  // the sums of a previous call have been read
    sums[thread] = value;
    for (int half = members / 2; half > 0; half /= 2) {
        __syncthreads();
        if (member < half) sums[thread] += sums[thread + half * step];
    }
    __syncthreads();
    return sums[thread - member * step];
}

// What a block of threads works on: `rows_per_block` rows of a matrix (rows, columns), one column for each threadIdx.x.
// The rows are shared out among the threadIdx.y.
struct RowBlock {
    int columns;
    int own_column;   // of this thread; past the end for some threads of the last block
    int column;       // the same, or the last column of the matrix instead
    int first, last;  // rows

    __device__ RowBlock(int rows, int columns_, int rows_per_block) : columns(columns_) {
        own_column = blockIdx.x * blockDim.x + threadIdx.x;
        column = min(own_column, columns - 1);
        first = blockIdx.y * rows_per_block;
        last = first + min(rows_per_block, rows - first);
    }

    // Whether this thread may write: those outside repeat the work of the last column.
    __device__ bool writes() const { return own_column < columns; }

    __device__ int index(int row) const { return row * columns + column; }

    // The thread's own sum of term(row) over its rows.
    template <class Sum, class Term> __device__ Sum partial_sum(Term term) const {
        return sum_of_terms<Sum>(first + threadIdx.y, last, blockDim.y, term);
    }

    // The sum of `value` over the threads of this column, for each of them.
    __device__ real total(real value) const { return sum_over_members(value, threadIdx.y, blockDim.y, blockDim.x); }

    // Calls f(row) for each of the thread's rows.
    template <class Function> __device__ void for_each_row(Function f) const {
        for_each_step(first + threadIdx.y, last, blockDim.y, f);
    }
};
