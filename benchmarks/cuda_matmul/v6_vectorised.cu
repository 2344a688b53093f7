// Version 6: four numbers an instruction, from memory and from shared memory.
//
// As version 5, but: numbers move in words of 16 bytes (float4), which takes a quarter of the instructions; and the tile
// of A lies transposed in shared memory, so that the 8 numbers of A that a thread needs lie side by side, too. The
// extents n and k must be multiples of 4, so that each word lies in one line, on an address that is a multiple of 16.

constexpr int TILE = 128;
constexpr int TILE_K = 8;
constexpr int SIDE = 8;
constexpr int THREADS = 256;
constexpr int WORD = 4;  // numbers

__device__ void unpack(float* values, float4 word) {
    values[0] = word.x;
    values[1] = word.y;
    values[2] = word.z;
    values[3] = word.w;
}

extern "C" __global__ __launch_bounds__(THREADS)
void matmul(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n, int k) {
    alignas(16) __shared__ float tile_a[TILE_K][TILE];  // transposed
    alignas(16) __shared__ float tile_b[TILE_K][TILE];
    const int thread = threadIdx.x;
    const int first_row = blockIdx.y * TILE;
    const int first_column = blockIdx.x * TILE;
    const int my_row = thread / (TILE / SIDE) * SIDE;
    const int my_column = thread % (TILE / SIDE) * SIDE;
    const float4 zero = make_float4(0, 0, 0, 0);
    // Each thread copies one word of each tile.
    const int row = thread / (TILE_K / WORD);
    const int in_row = thread % (TILE_K / WORD) * WORD;
    const int line = thread / (TILE / WORD);
    const int in_line = thread % (TILE / WORD) * WORD;
    float sums[SIDE][SIDE] = {};
    for (int start = 0; start < k; start += TILE_K) {
        const bool inside_a = first_row + row < m && start + in_row < k;
        const bool inside_b = start + line < k && first_column + in_line < n;
        const float* from_a = a + (first_row + row) * k + start + in_row;
        const float* from_b = b + (start + line) * n + first_column + in_line;
        float word[WORD];
        unpack(word, inside_a ? *reinterpret_cast<const float4*>(from_a) : zero);
#pragma unroll
        for (int e = 0; e < WORD; ++e) tile_a[in_row + e][row] = word[e];
        *reinterpret_cast<float4*>(&tile_b[line][in_line]) =
            inside_b ? *reinterpret_cast<const float4*>(from_b) : zero;
        __syncthreads();
        for (int i = 0; i < TILE_K; ++i) {
            float left[SIDE], right[SIDE];
#pragma unroll
            for (int r = 0; r < SIDE; r += WORD) {
                unpack(left + r, *reinterpret_cast<const float4*>(&tile_a[i][my_row + r]));
                unpack(right + r, *reinterpret_cast<const float4*>(&tile_b[i][my_column + r]));
            }
#pragma unroll
            for (int r = 0; r < SIDE; ++r) {
#pragma unroll
                for (int s = 0; s < SIDE; ++s) sums[r][s] += left[r] * right[s];
            }
        }
        __syncthreads();
    }
    for (int r = 0; r < SIDE; ++r) {
#pragma unroll
        for (int s = 0; s < SIDE; s += WORD) {
            const int to_row = first_row + my_row + r;
            const int column = first_column + my_column + s;
            if (to_row < m && column < n) {
                *reinterpret_cast<float4*>(c + to_row * n + column) =
                    make_float4(sums[r][s], sums[r][s + 1], sums[r][s + 2], sums[r][s + 3]);
            }
        }
    }
}
