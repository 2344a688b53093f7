// How kernels are executed: the interface between the built-ins in cuda_cpu.h, which are compiled into each kernel, and
// an executor: fibers.cpp (one fiber per CUDA thread) or threads.cpp (one operating-system thread per CUDA thread).

#pragma once

#include <cstddef>

#ifdef CUDA_CPU_THREADS
#define CUDA_CPU_LOCAL __thread
#else
#define CUDA_CPU_LOCAL
#endif

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
};

namespace cuda_cpu {

constexpr unsigned WARP = 32;
constexpr unsigned MAX_THREADS = 1024;        // of a block
constexpr size_t GAP = 256;                   // bytes of poison before and after each array in shared memory
constexpr size_t MAX_SHARED = 48 * 1024;      // bytes of shared memory a block may have
constexpr unsigned char POISON = 0xff;        // repeated, it is a NaN in float and double, and -1 in an int
constexpr size_t MAX_EXCHANGED = 128;         // bytes that a lane hands over in one exchange

// Where a barrier stands in the source. As a default argument, `Place::here()` is where the function is called.
struct Place {
    const char* file;
    int line;

    static constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {file, line};
    }
};

// A `__shared__` array. Its memory lies between two gaps of poison.
struct SharedArray {
    const char* name;
    size_t bytes;
    char* memory;              // fibers: GAP bytes, the array, GAP bytes; threads: unused, each block has its own
    unsigned long long block;  // fibers: the number of the block that opened it last
    SharedArray* next;         // the array that this block opened before
};

extern CUDA_CPU_LOCAL uint3 thread_index, block_index;
extern CUDA_CPU_LOCAL unsigned linear_thread;  // the thread's index in its block, x fastest
extern CUDA_CPU_LOCAL char* dynamic_shared;    // this block's `extern __shared__` memory
extern CUDA_CPU_LOCAL unsigned long long block_number;  // counts the blocks executed so far
extern dim3 block_extent, grid_extent;

// Wait until all threads of the block are here. Ends the launch with an error if some thread cannot come.
void wait_for_block(Place place);

// Wait until all threads of the warp are here. Ends the launch with an error if some thread cannot come.
void wait_for_warp(Place place);

// Memory for the warp's next exchange: 32 places of `bytes` each. There are two, used in turn: a lane that has read the
// last exchange's values may write the next one's while others still read.
void* exchange_memory(size_t bytes);

// The memory of a shared array, filled with poison when the first thread of a block comes.
char* open_shared(SharedArray& array);

// End the launch with an error.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// A kernel: calls the function with its parameters, each in 8 bytes of `arguments`.
using Entry = void (*)(const void* arguments);

}  // namespace cuda_cpu
