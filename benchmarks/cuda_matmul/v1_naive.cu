// Version 1: a thread for each element of C = A B.
//
//     c[row, column] = sum over i of a[row, i] * b[i, column]
//
// A (m, k), B (k, n), C (m, n), row-major. 2 m n k operations. A block has 32 x 32 threads.
//
// Neighbouring threads (threadIdx.x) have neighbouring rows: the 32 threads of a warp read 32 lines of A that are k
// numbers apart, and write 32 lines of C. The memory delivers 32 bytes at least for each line, of which 4 are used.

extern "C" __global__ void matmul(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m,
                                  int n, int k) {
    const int row = blockIdx.y * 32 + threadIdx.x;
    const int column = blockIdx.x * 32 + threadIdx.y;
    if (row < m && column < n) {
        float sum = 0;
        for (int i = 0; i < k; ++i) sum += a[row * k + i] * b[i * n + column];
        c[row * n + column] = sum;
    }
}
