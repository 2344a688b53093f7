// CUDA's built-ins for g++: a .cu file, unmodified, becomes a program for the CPU.
//
// build.py makes one C++ file of this header, the text of the .cu file, and a line for each kernel. In the text it
// rewrites the declarations of `__shared__` memory, and nothing else: what C++ cannot be made to read by macros.
// A kernel is then an ordinary function that is called once for each CUDA thread, with threadIdx, blockIdx, blockDim
// and gridDim set. Threads of a block meet in three places, and there the executor takes over (execution.h):
//
//     __syncthreads()                wait for the block
//     __syncwarp(), shuffles, votes  wait for the warp; values go through 32 places in memory
//     shared memory                  one for a block, found by the address of its declaration
//
// What is stricter than on a GPU, where the same mistakes give wrong numbers now and then, or hang:
//   - Shared memory is full of bytes 0xff when a block begins (NaN in float and double, -1 in int), and each array lies
//     between 256 bytes of them that must not change. What is read there or never written spoils the result.
//   - Threads run one after another, in a random order from barrier to barrier, and lanes of a warp do not run in step.
//   - All threads of a block must come to the same __syncthreads() in the source, and all lanes of a warp to the same
//     warp operation. Masks must be full.
//   - A shuffle that reads a lane which does not exist gives poison.
//
// What is as in CUDA: the arithmetic of IEEE 754. `a * b + c` is rounded twice, where nvcc may join it to one fma, and
// exp, log, sin and rsqrt are the C library's, which differ from CUDA's in the last bits.
//
// A PTX instruction needs an emulation, in the .cu file under `#ifdef MINIGAN_CPU_SHIM`. One that works on a whole warp
// exchanges the lanes' registers by `cuda_cpu::warp_exchange`.

#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "execution.h"

#define MINIGAN_CPU_SHIM 1

#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

#define threadIdx cuda_cpu::thread_index
#define blockIdx cuda_cpu::block_index
#define blockDim cuda_cpu::block_extent
#define gridDim cuda_cpu::grid_extent
constexpr int warpSize = 32;

// Vectors.

#define CUDA_CPU_VECTOR_2(T, name, alignment) \
    struct alignas(alignment) name {          \
        T x, y;                               \
    };                                        \
    inline name make_##name(T x, T y) { return {x, y}; }

#define CUDA_CPU_VECTOR_4(T, name, alignment) \
    struct alignas(alignment) name {          \
        T x, y, z, w;                         \
    };                                        \
    inline name make_##name(T x, T y, T z, T w) { return {x, y, z, w}; }

CUDA_CPU_VECTOR_2(float, float2, 8)
CUDA_CPU_VECTOR_4(float, float4, 16)
CUDA_CPU_VECTOR_2(double, double2, 16)
CUDA_CPU_VECTOR_2(int, int2, 8)
CUDA_CPU_VECTOR_4(int, int4, 16)
CUDA_CPU_VECTOR_2(unsigned, uint2, 8)
CUDA_CPU_VECTOR_4(unsigned, uint4, 16)

// Loads.

template <class T>
inline T __ldg(const T* address) {
    return *address;
}

// Arithmetic. Of a number and a NaN, min and max give the number, as CUDA's do.

#define CUDA_CPU_INTEGER_EXTREMA(T)                        \
    constexpr T min(T a, T b) { return b < a ? b : a; }    \
    constexpr T max(T a, T b) { return a < b ? b : a; }
#define CUDA_CPU_REAL_EXTREMA(T)                                         \
    constexpr T min(T a, T b) { return b < a || a != a ? b : a; }        \
    constexpr T max(T a, T b) { return a < b || a != a ? b : a; }

CUDA_CPU_INTEGER_EXTREMA(int)
CUDA_CPU_INTEGER_EXTREMA(unsigned)
CUDA_CPU_INTEGER_EXTREMA(long)
CUDA_CPU_INTEGER_EXTREMA(unsigned long)
CUDA_CPU_INTEGER_EXTREMA(long long)
CUDA_CPU_INTEGER_EXTREMA(unsigned long long)
CUDA_CPU_REAL_EXTREMA(float)
CUDA_CPU_REAL_EXTREMA(double)

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return sqrt(a); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }

template <class To, class From>
inline To cuda_cpu_bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}

inline int __float_as_int(float x) { return cuda_cpu_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return cuda_cpu_bits<unsigned>(x); }
inline float __int_as_float(int x) { return cuda_cpu_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return cuda_cpu_bits<float>(x); }
inline long long __double_as_longlong(double x) { return cuda_cpu_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return cuda_cpu_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }

// Barriers.

inline void __syncthreads(cuda_cpu::Place place = cuda_cpu::Place::here()) { cuda_cpu::wait_for_block(place); }

namespace cuda_cpu {

constexpr unsigned FULL_MASK = 0xffffffff;

inline void require_full_mask(unsigned mask, Place place) {
    if (mask != FULL_MASK)
        fail("the mask 0x%08x at %s:%d: only full masks are supported", mask, place.file, place.line);
}

inline unsigned lane() { return linear_thread % WARP; }

// The number of lanes that this thread's warp has: 32, or fewer in the last warp.
inline unsigned lanes() {
    const unsigned threads = block_extent.x * block_extent.y * block_extent.z;
    const unsigned first = linear_thread / WARP * WARP;
    return threads - first < WARP ? threads - first : WARP;
}

// Hand `value` to the warp: returns the 32 values of its lanes, valid until this thread's next warp operation. All
// lanes must come. This is what emulations of warp-wide PTX instructions (such as mma.sync) are made of: each lane
// hands over its registers, in a struct if there are several (up to 128 bytes), and computes its part of the result
// from all of them.
template <class T>
inline const T* warp_exchange(const T& value, Place place = Place::here()) {
    static_assert(sizeof(T) <= MAX_EXCHANGED);
    T* values = static_cast<T*>(exchange_memory(sizeof(T)));
    values[lane()] = value;
    wait_for_warp(place);
    return values;
}

template <class T>
inline T poison() {
    T value;
    memset(&value, POISON, sizeof value);
    return value;
}

// A shuffle: the value of lane `source`. What a lane reads that does not exist is poison.
template <class T>
inline T shuffled(unsigned mask, T value, unsigned source, Place place) {
    require_full_mask(mask, place);
    const T* values = warp_exchange(value, place);
    return source < lanes() ? values[source] : poison<T>();
}

}  // namespace cuda_cpu

inline void __syncwarp(unsigned mask = cuda_cpu::FULL_MASK, cuda_cpu::Place place = cuda_cpu::Place::here()) {
    cuda_cpu::require_full_mask(mask, place);
    cuda_cpu::wait_for_warp(place);
}

// Shuffles, in groups of `width` lanes (a power of 2). A lane whose source lies outside of its group keeps its value.

template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
                     cuda_cpu::Place place = cuda_cpu::Place::here()) {
    const unsigned first = cuda_cpu::lane() / width * width;
    return cuda_cpu::shuffled(mask, value, first + static_cast<unsigned>(source) % width, place);
}

template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                        cuda_cpu::Place place = cuda_cpu::Place::here()) {
    const unsigned lane = cuda_cpu::lane();
    return cuda_cpu::shuffled(mask, value, lane % width >= distance ? lane - distance : lane, place);
}

template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                          cuda_cpu::Place place = cuda_cpu::Place::here()) {
    const unsigned lane = cuda_cpu::lane();
    return cuda_cpu::shuffled(mask, value, lane % width + distance < unsigned(width) ? lane + distance : lane, place);
}

template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize,
                         cuda_cpu::Place place = cuda_cpu::Place::here()) {
    const unsigned lane = cuda_cpu::lane(), source = lane ^ bits;
    // a lane may read from lower groups, but not from higher ones
    return cuda_cpu::shuffled(mask, value, source / width <= lane / width ? source : lane, place);
}

// Votes. A lane that does not exist does not vote.

inline unsigned __ballot_sync(unsigned mask, int predicate, cuda_cpu::Place place = cuda_cpu::Place::here()) {
    cuda_cpu::require_full_mask(mask, place);
    const int* votes = cuda_cpu::warp_exchange(predicate, place);
    unsigned ballot = 0;
    for (unsigned i = 0; i < cuda_cpu::lanes(); ++i) ballot |= unsigned(votes[i] != 0) << i;
    return ballot;
}

inline int __any_sync(unsigned mask, int predicate, cuda_cpu::Place place = cuda_cpu::Place::here()) {
    return __ballot_sync(mask, predicate, place) != 0;
}

inline int __all_sync(unsigned mask, int predicate, cuda_cpu::Place place = cuda_cpu::Place::here()) {
    return __ballot_sync(mask, predicate, place) == cuda_cpu::FULL_MASK >> (cuda_cpu::WARP - cuda_cpu::lanes());
}

// Atomics, for integers only: in floating point the result would depend on the order.

inline int atomicAdd(int* address, int value) { return __atomic_fetch_add(address, value, __ATOMIC_RELAXED); }
inline unsigned atomicAdd(unsigned* address, unsigned value) {
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline unsigned long long atomicCAS(unsigned long long* address, unsigned long long expected,
                                    unsigned long long value) {
    __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;  // what was there
}

// Shared memory: build.py makes of
//     __shared__ T name[extents];    CUDA_CPU_SHARED(name, (T), [extents])
//     extern __shared__ T name[];    CUDA_CPU_DYNAMIC_SHARED(name, T)
// The declaration may stand in a template: each instantiation has its own array, as in CUDA.

namespace cuda_cpu {

inline char* shared_memory(SharedArray& array) {
#ifndef CUDA_CPU_THREADS
    if (array.block == block_number) return array.memory + GAP;
#endif
    return open_shared(array);
}

}  // namespace cuda_cpu

#ifdef CUDA_CPU_THREADS
#define CUDA_CPU_SHARED_MEMORY(name) static char name##_memory[1]
#else
#define CUDA_CPU_SHARED_MEMORY(name) \
    alignas(128) static char name##_memory[cuda_cpu::GAP + sizeof(name##_type) + cuda_cpu::GAP]
#endif

// T stands in parentheses, because it may contain commas.
#define CUDA_CPU_WITHOUT_PARENTHESES(...) __VA_ARGS__
#define CUDA_CPU_SHARED(name, T, ...)                                                                       \
    typedef CUDA_CPU_WITHOUT_PARENTHESES T name##_type __VA_ARGS__;                                         \
    CUDA_CPU_SHARED_MEMORY(name);                                                                           \
    static cuda_cpu::SharedArray name##_array = {#name, sizeof(name##_type), name##_memory, 0, nullptr};    \
    name##_type& name = *reinterpret_cast<name##_type*>(cuda_cpu::shared_memory(name##_array));

#define CUDA_CPU_DYNAMIC_SHARED(name, T) T* const name = reinterpret_cast<T*>(cuda_cpu::dynamic_shared);

// What is exported for a kernel: a function that calls it, its parameters' types, and the most threads of a block.

namespace cuda_cpu {

template <class T>
struct TypeName {
    static_assert(sizeof(T) == 0, "kernels take pointers, int, float, double and long long");
};

#define CUDA_CPU_TYPE(T, name)                           \
    template <>                                          \
    struct TypeName<T> {                                 \
        static constexpr const char* text = name;        \
    };
#define CUDA_CPU_POINTER(T)    \
    CUDA_CPU_TYPE(T*, #T "*")  \
    CUDA_CPU_TYPE(const T*, "const " #T "*")

CUDA_CPU_TYPE(int, "int")
CUDA_CPU_TYPE(long long, "long long")
CUDA_CPU_TYPE(float, "float")
CUDA_CPU_TYPE(double, "double")
CUDA_CPU_POINTER(int)
CUDA_CPU_POINTER(unsigned)
CUDA_CPU_POINTER(long long)
CUDA_CPU_POINTER(unsigned char)
CUDA_CPU_POINTER(float)
CUDA_CPU_POINTER(double)

template <class F>
struct TypeNames;
template <class... T>
struct TypeNames<void(T...)> {
    static constexpr const char* texts[] = {TypeName<T>::text..., nullptr};
};

template <size_t... I>
struct Positions {};
template <size_t N, size_t... I>
struct Count : Count<N - 1, N - 1, I...> {};
template <size_t... I>
struct Count<0, I...> {
    using type = Positions<I...>;
};

template <class... T, size_t... I>
inline void call(void (*function)(T...), const char* arguments, Positions<I...>) {
    function(*reinterpret_cast<const T*>(arguments + 8 * I)...);
}

template <class... T>
inline void call(void (*function)(T...), const void* arguments) {
    call(function, static_cast<const char*>(arguments), typename Count<sizeof...(T)>::type());
}

}  // namespace cuda_cpu

#define CUDA_CPU_EXPORTED extern "C" __attribute__((visibility("default")))

#define CUDA_CPU_EXPORT(kernel, most_threads)                                                   \
    CUDA_CPU_EXPORTED const char* const* const cuda_cpu_types_##kernel =                        \
        cuda_cpu::TypeNames<decltype(kernel)>::texts;                                           \
    CUDA_CPU_EXPORTED const int cuda_cpu_most_threads_##kernel = most_threads;                  \
    CUDA_CPU_EXPORTED void cuda_cpu_entry_##kernel(const void* arguments) { cuda_cpu::call(kernel, arguments); }

// The kernels' names, each with those of its parameters: "name,parameter,parameter name ...".
#define CUDA_CPU_EXPORT_NAMES(names) CUDA_CPU_EXPORTED const char* const cuda_cpu_names = names;
