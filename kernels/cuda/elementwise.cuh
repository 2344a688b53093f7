// Elementwise kernels: every thread computes ITEMS elements that lie THREADS apart, so that a warp reads whole lines
// and each thread has ITEMS loads in flight, which hides the latency of memory. 16-byte loads would do the same, but
// only for aligned arrays. Launched with blocks_for(count, THREADS * ITEMS) blocks of THREADS threads.

constexpr int THREADS = 256;
constexpr int ITEMS = 4;

// Calls f(i) for each i < count that belongs to this thread.
template <class Function> __device__ inline void for_each_element(int count, Function f) {
    const int first = blockIdx.x * (THREADS * ITEMS) + threadIdx.x;
#pragma unroll
    for (int item = 0; item < ITEMS; ++item) {
        const int i = first + item * THREADS;
        if (i < count) f(i);
    }
}

// a * b, rounded at once: a plain product may be fused with a following addition, and then the bits would not be those
// of NumPy.
#ifdef MINIGAN_CPU_SHIM
__device__ inline real product(real a, real b) { return a * b; }
#elif REAL_BYTES == 4
__device__ inline real product(real a, real b) { return __fmul_rn(a, b); }
#else
__device__ inline real product(real a, real b) { return __dmul_rn(a, b); }
#endif
