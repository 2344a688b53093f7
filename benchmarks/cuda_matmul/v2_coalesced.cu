// Version 2: neighbouring threads have neighbouring columns.
//
// The only change is which of x and y counts rows. Now the 32 threads of a warp read 32 consecutive numbers of B at
// once, one piece of 128 bytes, write 32 consecutive numbers of C, and all read the same number of A. Every number that
// the memory delivers is used. Still two loads for two operations: the loads decide.

extern "C" __global__ void matmul(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m,
                                  int n, int k) {
    const int row = blockIdx.y * 32 + threadIdx.y;
    const int column = blockIdx.x * 32 + threadIdx.x;
    if (row < m && column < n) {
        float sum = 0;
        for (int i = 0; i < k; ++i) sum += a[row * k + i] * b[i * n + column];
        c[row * n + column] = sum;
    }
}
