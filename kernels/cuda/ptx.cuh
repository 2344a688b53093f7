// The warp instructions of PTX that the kernels use, each in one function, with an emulation for the CPU (see
// tests/support/cuda_cpu). PTX ISA, sections "cvt" and "Matrix fragments for mma.m16n8k8".

#ifdef MINIGAN_CPU_SHIM
constexpr unsigned TF32_BITS = 0xffffe000;  // sign, 8 bits of exponent, 10 of mantissa
#endif

// The TF32 number nearest to x, of two the one further from 0: 10 bits of mantissa in place of 23, so the relative
// error is at most 2^-11 (for denormal numbers, the absolute error 2^-137).
__device__ inline float rounded_to_tf32(float x) {
#ifdef MINIGAN_CPU_SHIM
    const unsigned half = 0x1000;  // of a unit in the last of the 10 bits; a carry into the exponent is as it should be
    return x == x ? __uint_as_float((__float_as_uint(x) + half) & TF32_BITS) : x;
#else
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
#endif
}

// c = a b + c for a (16, 8), b (8, 8), c (16, 8), on the tensor cores (compute capability 8.0); all lanes must call it.
// Each lane holds a few elements. With group = lane / 4 and t = lane % 4:
//     a[i] is a(group + 8 (i % 2), t + 4 (i / 2))
//     b[i] is b(t + 4 i, group)
//     c[i] is c(group + 8 (i / 2), 2 t + i % 2)
// The elements of a and b are TF32: lower bits are ignored. The sum is in float32; NVIDIA does not specify in
// which order the hardware adds, nor how it rounds between additions. `volatile` keeps the compiler from moving it into
// a branch that some lanes do not take.
__device__ inline void mma_tf32(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
#ifdef MINIGAN_CPU_SHIM
    struct Registers {
        float a[4], b[2];
    };
    Registers mine;
    for (int i = 0; i < 4; ++i) mine.a[i] = __uint_as_float(__float_as_uint(a[i]) & TF32_BITS);
    for (int i = 0; i < 2; ++i) mine.b[i] = __uint_as_float(__float_as_uint(b[i]) & TF32_BITS);
    const Registers* const lanes = cuda_cpu::warp_exchange(mine);
    const int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 8; ++k) {
            const float left = lanes[row % 8 * 4 + k % 4].a[row / 8 + k / 4 * 2];
            const float right = lanes[column * 4 + k % 4].b[k / 4];
            c[i] += left * right;
        }
    }
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#endif
}
